/**
 * @file What the channels that training left dead cost, and what removing them gives for nothing: the model cleaned
 * with and without that pass, compiled to WebAssembly, timed in turns on one thread. Prints one JSON line.
 *
 *   node bench/experiments/dead-channels.ts MODEL [--seconds n] [--log FILE]
 */
import { readFileSync, writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { machineInfo, measure, timeFor } from "../../cli/measure.ts";
import { constantBytes, macsOf } from "../../src/graph/count.ts";
import { type Graph, typeOf } from "../../src/graph/graph.ts";
import { cleanup } from "../../src/passes/index.ts";
import { runPasses } from "../../src/passes/pass.ts";
import { compile, loadModel } from "../../src/pipeline.ts";
import { createSession } from "../../src/runtime/session.ts";
import { tensorOf } from "../../src/tensor/tensor.ts";
import { product } from "../../src/util/math.ts";
import { makeRng } from "../../src/util/rng.ts";
import { lineWriter, rounded } from "./run.ts";

const { values: flags, positionals } = parseArgs({
  allowPositionals: true,
  options: { seconds: { type: "string", default: "6" }, log: { type: "string" } },
});
const [path] = positionals;
if (path === undefined) {
  console.error("usage: dead-channels.ts MODEL");
  process.exit(2);
}
if (flags.log !== undefined) writeFileSync(flags.log, "");
const write = lineWriter(flags.log);

/** What finds channels that no result depends on, or that are constant. */
const FINDS = ["remove-dead-channels", "zero-negligible-weights"];
const imported = loadModel(readFileSync(path)).graph;
const kept = runPasses(
  imported,
  cleanup.filter((pass) => !FINDS.includes(pass.name)),
);
const gone = runPasses(imported, cleanup);

async function ready(graph: Graph) {
  const { program } = compile(graph);
  const session = await createSession(program);
  const { shape } = typeOf(graph, graph.inputs[0]!);
  const rng = makeRng(1);
  const x = Float32Array.from({ length: product(shape) }, () => rng.normal());
  const feed = [tensorOf("f32", shape, x)];
  return { run: () => session.run(feed), close: () => session.close() };
}

const both = [await ready(kept), await ready(gone)];
const [a, b] = both.map(({ run }) => Float32Array.from(run()[0]!.data as Float32Array));
const largest = a!.reduce((worst, x, i) => Math.max(worst, Math.abs(x - b![i]!)), 0);
const timed = both.map(({ run }) => ({ turn: (ms: number) => timeFor(run, ms) }));
const [before, after] = await measure(timed, Number(flags.seconds));
for (const { close } of both) close();
write({
  experiment: "dead-channels",
  model: path.split("/").at(-1),
  machine: machineInfo(),
  macs: [macsOf(kept), macsOf(gone)],
  weightBytes: [constantBytes(kept), constantBytes(gone)],
  medianMs: [before!.p50Ms, after!.p50Ms].map((x) => rounded(x, 4)),
  faster: rounded(before!.p50Ms / after!.p50Ms, 2),
  largestDifference: largest,
});
