/**
 * @file Compares our results with TensorFlow Lite's, for each of its kernel sets: outputs of the
 * int8 MLPerf Tiny models, or (--ops) of one small model for each operator. Writes the golden
 * outputs that test/golden-integers.test.ts checks: test/golden/tflite-int8.json, and with --ops
 * tflite-ops.json.
 *
 *   node bench/peers/tflite-agreement.ts --python PYTHON [--data ../shared/data] [--samples 20]
 *     [--model kws] [--ops] [--arith float] [--golden FILE]
 */
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { importTflite } from "../../src/formats/tflite/index.ts";
import type { Graph } from "../../src/graph/graph.ts";
import { interpret } from "../../src/graph/interpret.ts";
import type { Arith } from "../../src/graph/op.ts";
import { DTYPES } from "../../src/tensor/dtype.ts";
import { bytesOf, elementCount, numberReader, type TensorType } from "../../src/tensor/tensor.ts";
import { hashBytes } from "../../src/util/math.ts";
import {
  caseFeeds,
  GOLDEN_MODELS,
  type GoldenModel,
  randomSamples,
} from "../../test/support/golden.ts";
import { tfliteCases } from "../../test/support/tflite-cases.ts";

const RESOLVERS = ["builtin", "ref", "xnnpack"] as const;
const SCRIPT = new URL("./tflite_reference.py", import.meta.url).pathname;

const { values: flags } = parseArgs({
  options: {
    python: { type: "string" },
    data: { type: "string", default: new URL("../../../shared/data", import.meta.url).pathname },
    samples: { type: "string", default: "20" },
    model: { type: "string" },
    ops: { type: "boolean", default: false },
    arith: { type: "string", default: "tflite" },
    golden: { type: "string" },
  },
});
if (flags.python === undefined) {
  console.error("give --python: an interpreter that has ai-edge-litert and numpy");
  process.exit(2);
}
const python: string = flags.python;
const arith: Arith = flags.arith === "float" ? "float" : "tflite";
const folder = mkdtempSync(join(tmpdir(), "agreement-"));

interface Job {
  readonly model: string;
  readonly inputs: Uint8Array;
}

/** TensorFlow Lite's output bytes for each job; null where it refuses the model. */
function reference(jobs: readonly Job[], resolver: string): (Uint8Array | null)[] {
  const lines = jobs.map(({ model, inputs }, i) => {
    writeFileSync(join(folder, `${i}.in`), inputs);
    rmSync(join(folder, `${i}.out`), { force: true });
    return [model, join(folder, `${i}.in`), join(folder, `${i}.out`)].join("\t");
  });
  writeFileSync(join(folder, "jobs"), lines.join("\n"));
  const args = [SCRIPT, join(folder, "jobs"), "--resolver", resolver];
  const run = spawnSync(python, args, { encoding: "utf8", maxBuffer: 2 ** 26 });
  if (run.status !== 0) throw new Error(`${SCRIPT} failed: ${run.stderr}`);
  if (run.stdout !== "") console.log(run.stdout.trim());
  return jobs.map((_, i) => {
    const file = join(folder, `${i}.out`);
    return existsSync(file) ? new Uint8Array(readFileSync(file)) : null;
  });
}

const outputTypes = (graph: Graph): TensorType[] =>
  graph.outputs.map((v) => graph.values.get(v)!.type);

/** Elements of concatenated outputs as numbers, sample after sample. */
function decode(bytes: Uint8Array, types: readonly TensorType[]): number[] {
  const out: number[] = [];
  const copy = new Uint8Array(bytes);
  for (let at = 0; at < copy.length; ) {
    for (const type of types) {
      const { sizeBytes, view } = DTYPES[type.dtype];
      const n = elementCount(type.shape);
      const part = copy.slice(at, at + n * sizeBytes);
      const read = numberReader({ type, data: view(part.buffer, 0, n) });
      for (let i = 0; i < n; i++) out.push(read(i));
      at += n * sizeBytes;
    }
  }
  return out;
}

function compare(ours: readonly number[], theirs: readonly number[], perSample: number) {
  let equal = 0;
  let worst = 0;
  const wrong = new Set<number>();
  ours.forEach((x, i) => {
    const y = theirs[i]!;
    if (Object.is(x, y) || x === y) equal++;
    else {
      wrong.add(Math.floor(i / perSample));
      worst = Math.max(worst, Math.abs(x - y));
    }
  });
  const samples = ours.length / perSample;
  return { equalSamples: samples - wrong.size, equalValues: equal / ours.length, worst };
}

async function parquetRows(file: string, column: string, count: number): Promise<Uint8Array[]> {
  const { parquetReadObjects } = await import("hyparquet");
  const bytes = readFileSync(join(flags.data!, file));
  const buffer = new Uint8Array(bytes).buffer;
  const rows = await parquetReadObjects({
    file: buffer,
    columns: [column],
    rowEnd: count,
    utf8: false,
  });
  return rows.map((row) => row[column] as Uint8Array);
}

/** Inputs from the data set where there is one, otherwise seeded random integers. */
async function samplesOf(model: GoldenModel, count: number, size: number): Promise<Int8Array[]> {
  if (model.key === "kws") {
    const rows = await parquetRows("mlperf-tiny/kws_eval.parquet", "features_int8", count);
    return rows.map((r) => new Int8Array(r));
  }
  if (model.key !== "ic") return randomSamples(model.seed, count, size);
  const { default: jpeg } = await import("jpeg-js");
  const rows = await parquetRows("cifar10/test.parquet", "image", count);
  return rows.map((r) => {
    const { data } = jpeg.decode(r, { useTArray: true, formatAsRGBA: false });
    return Int8Array.from(data, (x) => x - 128);
  });
}

const concatenated = (samples: readonly Int8Array[]): Uint8Array =>
  Buffer.concat(samples.map((s) => new Uint8Array(s.buffer, s.byteOffset, s.length)));

const writeGolden = (golden: object): void =>
  writeFileSync(flags.golden!, `${JSON.stringify(golden, null, 2)}\n`);

async function compareModels(): Promise<void> {
  const golden: Record<string, { samples: number; hash: string }> = {};
  const rows: object[] = [];
  for (const model of GOLDEN_MODELS) {
    if (flags.model !== undefined && flags.model !== model.key) continue;
    const file = join(flags.data!, "mlperf-tiny/models", model.file);
    const { graph } = importTflite(readFileSync(file), { arith });
    const types = outputTypes(graph);
    const type = graph.values.get(graph.inputs[0]!)!.type;
    const samples = await samplesOf(model, Number(flags.samples), elementCount(type.shape));
    const ours = samples.flatMap((data) =>
      decode(bytesOf(interpret(graph, [{ type, data }])[0]!), types),
    );
    for (const resolver of RESOLVERS) {
      const [theirs] = reference([{ model: file, inputs: concatenated(samples) }], resolver);
      const same = compare(ours, decode(theirs!, types), ours.length / samples.length);
      rows.push({ model: model.key, resolver, samples: samples.length, ...same });
    }
    const random = randomSamples(model.seed, model.samples, elementCount(type.shape));
    const [outs] = reference([{ model: file, inputs: concatenated(random) }], "builtin");
    golden[model.key] = { samples: model.samples, hash: hashBytes(outs!) };
  }
  console.table(rows);
  if (flags.golden !== undefined)
    writeFileSync(flags.golden, `${JSON.stringify(golden, null, 2)}\n`);
}

function compareOps(): void {
  const cases = tfliteCases.map(({ name, bytes }, i) => {
    const { graph } = importTflite(bytes, { arith });
    const model = join(folder, `${i}.tflite`);
    writeFileSync(model, bytes);
    const feeds = caseFeeds(graph, i);
    const types = outputTypes(graph);
    const inputs = Buffer.concat(feeds.flat().map(bytesOf));
    const ours = Buffer.concat(feeds.flatMap((f) => interpret(graph, f).map(bytesOf)));
    return { name, model, inputs, types, bytes: ours, ours: decode(ours, types) };
  });
  const theirs = RESOLVERS.map((resolver) => reference(cases, resolver));
  const rows = cases.map((c, i) => {
    const cells = RESOLVERS.map((resolver, r) => {
      const bytes = theirs[r]![i];
      if (!bytes) return [resolver, "refused"];
      const got = decode(bytes, c.types);
      if (got.length !== c.ours.length) return [resolver, `${got.length} values`];
      const { equalValues, worst } = compare(c.ours, got, 1);
      return [
        resolver,
        equalValues === 1 ? "=" : `${equalValues.toFixed(4)} ${worst.toPrecision(2)}`,
      ];
    });
    return { case: c.name, ...Object.fromEntries(cells) } as Record<string, string>;
  });
  const golden = cases.flatMap(({ name, types, bytes }, i) => {
    const integers = types.every((t) => DTYPES[t.dtype].kind !== "float");
    return integers && rows[i]!["builtin"] === "=" ? [[name, hashBytes(bytes)] as const] : [];
  });
  if (flags.golden !== undefined) writeGolden(Object.fromEntries(golden));
  const exact = rows.filter((row) => RESOLVERS.every((r) => row[r] === "="));
  console.log(
    `${exact.length} of ${rows.length} cases agree bit for bit with every kernel set; the others:`,
  );
  console.table(rows.filter((row) => !exact.includes(row)));
}

if (flags.ops) compareOps();
else await compareModels();
rmSync(folder, { recursive: true });
