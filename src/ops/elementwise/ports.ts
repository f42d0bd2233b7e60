/**
 * @file How element-wise kernels read and write: one element, or a block of 4 or 16 as vectors of
 * four lanes. 8-bit blocks of 16 widen and narrow in whole vectors.
 */
import {
  add,
  and,
  binary,
  cast,
  constant,
  type ExprLike,
  eq,
  type KernelBuilder,
  max,
  mul,
  narrow,
  sub,
  withElem,
} from "../../kernel/build.ts";
import type { Buffer, Expr } from "../../kernel/ir.ts";
import { DTYPES } from "../../tensor/dtype.ts";
import type { TensorType } from "../../tensor/tensor.ts";
import { clampTo, realReader, realWriter } from "../lowering.ts";

/**
 * What registers hold for quantised operands and result. "real": the f32 they stand for. "steps":
 * f32 integers less the zero point, and a result in steps of its scale, to be rounded; its
 * magnitude must stay below 2^21. "integer": i32 as stored.
 */
export type Registers = "real" | "steps" | "integer";

/** Inclusive bounds of stored 8-bit results. */
export type Bounds = readonly [lo: number, hi: number];

export interface InPort {
  readonly scalar: (index: ExprLike) => Expr;
  /** `count` elements (4 or 16) as vectors of four. */
  readonly block: (index: Expr, count: number) => Expr[];
}

export interface OutPort {
  readonly scalar: (index: ExprLike, value: Expr) => void;
  readonly block: (index: Expr, values: readonly Expr[]) => void;
}

export const isByte = (t: TensorType): boolean => t.dtype === "i8" || t.dtype === "u8";

/** 1.5 * 2^23: added to an f32 of magnitude below 2^21, it leaves the nearest integer in the low bits. */
const ROUND = 12582912;
const ROUND_BITS = 0x4b400000;

/** i32x4 vectors of a block of bytes, less `zero`. */
function widen(b: KernelBuilder, buffer: Buffer, index: Expr, count: number, zero: number): Expr[] {
  if (count === 4) {
    const q = b.load(buffer, index, "i32x4");
    return [zero === 0 ? q : sub(q, constant("i32x4", zero))];
  }
  return [0, 8].flatMap((at) => {
    const words = b.load(buffer, add(index, at), "i16x8");
    const centred = zero === 0 ? words : sub(words, constant("i16x8", zero));
    const named = b.let("words", centred);
    return [cast("i32x4", "extend_low_s", named), cast("i32x4", "extend_high_s", named)];
  });
}

export function inPort(
  b: KernelBuilder,
  buffer: Buffer,
  type: TensorType,
  registers: Registers,
): InPort {
  const { quant } = type;
  const four = [0, 4, 8, 12];
  if (quant === undefined && registers !== "integer") {
    return {
      scalar: (index) => b.load(buffer, index),
      block: (index, count) =>
        four.slice(0, count / 4).map((at) => b.load(buffer, add(index, at), "f32x4")),
    };
  }
  if (registers === "integer") {
    return {
      scalar: (index) => b.load(buffer, index),
      block: (index, count) => widen(b, buffer, index, count, 0),
    };
  }
  const [scale, zero] = [quant!.scale[0]!, quant!.zeroPoint[0]!];
  const steps = (q: Expr): Expr => cast(withElem(q.type, "f32"), "convert_s", q);
  const real = (q: Expr): Expr => mul(steps(q), constant("f32x4", scale));
  return {
    scalar:
      registers === "steps"
        ? (index) => steps(sub(b.load(buffer, index), zero))
        : realReader(b, buffer, type),
    block: (index, count) =>
      widen(b, buffer, index, count, zero).map(registers === "steps" ? steps : real),
  };
}

/** Stores vectors of i32 as bytes: saturated to the type, then clamped to `bounds`. */
function storeBytes(
  b: KernelBuilder,
  buffer: Buffer,
  index: Expr,
  values: readonly Expr[],
  bounds: Bounds,
): void {
  const qs = values.map((v) => b.let("q", v));
  const pair = (i: number): Expr =>
    b.let("words", narrow("i16x8", true, qs[i]!, qs[i + 1] ?? qs[i]!));
  const low = pair(0);
  const signed = buffer.dtype === "i8";
  let bytes = narrow("i8x16", signed, low, qs.length > 2 ? pair(2) : low);
  const { min: least, max: most } = DTYPES[buffer.dtype];
  const at = (x: number): Expr => constant("i8x16", (x << 24) >> 24);
  const clampBy = (op: "min" | "max", x: number): Expr =>
    binary(signed ? op : `${op}_u`, bytes, at(x));
  if (bounds[0] > least) bytes = clampBy("max", bounds[0]);
  if (bounds[1] < most) bytes = clampBy("min", bounds[1]);
  if (qs.length === 4) b.store(buffer, index, bytes);
  else b.store(buffer, index, bytes, 4);
}

/** Rounds steps within +-2^21 to nearest even and adds the zero point: i32 or i32x4. */
function roundSteps(steps: Expr, zero: number): Expr {
  const bits = cast(withElem(steps.type, "i32"), "bits", add(steps, constant(steps.type, ROUND)));
  return sub(bits, constant(bits.type, ROUND_BITS - zero));
}

/** i32x4 of the quantised value, to be narrowed with saturation; NaN gives the zero point. */
function quantizeVector(b: KernelBuilder, value: Expr, scale: number, zero: number): Expr {
  const steps = b.let("steps", binary("div", value, constant("f32x4", scale)));
  const ordered = and(cast("i32x4", "bits", steps), eq(steps, steps));
  const shifted = add(cast("f32x4", "bits", ordered), constant("f32x4", ROUND));
  // Beyond +-2^22 the bits stay ordered as integers: large values saturate, and the least that the
  // subtraction can take is bounded here.
  const least = constant("i32x4", ROUND_BITS - 2 ** 15);
  const bits = max(cast("i32x4", "bits", shifted), least);
  return sub(bits, constant("i32x4", ROUND_BITS - zero));
}

export function outPort(
  b: KernelBuilder,
  buffer: Buffer,
  type: TensorType,
  registers: Registers,
  bounds: Bounds | undefined,
): OutPort {
  const { quant } = type;
  if (quant === undefined && registers !== "integer") {
    return {
      scalar: (index, value) => b.store(buffer, index, value),
      block: (index, values) => {
        for (const [i, v] of values.entries()) b.store(buffer, add(index, 4 * i), v);
      },
    };
  }
  const { min: least, max: most } = DTYPES[type.dtype];
  const range = bounds ?? [least, most];
  const stored = (index: ExprLike, q: Expr): void => b.store(buffer, index, clampTo(q, ...range));
  const bytes = (index: Expr, values: readonly Expr[], q: (v: Expr) => Expr): void =>
    storeBytes(b, buffer, index, values.map(q), range);
  if (registers === "integer") {
    return { scalar: stored, block: (index, values) => bytes(index, values, (v) => v) };
  }
  const [scale, zero] = [quant!.scale[0]!, quant!.zeroPoint[0]!];
  if (registers === "steps") {
    return {
      scalar: (index, value) => stored(index, roundSteps(value, zero)),
      block: (index, values) => bytes(index, values, (v) => roundSteps(v, zero)),
    };
  }
  return {
    scalar: realWriter(b, buffer, type, bounds),
    block: (index, values) => bytes(index, values, (v) => quantizeVector(b, v, scale, zero)),
  };
}
