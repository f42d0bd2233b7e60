/**
 * @file ACDC layers by the fast cosine transform and by its matrix, and a product with one matrix of that size:
 * milliseconds of all in turns, by size and rows. What FAST_FROM of src/ops/nn/dct.ts and FAST_OPERATION of
 * src/train/structured/acdc.ts are taken from. The last column: a product over the fast layer, so the layers from which on
 * one matrix for all of them is faster is that number.
 *
 *   node bench/acdc.ts [--sizes 128,256,512,1024,2048,4096] [--rows 1,16,128] [--native]
 */
import { parseArgs } from "node:util";
import { machineInfo } from "../cli/measure.ts";
import { type Graph, GraphBuilder } from "../src/graph/graph.ts";
import { createNativeSession } from "../src/native/index.ts";
import { nativeTarget } from "../src/native/target.ts";
import { acdc } from "../src/ops/nn/acdc.ts";
import { linear } from "../src/ops/nn/linear.ts";
import { compile } from "../src/pipeline.ts";
import { createSession } from "../src/runtime/session.ts";
import { tensorOf, tensorType } from "../src/tensor/tensor.ts";
import { median } from "../src/util/math.ts";

const { values: flags } = parseArgs({
  options: {
    sizes: { type: "string", default: "128,256,512,1024,2048,4096" },
    rows: { type: "string", default: "1,16,128" },
    native: { type: "boolean", default: false },
  },
});
const numbers = (text: string): number[] => text.split(",").map(Number);
const ROUNDS = 9;
const ROUND_MS = 20;

type Way = "fast" | "dense" | "product";
const WAYS: readonly Way[] = ["dense", "fast", "product"];

const wave = (length: number, seed: number): number[] =>
  Array.from({ length }, (_, i) => Math.sin(i + seed));

function layer(n: number, rows: number, way: Way): Graph {
  const g = new GraphBuilder(`acdc-${way}`);
  const x = g.input("x", tensorType("f32", [rows, n]));
  if (way === "product") {
    g.output(g.apply(linear, [x, g.constant(tensorOf("f32", [n, n], wave(n * n, 0)))], {}), "y");
    return g.build();
  }
  const about1 = (seed: number) =>
    g.constant(
      tensorOf(
        "f32",
        [n],
        wave(n, seed).map((w) => 1 + w / 9),
      ),
    );
  g.output(g.apply(acdc, [x, about1(1), about1(2)], { form: way }), "y");
  return g.build();
}

async function open(n: number, rows: number, way: Way) {
  const graph = layer(n, rows, way);
  const session = flags.native
    ? await createNativeSession(compile(graph, { caps: (await nativeTarget()).caps }).program)
    : await createSession(compile(graph).program);
  const x = [tensorOf("f32", [rows, n], wave(rows * n, 2))];
  const run = (): void => void session.run(x);
  for (let i = 0; i < 20; i++) run();
  return { run, close: () => session.close() };
}

function milliseconds(run: () => void): number {
  const start = performance.now();
  let count = 0;
  while (performance.now() - start < ROUND_MS) {
    run();
    count++;
  }
  return (performance.now() - start) / count;
}

const { cpu, node } = machineInfo();
console.log(
  `${cpu}, Node ${node}, ${flags.native ? "native" : "WebAssembly"}, one thread; medians of ${ROUNDS} rounds`,
);
console.log(
  "|    n | rows | matrices, ms | fast, ms | product, ms | matrices / fast | product / fast |",
);
console.log("| ---: | ---: | ---: | ---: | ---: | ---: | ---: |");
for (const n of numbers(flags.sizes)) {
  for (const rows of numbers(flags.rows)) {
    const sessions = await Promise.all(WAYS.map((way) => open(n, rows, way)));
    const times = Array.from({ length: ROUNDS }, () => sessions.map((s) => milliseconds(s.run)));
    const each = WAYS.map((_, k) => median(times.map((t) => t[k]!)).toPrecision(3));
    const over = [0, 2].map((k) => median(times.map((t) => t[k]! / t[1]!)).toFixed(2));
    console.log(`| ${[n, rows, ...each, ...over].join(" | ")} |`);
    for (const s of sessions) s.close();
  }
}
