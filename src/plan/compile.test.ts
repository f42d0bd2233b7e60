import assert from "node:assert/strict";
import { test } from "node:test";
import { type Graph, GraphBuilder } from "../graph/graph.ts";
import { interpret } from "../graph/interpret.ts";
import { makeProgramRunner, readOutput, writeInput } from "../kernel/interpret-program.ts";
import { verifyProgram } from "../kernel/verify-program.ts";
import { add } from "../ops/elementwise/add.ts";
import { cast } from "../ops/elementwise/cast.ts";
import { relu } from "../ops/elementwise/relu.ts";
import { linear } from "../ops/nn/linear.ts";
import { dequantize } from "../ops/quant/dequantize.ts";
import { concat } from "../ops/shape/concat.ts";
import { reshape } from "../ops/shape/reshape.ts";
import { primitives } from "../primitives/index.ts";
import { type Tensor, tensorOf, tensorType, toNumbers } from "../tensor/tensor.ts";
import { compileGraph } from "./compile.ts";

function run(graph: Graph, feeds: readonly Tensor[]): number[][] {
  const { program } = compileGraph(graph, { primitives });
  verifyProgram(program);
  const runner = makeProgramRunner(program);
  runner.init();
  feeds.forEach((t, i) => {
    writeInput(runner, i, t);
  });
  runner.run();
  return program.outputs.map((_, i) => toNumbers(readOutput(runner, i)));
}

const row = (values: readonly number[]): Tensor => tensorOf("f32", [values.length], values);

test("a value read later through a view is not overwritten in place", () => {
  const g = new GraphBuilder("views");
  const a = g.input("a", tensorType("f32", [2]));
  const b = g.input("b", tensorType("f32", [2]));
  const first = g.apply(add, [a, b], {});
  const second = g.apply(add, [first, b], {});
  const views = [first, second].map((v) => g.apply(reshape, [v], { shape: [1, 2] }));
  g.output(second, "sum");
  g.output(g.apply(concat, views, { axis: 0 }), "all");
  const feeds = [row([1, 2]), row([10, 20])];
  assert.deepEqual(run(g.build(), feeds), [
    [21, 42],
    [11, 22, 21, 42],
  ]);
});

test("inputs, constants and views of them can be outputs", () => {
  const g = new GraphBuilder("direct");
  const a = g.input("a", tensorType("f32", [2]));
  const c = g.constant(row([5, 6]));
  g.output(a, "a");
  g.output(g.apply(reshape, [a], { shape: [2, 1] }), "view");
  g.output(c, "c");
  g.output(g.apply(reshape, [c], { shape: [1, 2] }), "constant view");
  g.output(g.apply(relu, [a]), "relu");
  assert.deepEqual(run(g.build(), [row([-1, 2])]), [
    [-1, 2],
    [-1, 2],
    [5, 6],
    [5, 6],
    [0, 2],
  ]);
});

test("half-precision weights are stored in two bytes and decoded at load", () => {
  for (const dtype of ["f16", "bf16"] as const) {
    const build = (stored: boolean): Graph => {
      const g = new GraphBuilder("half");
      const x = g.input("x", tensorType("f32", [1, 16]));
      const values = Array.from({ length: 128 }, (_, i) => (i % 9) / 8 - 0.5);
      const half = g.constant(tensorOf(dtype, [8, 16], values));
      const full = g.constant(tensorOf("f32", [8, 16], values));
      const w = stored ? g.apply(cast, [half], { to: "f32" }) : full;
      g.output(g.apply(linear, [x, w], {}), "y");
      return g.build();
    };
    const feed = tensorOf(
      "f32",
      [1, 16],
      Array.from({ length: 16 }, (_, i) => i - 8),
    );
    const stored = build(true);
    assert.deepEqual(run(stored, [feed]), run(build(false), [feed]));
    const bytes = compileGraph(stored, { primitives }).program.constants.map((c) => c.bytes.length);
    assert.ok(bytes.includes(256) && !bytes.includes(512), `segments of ${bytes} bytes`);
    assert.deepEqual(run(stored, [feed])[0], toNumbers(interpret(stored, [feed])[0]!));
  }
});

test("8-bit weights of a float layer are stored in one byte, packed or not", () => {
  const scale = [0.5, 0.25, 0.125, 1, 2, 4, 0.0625, 8];
  const values = Array.from({ length: 128 }, (_, i) => ((i * 37) % 255) - 127);
  const quant = { scale, zeroPoint: scale.map(() => 0), axis: 0 };
  const stored = { type: tensorType("i8", [8, 16], quant), data: Int8Array.from(values) };
  const g = new GraphBuilder("stored");
  const x = g.input("x", tensorType("f32", [1, 16]));
  const w = g.apply(dequantize, [g.constant(stored)]);
  g.output(g.apply(linear, [x, w], {}), "packed");
  g.output(g.apply(add, [x, g.apply(dequantize, [g.constant(stored)])], {}), "plain");
  const graph = g.build();
  const feed = tensorOf(
    "f32",
    [1, 16],
    Array.from({ length: 16 }, (_, i) => i - 8),
  );
  const want = interpret(graph, [feed]).map(toNumbers);
  assert.deepEqual(run(graph, [feed]), want);
  const bytes = compileGraph(graph, { primitives }).program.constants.map((c) => c.bytes.length);
  assert.ok(bytes.includes(128) && !bytes.includes(512), `segments of ${bytes} bytes`);
});
