/**
 * @file The truth about selection: `node bench/selection.ts [MODEL[:DTYPE]...]` times, in one interleaved run,
 * the plan that the selector makes of measured times, the one it makes of the fitted model, and for every family
 * of algorithms the best plan that uses it wherever it applies. Prints predicted beside measured. Reads
 * devices/wasm.json, or measures first with --measure; --assert fails where a family beats the selection by more
 * than 5 %, or where predicted and measured time are more than 15 % apart.
 */
import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { parseArgs } from "node:util";
import type { Graph } from "../src/graph/graph.ts";
import { targetGraph } from "../src/pipeline.ts";
import { compileGraph } from "../src/plan/compile.ts";
import { WASM } from "../src/primitives/capabilities.ts";
import { primitives } from "../src/primitives/index.ts";
import { measureCandidates } from "../src/profile/measure.ts";
import { createSession, type Session } from "../src/runtime/session.ts";
import { type CostModel, coefficientsFor, costModel } from "../src/select/costs.ts";
import type { Network } from "../src/select/network.ts";
import { measuredTimes, parseProfile } from "../src/select/profile.ts";
import { selectOptimal } from "../src/select/select.ts";
import { median } from "../src/util/math.ts";
import { DTYPES, MODELS, type ModelDType } from "./models/index.ts";

const DEVICE = resolve(import.meta.dirname, "../devices/wasm.json");
/** Plans predicted to take longer than this many times the best are not timed. */
const HOPELESS = 3;

interface Plan {
  readonly name: string;
  readonly predictedMs: number;
  /** Identifies the plan. */
  readonly choices: string;
  /** Null: hopeless. */
  readonly session: Session | null;
}

/** Families of nodes that multiply and accumulate. */
function familiesOf({ nodes }: Network): string[] {
  const found = nodes
    .filter((n) => n.node.op.cost !== undefined)
    .flatMap((n) => n.candidates.map((c) => c.family));
  return [...new Set(found)].sort();
}

async function planOf(
  graph: Graph,
  name: string,
  costs: CostModel,
  family: string | null,
  limitMs: number,
): Promise<Plan> {
  let predictedMs = 0;
  const { program, nodes } = compileGraph(graph, {
    primitives,
    select: (network) => {
      const only = selectOptimal(network, {
        costs,
        surcharge: (node, c) =>
          family === null ||
          c.family === family ||
          node.candidates.every((o) => o.family !== family)
            ? 0
            : Number.POSITIVE_INFINITY,
      });
      predictedMs = only.predictedNs / 1e6;
      return only.selection;
    },
  });
  const session = predictedMs > limitMs ? null : await createSession(program);
  const choices = nodes.map((n) => n.implementation).join();
  return { name, predictedMs, choices, session };
}

function networkOf(graph: Graph): Network {
  const seen: Network[] = [];
  const costs = costModel();
  compileGraph(graph, {
    primitives,
    select: (network) => {
      seen.push(network);
      return selectOptimal(network, { costs }).selection;
    },
  });
  return seen[0]!;
}

async function compare(name: string, dtype: ModelDType, fresh: boolean): Promise<string[]> {
  const found = await MODELS.find((m) => m.name === name)!.load(dtype);
  if ("missing" in found) {
    console.log(`${name} ${dtype}: not here`);
    return [];
  }
  const graph = targetGraph(found.graph);
  const coefficients = coefficientsFor(WASM.name);
  const entries = fresh
    ? await measureCandidates(graph, {
        caps: WASM,
        coefficients,
        open: createSession,
        budgetMs: 400,
      })
    : parseProfile(readFileSync(DEVICE, "utf8"), DEVICE).entries;
  const measured = costModel(measuredTimes(entries), coefficients);
  const best = await planOf(graph, "selected", measured, null, Number.POSITIVE_INFINITY);
  const limit = HOPELESS * best.predictedMs;
  const model = await planOf(
    graph,
    "selected by model",
    costModel(),
    null,
    Number.POSITIVE_INFINITY,
  );
  const plans = [best, model];
  for (const family of familiesOf(networkOf(graph))) {
    plans.push(await planOf(graph, family, measured, family, limit));
  }
  return report(`${name} ${dtype}`, plans);
}

const ROUNDS = 20;
const ROUND_MS = 40;

/** Milliseconds of each session: what one run in ten stays below, sessions in turn round by round. */
function lowTimes(sessions: readonly Session[]): number[] {
  const runs = sessions.map((s) => {
    s.warmUp();
    return Math.max(1, Math.min(200, Math.ceil(ROUND_MS / Math.max(median(s.time(3)), 1e-3))));
  });
  const times = sessions.map((): number[] => []);
  for (let round = 0; round < ROUNDS; round++) {
    sessions.forEach((s, i) => times[i]!.push(...s.time(runs[i]!)));
  }
  return times.map((t) => t.sort((a, b) => a - b)[Math.floor(t.length / 10)]!);
}

const MOST_SLOWER = 1.05;
const MOST_OFF = 0.15;

/** Prints a model's plans; what was not as promised, as sentences. */
function report(title: string, plans: readonly Plan[]): string[] {
  const first = (p: Plan): Plan => plans.find((q) => q.choices === p.choices)!;
  const timed = plans.flatMap((p) =>
    p.session === null || first(p) !== p ? [] : [{ ...p, session: p.session }],
  );
  const times = lowTimes(timed.map((p) => p.session));
  const mine = times[0]!;
  console.log(title);
  for (const plan of plans) {
    const label = `  ${plan.name.padEnd(20)}`;
    const at = timed.findIndex((p) => p.name === plan.name);
    if (first(plan) !== plan) console.log(`${label} the same plan as ${first(plan).name}`);
    else if (at < 0) console.log(`${label} predicted ${plan.predictedMs.toFixed(3)} ms, not timed`);
    else {
      const off = (100 * (plan.predictedMs / times[at]! - 1)).toFixed(0);
      const ratio = (times[at]! / mine).toFixed(3);
      console.log(
        `${label} predicted ${plan.predictedMs.toFixed(3)} ms, measured ${times[at]!.toFixed(3)} ms (off by ${off} %), ${ratio} of selected`,
      );
    }
  }
  for (const { session } of plans) session?.close();
  const best = Math.min(...times);
  const name = timed[times.indexOf(best)]!.name;
  const faults: string[] = [];
  if (mine > MOST_SLOWER * best) {
    faults.push(`${title}: ${name} is ${(mine / best).toFixed(2)} times as fast as the selection`);
  }
  const off = plans[0]!.predictedMs / mine - 1;
  if (Math.abs(off) > MOST_OFF) {
    faults.push(`${title}: predicted time is off by ${(100 * off).toFixed(0)} %`);
  }
  return faults;
}

const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: {
    measure: { type: "boolean", default: false },
    assert: { type: "boolean", default: false },
  },
});
const faults: string[] = [];
for (const text of positionals.length === 0 ? MODELS.map((m) => m.name) : positionals) {
  const [name = "", only] = text.split(":");
  for (const dtype of DTYPES) {
    if (only !== undefined && only !== dtype) continue;
    faults.push(...(await compare(name, dtype, values.measure)));
  }
}
for (const fault of faults) console.log(fault);
if (values.assert && faults.length > 0) process.exitCode = 1;
