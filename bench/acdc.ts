/**
 * @file ACDC layers by the fast cosine transform and by its matrix: milliseconds of both in turns, by size and rows. What
 * FAST_FROM of src/ops/nn/dct.ts is taken from.
 *
 *   node bench/acdc.ts [--sizes 128,256,512,1024,2048,4096] [--rows 1,16,128] [--native]
 */
import { parseArgs } from "node:util";
import { machineInfo } from "../cli/measure.ts";
import { type Graph, GraphBuilder } from "../src/graph/graph.ts";
import { createNativeSession } from "../src/native/index.ts";
import { nativeTarget } from "../src/native/target.ts";
import { acdc } from "../src/ops/nn/acdc.ts";
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

function layer(n: number, rows: number, form: "fast" | "dense"): Graph {
  const g = new GraphBuilder(`acdc-${form}`);
  const x = g.input("x", tensorType("f32", [rows, n]));
  const about1 = (seed: number) =>
    g.constant(
      tensorOf(
        "f32",
        [n],
        Array.from({ length: n }, (_, i) => 1 + Math.sin(i + seed) / 9),
      ),
    );
  g.output(g.apply(acdc, [x, about1(1), about1(2)], { form }), "y");
  return g.build();
}

async function open(n: number, rows: number, form: "fast" | "dense") {
  const graph = layer(n, rows, form);
  const session = flags.native
    ? await createNativeSession(compile(graph, { caps: (await nativeTarget()).caps }).program)
    : await createSession(compile(graph).program);
  const x = [
    tensorOf(
      "f32",
      [rows, n],
      Array.from({ length: rows * n }, (_, i) => Math.cos(i)),
    ),
  ];
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
console.log("|    n | rows | matrix, ms | fast, ms | matrix / fast |");
console.log("| ---: | ---: | ---: | ---: | ---: |");
for (const n of numbers(flags.sizes)) {
  for (const rows of numbers(flags.rows)) {
    const [dense, fast] = [await open(n, rows, "dense"), await open(n, rows, "fast")];
    const times = Array.from({ length: ROUNDS }, () =>
      [dense, fast].map((s) => milliseconds(s.run)),
    );
    const [a, b] = [0, 1].map((k) => median(times.map((t) => t[k]!))) as [number, number];
    const ratio = median(times.map(([p, q]) => p! / q!));
    console.log(
      `| ${n} | ${rows} | ${a.toPrecision(3)} | ${b.toPrecision(3)} | ${ratio.toFixed(2)} |`,
    );
    for (const s of [dense, fast]) s.close();
  }
}
