/**
 * @file Average pooling in NHWC, 16 channels at a time: f32, and bytes with i32 sums in both
 * arithmetics.
 */
import { add, binary, cast, constant, KernelBuilder, splat } from "../../kernel/build.ts";
import type { Buffer, Expr, KType } from "../../kernel/ir.ts";
import { averagePool, divisorOf } from "../../ops/nn/average-pool.ts";
import { poolPlan } from "../../ops/nn/pool.ts";
import { poolMean } from "../../ops/nn/pool-mean.ts";
import { elementCount } from "../../tensor/tensor.ts";
import { product } from "../../util/math.ts";
import { storeEight, storeFour } from "../gemm/byte-results.ts";
import type { Byte } from "../gemm/i8-pack.ts";
import { type Block, forEachBlock } from "../pool/nest.ts";
import { definePrimitive, type Implementation, operandBytes } from "../primitive.ts";

const implementation = (k: KernelBuilder): Implementation => ({
  inPlace: false,
  steps: [
    {
      kernel: k.build(),
      operands: [
        { kind: "in", index: 0 },
        { kind: "out", index: 0 },
      ],
      args: [],
    },
  ],
});

/** Sums over the window, one register for four channels (or one), of what `read` gives. */
function sums(
  k: KernelBuilder,
  block: Block,
  elem: "f32" | "i32",
  read: (from: Expr) => readonly Expr[],
): Expr[] {
  const type: KType = block.width === 1 ? elem : `${elem}x4`;
  const count = Math.max(1, block.width / 4);
  const acc = Array.from({ length: count }, () => k.reg("sum", constant(type, 0)));
  block.eachTap((from) => {
    for (const [i, v] of read(from).entries()) k.set(acc[i]!, add(acc[i]!, v));
  });
  return acc;
}

/** Bytes from `from`: four or one i32 lanes a vector. */
function widen(k: KernelBuilder, x: Buffer, from: Expr, width: number): Expr[] {
  if (width < 16) return [k.load(x, from, width === 1 ? "i32" : "i32x4")];
  return [0, 8].flatMap((at) => {
    const words = k.let("words", k.load(x, add(from, at), "i16x8"));
    return [cast("i32x4", "extend_low_s", words), cast("i32x4", "extend_high_s", words)];
  });
}

/** Windows whose sums of bytes, and half their count, stay below 2^23. */
const MOST_TAPS = 2 ** 14;

export const averagePoolF32 = definePrimitive({
  name: "f32_average_pool_nhwc",
  op: averagePool,
  candidates: (input) => {
    const { ins, outs, attrs } = input;
    if (attrs.layout !== "nhwc" || ins[0]!.dtype !== "f32") return [];
    if (outs[0]!.quant !== undefined) return [];
    const work = { macs: 0, bytes: operandBytes(input) };
    return [
      {
        name: "f32_average_pool_nhwc",
        family: "pool",
        work,
        implement: () => {
          const k = new KernelBuilder("average_pool");
          const x = k.buffer("x", "f32", elementCount(ins[0]!.shape), "in");
          const y = k.buffer("y", "f32", elementCount(outs[0]!.shape), "out");
          const plan = poolPlan(ins[0]!, outs[0]!, attrs);
          forEachBlock(k, plan, (block) => {
            const type = block.width === 1 ? "f32" : "f32x4";
            const offsets = Array.from({ length: Math.max(1, block.width / 4) }, (_, i) => 4 * i);
            const totals = sums(k, block, "f32", (from) =>
              offsets.map((o) => k.load(x, add(from, o), type)),
            );
            const count = cast("f32", "convert_s", divisorOf(attrs, plan, block.window, block.at));
            const n = k.let("count", type === "f32" ? count : splat(type, count));
            totals.forEach((sum, i) => {
              k.store(y, add(block.to, offsets[i]!), binary("div", sum, n));
            });
          });
          return implementation(k);
        },
      },
    ];
  },
});

export const averagePoolBytes = definePrimitive({
  name: "i8_average_pool_nhwc",
  op: averagePool,
  candidates: (input) => {
    const { ins, outs, attrs } = input;
    const [from, to] = [ins[0]!, outs[0]!];
    const mean = poolMean(from, to, attrs.arith);
    if (attrs.layout !== "nhwc" || mean === null || product(attrs.kernel) > MOST_TAPS) return [];
    const work = { macs: 0, bytes: operandBytes(input) };
    return [
      {
        name: `${from.dtype}_average_pool_nhwc`,
        family: "pool",
        work,
        implement: () => {
          const k = new KernelBuilder("average_pool");
          const x = k.buffer("x", from.dtype, elementCount(from.shape), "in");
          const y = k.buffer("y", to.dtype, elementCount(to.shape), "out");
          const plan = poolPlan(from, to, attrs);
          forEachBlock(k, plan, (block) => {
            const totals = sums(k, block, "i32", (at) => widen(k, x, at, block.width));
            const count = divisorOf(attrs, plan, block.window, block.at);
            const finish = mean.prepare(k, block.window.count, count);
            const [a, b, c, d] = totals.map((s) => k.let("q", finish(k.let("total", s))));
            const dtype = to.dtype as Byte;
            if (block.width === 1) k.store(y, block.to, a!);
            else if (block.width === 4) storeFour(k, y, block.to, a!, dtype);
            else {
              storeEight(k, y, block.to, a!, b!, dtype);
              storeEight(k, y, add(block.to, 8), c!, d!, dtype);
            }
          });
          return implementation(k);
        },
      },
    ];
  },
});
