/**
 * @file Tables of hard-swish on bytes as a short f32 formula, where it gives all 256 entries: shorter than
 * looking them up one by one.
 */
import {
  add,
  binary,
  cast,
  constant,
  i32,
  KernelBuilder,
  max,
  min,
  mul,
  narrow,
  sub,
} from "../../kernel/build.ts";
import type { Expr, Kernel } from "../../kernel/ir.ts";
import { lut } from "../../ops/quant/lut.ts";
import { DTYPES, isByte } from "../../tensor/dtype.ts";
import { elementCount, type Tensor, type TensorType } from "../../tensor/tensor.ts";
import { ceilDiv, clamp, roundHalfEven } from "../../util/math.ts";
import type { Byte } from "../gemm/i8-pack.ts";
import { definePrimitive, operandBytes } from "../primitive.ts";

/** y = t * factor * clamp(t * slope + 0.5, 0, 1) for t = x - zero, in steps of the result. */
interface Formula {
  readonly slope: number;
  readonly factor: number;
}

const f = Math.fround;
/** Factors close to 1, for entries whose exact value lies next to a half. */
const NUDGES = [0, 1, -1, 2, -2, 4, -4, 8, -8].map((e) => 1 + e * 2 ** -22);
/** 1.5 * 2^23 rounds what it is added to; its bits as i32. */
const ROUND = 12582912;
const ROUND_BITS = 0x4b400000;
/** The bits of 1. */
const ONE_BITS = 0x3f800000;
const BLOCK = 8;

/** The formula for this table, or null. Both types are per tensor, 8 bits. */
function formulaOf(x: TensorType, y: TensorType, table: Tensor): Formula | null {
  const [sx, sy] = [x.quant!.scale[0]!, y.quant!.scale[0]!];
  const [zx, zy] = [x.quant!.zeroPoint[0]!, y.quant!.zeroPoint[0]!];
  const { min: lo, max: hi } = DTYPES[y.dtype];
  const first = DTYPES[x.dtype].min;
  const gives = ({ slope, factor }: Formula): boolean => {
    for (let i = 0; i < 256; i++) {
      const t = first + i - zx;
      const gate = clamp(f(f(t * slope) + 0.5), 0, 1);
      const steps = roundHalfEven(f(f(t * factor) * gate));
      if (clamp(steps + zy, lo, hi) !== table.data[i]) return false;
    }
    return true;
  };
  for (const p of NUDGES) {
    for (const q of NUDGES) {
      const formula = { slope: f((sx / 6) * p), factor: f((sx / sy) * q) };
      if (255 * formula.factor > 2 ** 20) return null;
      if (gives(formula)) return formula;
    }
  }
  return null;
}

/** The results for eight inputs as bytes. */
function results(
  k: KernelBuilder,
  x: Expr,
  zx: number,
  { slope, factor }: Formula,
  y: TensorType,
): Expr {
  const t = k.let("t", zx === 0 ? x : sub(x, constant("i16x8", zx)));
  const real = (value: number): Expr => constant("f32x4", value);
  const zero = y.quant!.zeroPoint[0]!;
  const halves = (["extend_low_s", "extend_high_s"] as const).map((half) => {
    const v = k.let("v", cast("f32x4", "convert_s", cast("i32x4", half, t)));
    // Bits of floats that are not negative are ordered as integers, whose bounds are one instruction each.
    const open = cast("i32x4", "bits", add(mul(v, real(slope)), real(0.5)));
    const bounded = min(max(open, constant("i32x4", 0)), constant("i32x4", ONE_BITS));
    const gate = cast("f32x4", "bits", bounded);
    const shifted = add(mul(mul(v, real(factor)), gate), real(ROUND));
    return sub(cast("i32x4", "bits", shifted), constant("i32x4", ROUND_BITS - zero));
  });
  const words = k.let("h", narrow("i16x8", true, halves[0]!, halves[1]!));
  return narrow("i8x16", y.dtype === "i8", words, words);
}

function hardSwishKernel(x: TensorType, y: TensorType, n: number, formula: Formula): Kernel {
  const k = new KernelBuilder("i8_hard_swish");
  const from = k.buffer("x", x.dtype as Byte, n, "in");
  k.buffer("table", y.dtype as Byte, 256, "const");
  const to = k.buffer("y", y.dtype as Byte, n, "out");
  k.forParallel("block", 0, ceilDiv(n, BLOCK), (block) => {
    const start = binary("shl", block, i32(3));
    // The last block overlaps the one before.
    const i = n % BLOCK === 0 ? start : k.let("i", min(start, i32(n - BLOCK)));
    const v = k.load(from, i, "i16x8");
    k.store(to, i, results(k, v, x.quant!.zeroPoint[0]!, formula, y), BLOCK);
  });
  return k.build();
}

export const lutI8HardSwish = definePrimitive({
  name: "i8_lut_hard_swish",
  op: lut,
  candidates: ({ ins, outs, constants }) => {
    const [x, y] = [ins[0]!, outs[0]!];
    const table = constants[1];
    const n = elementCount(x.shape);
    if (table === undefined || n < BLOCK || !isByte(x.dtype) || !isByte(y.dtype)) return [];
    if (x.quant === undefined || y.quant === undefined) return [];
    if (x.quant.axis !== null || y.quant.axis !== null) return [];
    const formula = formulaOf(x, y, table);
    if (formula === null) return [];
    return [
      {
        name: "i8_lut_hard_swish",
        family: "lut_formula",
        work: { macs: 0, bytes: operandBytes({ ins, outs }) },
        implement: () => ({
          inPlace: n % BLOCK === 0,
          steps: [
            {
              kernel: hardSwishKernel(x, y, n, formula),
              operands: [
                { kind: "in", index: 0 },
                { kind: "in", index: 1 },
                { kind: "out", index: 0 },
              ],
              args: [],
            },
          ],
        }),
      },
    ];
  },
});
