/** @file f32 batch normalisation in training, channels last: statistics by chunks (Chan et al., 1979), then x * a + b. */
import {
  add,
  affine,
  cast,
  constant,
  div,
  fma,
  KernelBuilder,
  mul,
  splat,
  sub,
  unary,
} from "../../kernel/build.ts";
import type { Expr, Kernel, KType } from "../../kernel/ir.ts";
import { batchNormTraining } from "../../ops/nn/batch-norm-training.ts";
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

export const batchNormTrainingF32 = definePrimitive({
  name: "f32_batch_norm_training",
  op: batchNormTraining,
  candidates: (input) => {
    const c = chunksOf(input.ins[0]!, input.attrs.layout, input.caps);
    if (c === null) return [];
    return [
      {
        name: "f32_batch_norm_training_chunks",
        family: "statistics",
        work: { macs: 0, bytes: operandBytes(input) },
        implement: () => ({
          inPlace: false,
          steps: [statistics(c), combine(c, input.attrs.epsilon), normalise(c)],
        }),
      },
    ];
  },
});

/** A count of pixels as a real for every lane. */
const asReal = (count: Expr, type: KType): Expr => {
  const real = cast("f32", "convert_s", count);
  return type === "f32" ? real : splat(type, real);
};

/** The mean and the sum of squared deviations of each channel in each chunk. */
function statistics(c: Chunks): Step {
  const k = new KernelBuilder("batch_statistics");
  const x = k.buffer("x", "f32", c.pixels * c.channels, "in");
  const partial = k.buffer("partial", "f32", partialCount(c), "out");
  forEachChunk(k, c, (chunk, first, count) => {
    forEachChannels(k, c, (channel, type) => {
      const at = k.let("x0", affine([first, c.channels], channel));
      const n = k.let("n", asReal(count, type));
      const sum = k.reg("sum", fill(type, 0));
      k.for("p", 0, count, (p) => {
        k.set(sum, add(sum, k.load(x, affine(at, [p, c.channels]), type)));
      });
      const mean = k.let("mean", div(sum, n));
      const squares = k.reg("squares", fill(type, 0));
      k.for("p", 0, count, (p) => {
        const d = k.let("d", sub(k.load(x, affine(at, [p, c.channels]), type), mean));
        k.set(squares, fma(d, d, squares));
      });
      k.store(partial, partialAt(c, chunk, 0, channel), mean);
      k.store(partial, partialAt(c, chunk, 1, channel), squares);
    });
  });
  const operands = [{ kind: "in", index: 0 }, work("partial", partialCount(c))] as const;
  return { kernel: k.build(), operands, args: [] };
}

/** The statistics of all chunks together, and what normalising multiplies by and adds. */
function combine(c: Chunks, epsilon: number): Step {
  const k = new KernelBuilder("batch_combine");
  const partial = k.buffer("partial", "f32", partialCount(c), "in");
  const gamma = k.buffer("gamma", "f32", c.channels, "in");
  const beta = k.buffer("beta", "f32", c.channels, "in");
  const mean = k.buffer("mean", "f32", c.channels, "out");
  const variance = k.buffer("variance", "f32", c.channels, "out");
  const line = k.buffer("line", "f32", 2 * c.channels, "out");
  const last = c.pixels - (c.count - 1) * c.size;
  forEachChannels(k, c, (channel, type) => {
    const read = (chunk: Expr, which: 0 | 1): Expr =>
      k.load(partial, partialAt(c, chunk, which, channel), type);
    const end = constant("i32", c.count - 1);
    const size = fill(type, c.size);
    const sum = k.reg("sum", mul(read(end, 0), fill(type, last)));
    k.for("chunk", 0, c.count - 1, (chunk) => k.set(sum, fma(read(chunk, 0), size, sum)));
    const centre = k.let("centre", mul(sum, fill(type, 1 / c.pixels)));
    const squares = k.reg("squares", fill(type, 0));
    const addChunk = (chunk: Expr, count: Expr): void => {
      const d = k.let("d", sub(read(chunk, 0), centre));
      k.set(squares, add(squares, fma(mul(d, d), count, read(chunk, 1))));
    };
    k.for("chunk", 0, c.count - 1, (chunk) => addChunk(chunk, size));
    addChunk(end, fill(type, last));
    const spread = k.let("spread", mul(squares, fill(type, 1 / c.pixels)));
    const root = unary("sqrt", add(spread, fill(type, epsilon)));
    const scale = k.let("scale", div(k.load(gamma, channel, type), root));
    k.store(mean, channel, centre);
    k.store(variance, channel, spread);
    k.store(line, channel, scale);
    const shift = sub(k.load(beta, channel, type), mul(centre, scale));
    k.store(line, add(channel, c.channels), k.let("shift", shift));
  });
  return {
    kernel: k.build(),
    operands: [
      work("partial", partialCount(c)),
      { kind: "in", index: 1 },
      { kind: "in", index: 2 },
      { kind: "out", index: 1 },
      { kind: "out", index: 2 },
      work("line", 2 * c.channels),
    ],
    args: [],
  };
}

function normalise(c: Chunks): Step {
  const kernel: Kernel = (() => {
    const k = new KernelBuilder("batch_normalise");
    const x = k.buffer("x", "f32", c.pixels * c.channels, "in");
    const line = k.buffer("line", "f32", 2 * c.channels, "in");
    const y = k.buffer("y", "f32", c.pixels * c.channels, "out");
    forEachChunk(k, c, (_, first, count) => {
      forEachChannels(k, c, (channel, type) => {
        const at = k.let("x0", affine([first, c.channels], channel));
        const scale = k.let("scale", k.load(line, channel, type));
        const shift = k.let("shift", k.load(line, add(channel, c.channels), type));
        k.for("p", 0, count, (p) => {
          const place = affine(at, [p, c.channels]);
          k.store(y, place, fma(k.load(x, place, type), scale, shift));
        });
      });
    });
    return k.build();
  })();
  const operands = [
    { kind: "in", index: 0 },
    work("line", 2 * c.channels),
    { kind: "out", index: 0 },
  ] as const;
  return { kernel, operands, args: [] };
}
