/** @file Conversion between element types (docs/ir.md, casts). */
import { defineOp, type Sample } from "../../graph/op.ts";
import { DTYPES, type DType, isBig, isFloat, isInteger } from "../../tensor/dtype.ts";
import { numberReader, numberWriter, type Tensor, tensorType, zeros } from "../../tensor/tensor.ts";
import { clamp } from "../../util/math.ts";
import { convert } from "../lowering.ts";
import { expectInputs } from "../shape/check.ts";
import { ALL, broadcastAxes } from "./factory.ts";
import { elementwiseKernel } from "./nest.ts";

export interface CastAttrs {
  readonly to: DType;
}

/** The f64 that rounds to the same f32 as the integer does, when f32 is wanted. */
function toFloat(x: bigint, to: DType): number {
  if (to === "f64" || (x > -(2n ** 53n) && x < 2n ** 53n)) return Number(x);
  // Folding the low bits into a sticky one keeps the second rounding, to f32, from being off.
  const sticky = (x & 2047n) === 0n ? 0n : 1n;
  return Number((x >> 11n) | sticky) * 2048;
}

/** Truncates toward zero and saturates at the register's range; NaN gives 0. */
function truncate(x: number, to: DType): number {
  if (Number.isNaN(x)) return 0;
  const { min, max } = DTYPES[to === "u32" ? "u32" : "i32"];
  return clamp(Math.trunc(x), min, max);
}

function truncateBig(x: number, to: DType): bigint {
  if (Number.isNaN(x)) return 0n;
  const [lo, hi] = to === "u64" ? [0n, 2n ** 64n - 1n] : [-(2n ** 63n), 2n ** 63n - 1n];
  if (x <= Number(lo)) return lo;
  return x >= Number(hi) ? hi : BigInt(Math.trunc(x));
}

function castFromBig(x: Tensor, y: Tensor): void {
  const from = x.data as BigInt64Array;
  const { dtype } = y.type;
  const write = numberWriter(y);
  const toBig = y.data as BigInt64Array;
  from.forEach((v, i) => {
    if (isBig(dtype)) toBig[i] = v;
    else if (dtype === "bool") write(i, v === 0n ? 0 : 1);
    else write(i, isFloat(dtype) ? toFloat(v, dtype) : Number(BigInt.asIntN(32, v)));
  });
}

/** The tensor converted to another element type. */
function castTensor(x: Tensor, to: DType): Tensor {
  const y = zeros(tensorType(to, x.type.shape));
  if (isBig(x.type.dtype)) {
    castFromBig(x, y);
    return y;
  }
  const read = numberReader(x);
  const write = numberWriter(y);
  const float = isFloat(x.type.dtype);
  const big = y.data as BigInt64Array;
  for (let i = 0; i < y.data.length; i++) {
    const v = read(i);
    if (isBig(to)) big[i] = float ? truncateBig(v, to) : BigInt(v);
    else write(i, float && isInteger(to) ? truncate(v, to) : v);
  }
  return y;
}

function samples(): Sample<CastAttrs>[] {
  const all: Sample<CastAttrs>[] = ALL.flatMap((from) =>
    ALL.map((to) => ({ ins: [tensorType(from, [7])], attrs: { to }, tolerance: 0 })),
  );
  const edges = [Number.NaN, 1e30, -1e30, 3e9, -3e9, 300.7, -1.5, -0, 2 ** 31, 5e9];
  const type = tensorType("f32", [edges.length]);
  const limits = ALL.map((to) => ({
    ins: [type],
    attrs: { to },
    values: { 0: edges },
    tolerance: 0,
  }));
  return [...all, ...limits, { ins: [tensorType("f32", [2, 3, 7])], attrs: { to: "i32" } }];
}

export const cast = defineOp<CastAttrs>({
  name: "cast",
  quant: "none",
  infer(ins, { to }) {
    expectInputs(ins, 1);
    return [tensorType(to, ins[0]!.shape)];
  },
  axes: (ins) => broadcastAxes(ins, ins[0]!.shape),
  eval: (ins, { to }) => [castTensor(ins[0]!, to)],
  lower: (ins, { to }, outs) =>
    elementwiseKernel({
      name: "cast",
      ins,
      out: outs[0]!,
      compute: ([x]) => convert(x!, ins[0]!.dtype, to),
      vector: false,
    }),
  permute: (attrs) => attrs,
  inPlace: (ins, { to }) => (DTYPES[ins[0]!.dtype].sizeBytes === DTYPES[to].sizeBytes ? 0 : null),
  samples: samples(),
});
