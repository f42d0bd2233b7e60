/** @file The gradient of f32 batch normalisation in training, channels last: sums by chunks, then dy * a + x * b + c. */
import { add, affine, div, fma, KernelBuilder, mul, sub, unary } from "../../kernel/build.ts";
import type { Expr } from "../../kernel/ir.ts";
import { batchNormTrainingBackward } from "../../ops/nn/batch-norm-training.ts";
import { definePrimitive, operandBytes, type Step } from "../primitive.ts";
import {
  type Chunks,
  chunksOf,
  fill,
  forEachChannels,
  forEachChunk,
  partialAt,
  partialCount,
  work,
} from "./chunks.ts";

export const batchNormTrainingBackwardF32 = definePrimitive({
  name: "f32_batch_norm_training_backward",
  op: batchNormTrainingBackward,
  candidates: (input) => {
    const c = chunksOf(input.ins[0]!, input.attrs.layout, input.caps);
    if (c === null) return [];
    return [
      {
        name: "f32_batch_norm_training_backward_chunks",
        family: "statistics",
        work: { macs: 0, bytes: operandBytes(input) },
        implement: () => ({
          inPlace: false,
          steps: [sums(c), combine(c, input.attrs.epsilon), gradient(c)],
        }),
      },
    ];
  },
});

/** Per chunk and channel: the sum of the cotangents, and of cotangent times deviation from the mean. */
function sums(c: Chunks): Step {
  const k = new KernelBuilder("batch_backward_sums");
  const x = k.buffer("x", "f32", c.pixels * c.channels, "in");
  const mean = k.buffer("mean", "f32", c.channels, "in");
  const dy = k.buffer("dy", "f32", c.pixels * c.channels, "in");
  const partial = k.buffer("partial", "f32", partialCount(c), "out");
  forEachChunk(k, c, (chunk, first, count) => {
    forEachChannels(k, c, (channel, type) => {
      const at = k.let("x0", affine([first, c.channels], channel));
      const centre = k.let("centre", k.load(mean, channel, type));
      const all = k.reg("all", fill(type, 0));
      const slope = k.reg("slope", fill(type, 0));
      k.for("p", 0, count, (p) => {
        const place = affine(at, [p, c.channels]);
        const ct = k.let("ct", k.load(dy, place, type));
        k.set(all, add(all, ct));
        k.set(slope, fma(ct, sub(k.load(x, place, type), centre), slope));
      });
      k.store(partial, partialAt(c, chunk, 0, channel), all);
      k.store(partial, partialAt(c, chunk, 1, channel), slope);
    });
  });
  return {
    kernel: k.build(),
    operands: [
      { kind: "in", index: 0 },
      { kind: "in", index: 2 },
      { kind: "in", index: 4 },
      work("partial", partialCount(c)),
    ],
    args: [],
  };
}

/** The gradients of gamma and beta, and the three factors of the gradient of x. */
function combine(c: Chunks, epsilon: number): Step {
  const k = new KernelBuilder("batch_backward_combine");
  const partial = k.buffer("partial", "f32", partialCount(c), "in");
  const [gamma, mean, variance] = ["gamma", "mean", "variance"].map((name) =>
    k.buffer(name, "f32", c.channels, "in"),
  );
  const dgamma = k.buffer("dgamma", "f32", c.channels, "out");
  const dbeta = k.buffer("dbeta", "f32", c.channels, "out");
  const factors = k.buffer("factors", "f32", 3 * c.channels, "out");
  forEachChannels(k, c, (channel, type) => {
    const total = (which: 0 | 1): Expr => {
      const sum = k.reg("sum", fill(type, 0));
      k.for("chunk", 0, c.count, (chunk) => {
        k.set(sum, add(sum, k.load(partial, partialAt(c, chunk, which, channel), type)));
      });
      return sum;
    };
    const all = total(0);
    const root = unary("sqrt", add(k.load(variance!, channel, type), fill(type, epsilon)));
    const inverse = k.let("inverse", div(fill(type, 1), root));
    const slope = k.let("slope", mul(total(1), inverse));
    const share = fill(type, 1 / c.pixels);
    const a = k.let("a", mul(k.load(gamma!, channel, type), inverse));
    const b = k.let("b", mul(mul(mul(a, inverse), slope), fill(type, -1 / c.pixels)));
    const shift = add(mul(b, k.load(mean!, channel, type)), mul(mul(a, all), share));
    k.store(dgamma, channel, slope);
    k.store(dbeta, channel, all);
    k.store(factors, channel, a);
    k.store(factors, add(channel, c.channels), b);
    k.store(factors, add(channel, 2 * c.channels), sub(fill(type, 0), shift));
  });
  return {
    kernel: k.build(),
    operands: [
      work("partial", partialCount(c)),
      { kind: "in", index: 1 },
      { kind: "in", index: 2 },
      { kind: "in", index: 3 },
      { kind: "out", index: 1 },
      { kind: "out", index: 2 },
      work("factors", 3 * c.channels),
    ],
    args: [],
  };
}

function gradient(c: Chunks): Step {
  const k = new KernelBuilder("batch_backward");
  const x = k.buffer("x", "f32", c.pixels * c.channels, "in");
  const dy = k.buffer("dy", "f32", c.pixels * c.channels, "in");
  const factors = k.buffer("factors", "f32", 3 * c.channels, "in");
  const dx = k.buffer("dx", "f32", c.pixels * c.channels, "out");
  forEachChunk(k, c, (_, first, count) => {
    forEachChannels(k, c, (channel, type) => {
      const at = k.let("x0", affine([first, c.channels], channel));
      const [a, b, shift] = [0, 1, 2].map((i) =>
        k.let("f", k.load(factors, add(channel, i * c.channels), type)),
      );
      k.for("p", 0, count, (p) => {
        const place = affine(at, [p, c.channels]);
        const ofX = fma(k.load(x, place, type), b!, shift!);
        k.store(dx, place, fma(k.load(dy, place, type), a!, ofX));
      });
    });
  });
  return {
    kernel: k.build(),
    operands: [
      { kind: "in", index: 0 },
      { kind: "in", index: 4 },
      work("factors", 3 * c.channels),
      { kind: "out", index: 0 },
    ],
    args: [],
  };
}
