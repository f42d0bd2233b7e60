/**
 * @file What the translations share: fused activations, real operands, padding, small constants.
 */
import type { Value } from "../../graph/graph.ts";
import type { Activation } from "../../graph/op.ts";
import type { DType } from "../../tensor/dtype.ts";
import { elementCount, sameShape, tensorOf } from "../../tensor/tensor.ts";
import { product } from "../../util/math.ts";
import { core } from "../core.ts";
import { malformed, type OpContext, outQuantOf, unsupported } from "./context.ts";
import { ACTIVATIONS, PADDING_SAME } from "./schema.ts";

/** The clamping activation of a number in the file; null for none. */
export function clampOf(code: number): Activation | null {
  const name = ACTIVATIONS[code];
  if (name === "") return null;
  if (name === "RELU") return { fn: "relu" };
  if (name === "RELU6") return { fn: "clip", min: 0, max: 6 };
  if (name === "RELU_N1_TO_1") return { fn: "clip", min: -1, max: 1 };
  throw unsupported(`fused activation ${name ?? code}`);
}

/** A node that clamps to [lo, hi]; quantised values keep their parameters. */
export function emitClamp(c: OpContext, v: Value, lo: number, hi: number): Value {
  const out = outQuantOf(c.type(v));
  const quant = out === undefined ? {} : { out };
  if (lo === 0 && hi === Number.POSITIVE_INFINITY) return c.emit(core.relu, [v], quant);
  return c.emit(core.clip, [v], { min: lo, max: hi, ...quant });
}

/** The fused activation as a node of its own. */
export function activate(c: OpContext, v: Value, code: number): Value {
  if (ACTIVATIONS[code] === "TANH" && c.type(v).quant === undefined) return c.emit(core.tanh, [v]);
  const act = clampOf(code);
  if (act === null) return v;
  if (act.fn === "relu") return emitClamp(c, v, 0, Number.POSITIVE_INFINITY);
  return emitClamp(c, v, act["min"] as number, act["max"] as number);
}

/** The value as reals: dequantised where it is quantised, f16 as f32. */
export function asReal(c: OpContext, v: Value): Value {
  const t = c.type(v);
  if (t.quant !== undefined) return c.emit(core.dequantize, [v]);
  return t.dtype === "f16" || t.dtype === "bf16" ? c.emit(core.cast, [v], { to: "f32" }) : v;
}

/** A real result in the type declared for output 0. */
export function asDeclared(c: OpContext, v: Value): Value {
  const out = c.out();
  if (out === undefined || c.type(v).dtype !== "f32") return v;
  return c.emit(core.quantize, [v], { out });
}

export interface Padding {
  readonly before: number;
  readonly after: number;
}

/** Padding of one spatial axis: SAME keeps ceil(size / stride) positions, VALID adds nothing. */
export function padding(
  scheme: number,
  size: number,
  kernel: number,
  stride: number,
  dilation: number,
): Padding {
  if (scheme !== PADDING_SAME) return { before: 0, after: 0 };
  const reach = (kernel - 1) * dilation + 1;
  const total = Math.max(0, (Math.ceil(size / stride) - 1) * stride + reach - size);
  const before = Math.floor(total / 2);
  return { before, after: total - before };
}

/** Throws E_FORMAT unless `v` has this rank. */
export function expectRank(c: OpContext, v: Value, rank: number, what: string): readonly number[] {
  const { shape } = c.type(v);
  if (shape.length !== rank) throw malformed(`${what} must have rank ${rank}, got [${shape}]`);
  return shape;
}

export const positive = (what: string, n: number): number => {
  if (Number.isInteger(n) && n > 0) return n;
  throw malformed(`${what} is ${n}, expected a positive integer`);
};

export function reshape(c: OpContext, v: Value, shape: readonly number[]): Value {
  const from = c.shape(v);
  if (sameShape(from, shape)) return v;
  if (elementCount(from) !== product(shape)) {
    throw malformed(`[${from}] cannot be reshaped to [${shape}]`);
  }
  return c.emit(core.reshape, [v], { shape });
}

export function transpose(c: OpContext, v: Value, perm: readonly number[]): Value {
  return perm.every((p, i) => p === i) ? v : c.emit(core.transpose, [v], { perm });
}

export const vector = (c: OpContext, dtype: DType, values: readonly number[]): Value =>
  c.g.constant(tensorOf(dtype, [values.length], values));

export const scalar = (c: OpContext, dtype: DType, value: number): Value =>
  c.g.constant(tensorOf(dtype, [], [value]));

export const cast = (c: OpContext, v: Value, to: DType): Value =>
  c.type(v).dtype === to ? v : c.emit(core.cast, [v], { to });
