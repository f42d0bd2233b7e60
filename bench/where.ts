/**
 * @file Where the time of a model goes: milliseconds, share and rate of each primitive and of the slowest layers.
 * `node bench/where.ts MODEL[:DTYPE]... [--target wasm|wasm256|native] [--layers n]`
 */
import { parseArgs } from "node:util";
import { openTarget, type Target, type TargetName } from "../cli/target.ts";
import { compile } from "../src/pipeline.ts";
import { DTYPES, MODELS, type ModelDType } from "./models/index.ts";
import { markdownTable } from "./tables.ts";

const RUNS = 60;

interface Share {
  readonly name: string;
  readonly what: string;
  ms: number;
  macs: number;
  count: number;
}

function rowsOf(shares: readonly Share[], whole: number): string[][] {
  return shares.map(({ name, what, ms, macs, count }) => [
    name,
    what,
    String(count),
    ms.toFixed(4),
    `${((100 * ms) / whole).toFixed(1)} %`,
    macs === 0 ? "" : ((2 * macs) / ms / 1e6).toFixed(1),
  ]);
}

async function show(name: string, dtype: ModelDType, target: Target, most: number): Promise<void> {
  const model = MODELS.find((m) => m.name === name);
  if (model === undefined) throw new Error(`no model '${name}': ${MODELS.map((m) => m.name)}`);
  const found = await model.load(dtype);
  if ("missing" in found) {
    console.log(`${name} ${dtype}: ${found.missing}`);
    return;
  }
  const { program, nodes } = compile(found.graph, { caps: target.caps });
  const session = await target.open(program);
  const steps = session.profile(RUNS);
  session.close();
  const layers = nodes.map(({ node, ins, outs, candidate, firstStep, stepCount }): Share => {
    const own = steps.slice(firstStep, firstStep + stepCount);
    const ms = own.reduce((sum, step) => sum + step.ms, 0);
    const macs = node.op.cost?.(ins, node.attrs, outs).macs ?? 0;
    const shape = `${outs[0]?.dtype}[${outs[0]?.shape}]`;
    return {
      name: candidate.name,
      what: `${node.name || node.op.name} ${shape}`,
      ms,
      macs,
      count: 1,
    };
  });
  const byPrimitive = new Map<string, Share>();
  for (const { name: primitive, ms, macs } of layers) {
    const sum = byPrimitive.get(primitive) ?? {
      name: primitive,
      what: "",
      ms: 0,
      macs: 0,
      count: 0,
    };
    byPrimitive.set(primitive, {
      ...sum,
      ms: sum.ms + ms,
      macs: sum.macs + macs,
      count: sum.count + 1,
    });
  }
  const whole = layers.reduce((sum, { ms }) => sum + ms, 0);
  const slowest = (all: readonly Share[]): Share[] =>
    all.filter(({ ms }) => ms > 0).sort((a, b) => b.ms - a.ms);
  const header = ["primitive", "layer", "count", "ms", "share", "GOP/s"];
  console.log(
    `${name} ${dtype}, ${target.name} (${session.variant}): ${whole.toFixed(3)} ms in steps\n`,
  );
  console.log(markdownTable(header, rowsOf(slowest([...byPrimitive.values()]), whole), 2));
  console.log(markdownTable(header, rowsOf(slowest(layers).slice(0, most), whole), 2));
}

const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: {
    target: { type: "string", default: "wasm" },
    layers: { type: "string", default: "8" },
  },
});
const target = await openTarget(values.target as TargetName);
for (const text of positionals) {
  const [name = "", only] = text.split(":");
  for (const dtype of DTYPES) {
    if (only === undefined || only === dtype)
      await show(name, dtype, target, Number(values.layers));
  }
}
