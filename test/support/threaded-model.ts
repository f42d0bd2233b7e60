/** @file For tests: a small network whose layers are worth sharing between threads. */
import { type Graph, GraphBuilder } from "../../src/graph/graph.ts";
import type { Program } from "../../src/kernel/program.ts";
import { averagePool } from "../../src/ops/nn/average-pool.ts";
import { conv } from "../../src/ops/nn/conv.ts";
import { linear } from "../../src/ops/nn/linear.ts";
import { compile } from "../../src/pipeline.ts";
import { type Tensor, tensorOf, tensorType } from "../../src/tensor/tensor.ts";
import { product } from "../../src/util/math.ts";
import { makeRng } from "../../src/util/rng.ts";

const random = (seed: number, shape: readonly number[]): Tensor => {
  const rng = makeRng(seed);
  return tensorOf(
    "f32",
    shape,
    Array.from({ length: product(shape) }, () => rng.normal() / 4),
  );
};

const CONV = {
  layout: "nhwc",
  stride: [1, 1],
  padBegin: [1, 1],
  padEnd: [1, 1],
  dilation: [1, 1],
  act: { fn: "relu" },
} as const;

/** Convolutions, one of them depthwise, a pool and a fully connected layer. Input "x", output "y". */
export function threadedGraph(): Graph {
  const g = new GraphBuilder("threaded");
  const x = g.input("x", tensorType("f32", [1, 48, 48, 16]));
  const weights = (seed: number, ...shape: number[]) => g.constant(random(seed, shape));
  const a = g.apply(conv, [x, weights(1, 64, 3, 3, 16)], { ...CONV, groups: 1 }, "a");
  const b = g.apply(conv, [a, weights(2, 64, 3, 3, 1)], { ...CONV, groups: 64 }, "b");
  const c = g.apply(conv, [b, weights(3, 64, 3, 3, 64)], { ...CONV, groups: 1 }, "c");
  const window = { kernel: [48, 48], stride: [1, 1], padBegin: [0, 0], padEnd: [0, 0] };
  const p = g.apply(averagePool, [c], { layout: "nhwc", ...window }, "pool");
  g.output(g.apply(linear, [p, weights(4, 10, 64)], {}, "head"), "y");
  return g.build();
}

export const threadedProgram = (): Program => compile(threadedGraph()).program;

export const threadedFeed = (seed = 1): Tensor => random(seed, [1, 48, 48, 16]);
