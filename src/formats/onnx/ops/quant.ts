/** @file ONNX quantisation: values with constant parameters become quantised values of the graph. */
import type { Value } from "../../../graph/graph.ts";
import type { OutQuant } from "../../../graph/op.ts";
import type { DType } from "../../../tensor/dtype.ts";
import { DTYPES } from "../../../tensor/dtype.ts";
import { elementCount, toNumbers } from "../../../tensor/tensor.ts";
import {
  constantOf,
  type Importer,
  type ImportTable,
  malformed,
  type OpContext,
} from "../context.ts";
import { core } from "../core.ts";
import { num } from "../emit.ts";
import { dtypeOf } from "../tensors.ts";
import { matmul } from "./matrix.ts";
import { convAttrs } from "./window.ts";

/** Quantisation parameters from constant scale and zero point; axis null when there is one entry. */
export function paramsOf(
  c: OpContext,
  dtype: DType,
  scale: Value,
  zeroPoint: Value | undefined,
  axis: number,
): OutQuant {
  const scales = toNumbers(constantOf(c.e, scale, "the scale")).map(Math.fround);
  const zeros =
    zeroPoint === undefined ? [] : toNumbers(constantOf(c.e, zeroPoint, "the zero point"));
  if (scales.some((s) => !(s > 0 && Number.isFinite(s)))) {
    throw malformed(`scale ${scales.find((s) => !(s > 0))} is not a positive number`);
  }
  const filled = scales.map((_, i) => zeros[i] ?? zeros[0] ?? 0);
  return { dtype, scale: scales, zeroPoint: filled, axis: scales.length === 1 ? null : axis };
}

/** Integers given these parameters; a value that has them already is kept. */
export function assume(c: OpContext, v: Value, out: OutQuant): Value {
  const { dtype, ...quant } = out;
  const have = c.e.type(v);
  if (have.dtype !== dtype) throw malformed(`expected ${dtype}, got ${have.dtype}`);
  if (JSON.stringify(have.quant) === JSON.stringify(quant)) return v;
  const t = c.e.g.constantOf(v);
  if (t !== undefined) return c.e.constant({ type: { ...t.type, quant }, data: t.data });
  return c.e.apply(core.assume_quant, [c.e.plain(v)], { out });
}

/** A parameter vector shaped to run along one axis of a tensor of this rank. */
function along(
  c: OpContext,
  v: Value,
  axis: number,
  shape: readonly number[],
  block: number,
): Value {
  const { e } = c;
  const own = e.shape(v);
  if (own.length <= 1 && block === 0) {
    const n = own[0] ?? 1;
    return n === 1
      ? e.reshape(v, [])
      : e.reshape(
          v,
          shape.map((_, i) => (i === axis ? n : 1)),
        );
  }
  const wide = e.unsqueeze(v, [axis + 1]);
  const full = e.shape(wide).map((n, i) => (i === axis + 1 ? block : n));
  const repeated = e.expand(wide, full);
  const merged = own.map((n, i) => (i === axis ? n * block : n));
  return e.sliceAxis(e.reshape(repeated, merged), axis, 0, shape[axis]!);
}

const axisOf = (c: OpContext, rank: number): number =>
  rank === 0 ? 0 : c.axis(Math.min(c.attrs.int("axis", 1), Math.max(rank - 1, 0)), rank);

const quantizeLinear: Importer = (c) => {
  const { e } = c;
  const x = e.cast(c.in(0), "f32");
  const zero = c.optional(2);
  const chosen = c.attrs.int("output_dtype", 0);
  const dtype =
    zero !== undefined ? e.dtype(zero) : chosen === 0 ? "u8" : dtypeOf(chosen, "output_dtype");
  const axis = axisOf(c, e.rank(x));
  const block = c.attrs.int("block_size", 0);
  const isKnown = e.isConstant(c.in(1)) && (zero === undefined || e.isConstant(zero));
  if (block === 0 && isKnown) {
    return e.apply(core.quantize, [x], { out: paramsOf(c, dtype, c.in(1), zero, axis) });
  }
  const shape = e.shape(x);
  const scale = along(c, e.cast(c.in(1), "f32"), axis, shape, block);
  const q = e.unary(core.round, e.div(x, scale));
  const shifted =
    zero === undefined ? q : e.add(q, along(c, e.cast(zero, "f32"), axis, shape, block));
  const { min, max } = DTYPES[dtype];
  return e.cast(e.apply(core.clip, [shifted], { min, max }), dtype);
};

const dequantizeLinear: Importer = (c) => {
  const { e } = c;
  const raw = c.operands[0] ?? null;
  if (raw === null) throw malformed("input 0 is missing");
  const scale = c.in(1);
  const zero = c.optional(2);
  const axis = axisOf(c, e.rank(raw));
  const block = c.attrs.int("block_size", 0);
  const isKnown = e.isConstant(scale) && (zero === undefined || e.isConstant(zero));
  const chosen = c.attrs.int("output_dtype", 0);
  const real = chosen === 0 ? e.dtype(scale) : dtypeOf(chosen, "output_dtype");
  if (block === 0 && isKnown) {
    const out = paramsOf(c, e.dtype(raw), scale, zero, axis);
    return e.cast(e.dequantize(assume(c, raw, out)), real);
  }
  const shape = e.shape(raw);
  const x = e.cast(e.plain(raw), "f32");
  const factor = along(c, e.cast(scale, "f32"), axis, shape, block);
  const centred =
    zero === undefined ? x : e.sub(x, along(c, e.cast(zero, "f32"), axis, shape, block));
  return e.cast(e.mul(centred, factor), real);
};

/** Quantises to u8 with the range found in the operand. */
const dynamicQuantize: Importer = (c) => {
  const { e } = c;
  const x = c.in(0);
  const axes = e.shape(x).map((_, i) => i);
  const low = e.min(e.reduce(core.reduce_min, x, axes, false), num(0));
  const high = e.max(e.reduce(core.reduce_max, x, axes, false), num(0));
  const scale = e.div(e.sub(high, low), num(255));
  const clamp = (v: Value): Value => e.apply(core.clip, [v], { min: 0, max: 255 });
  const zero = clamp(e.unary(core.round, e.sub(num(0), e.div(low, scale))));
  const q = clamp(e.add(e.unary(core.round, e.div(x, scale)), zero));
  return [e.cast(q, "u8"), scale, e.cast(zero, "u8")];
};

/** Integer operand minus its zero point, in a type wide enough. */
function centred(c: OpContext, i: number, zero: number, dtype: DType, axis: number | null): Value {
  const { e } = c;
  const x = e.cast(c.in(i), dtype);
  const z = c.optional(zero);
  if (z === undefined) return x;
  const wide = e.cast(z, dtype);
  const n = e.shape(wide)[0] ?? 1;
  const shape = e.shape(x).map((_, k) => (k === axis ? n : 1));
  const fits = e.rank(wide) === 1 && axis !== null && n > 1;
  return e.sub(x, fits ? e.reshape(wide, shape) : n === 1 ? e.reshape(wide, []) : wide);
}

/** Sums of products of 8-bit integers up to which f32 is exact. */
const EXACT_TERMS = Math.floor(2 ** 24 / 255 ** 2);

/** Computed in floating point, in the type that holds every sum exactly. */
const convInteger: Importer = (c) => {
  const terms = elementCount(c.e.shape(c.in(1)).slice(1));
  const dtype = terms <= EXACT_TERMS ? "f32" : "f64";
  const x = centred(c, 0, 2, dtype, null);
  const w = centred(c, 1, 3, dtype, 0);
  return c.e.cast(c.e.apply(core.conv, [x, w], convAttrs(c, x, w)), "i32");
};

const matmulInteger: Importer = (c) => {
  const { e } = c;
  const a = centred(c, 0, 2, "i32", Math.max(e.rank(c.in(0)) - 2, 0));
  const b = centred(c, 1, 3, "i32", e.rank(c.in(1)) - 1);
  return matmul(c, a, b);
};

/** Operands i (integers), i+1 (scale), i+2 (zero point) as a quantised value. */
export function quantised(c: OpContext, i: number, axis: number): Value {
  const raw = c.operands[i] ?? null;
  if (raw === null) throw malformed(`input ${i} is missing`);
  return assume(c, raw, paramsOf(c, c.e.dtype(raw), c.in(i + 1), c.optional(i + 2), axis));
}

/** The type operands i (scale) and i+1 (zero point) give a result. */
export function resultType(c: OpContext, i: number, like: number): OutQuant {
  const zero = c.optional(i + 1);
  return paramsOf(c, c.e.dtype(zero ?? c.in(like)), c.in(i), zero, 0);
}

const qlinearConv: Importer = (c) => {
  const x = quantised(c, 0, 1);
  const w = quantised(c, 3, 0);
  const bias = c.optional(8);
  return c.e.apply(core.conv, bias === undefined ? [x, w] : [x, w, bias], {
    ...convAttrs(c, x, w),
    out: resultType(c, 6, 0),
  });
};

const qlinearMatmul: Importer = (c) => {
  const { e } = c;
  const a = quantised(c, 0, Math.max(e.rank(c.in(0)) - 2, 0));
  const b = quantised(c, 3, e.rank(c.in(3)) - 1);
  const out = resultType(c, 6, 0);
  const perTensor = [a, b].every((v) => e.type(v).quant?.axis === null && e.rank(v) >= 2);
  if (perTensor) return e.apply(core.matmul, [a, b], { out });
  return e.apply(core.quantize, [matmul(c, e.dequantize(a), e.dequantize(b))], { out });
};

export const quantImports: ImportTable = {
  QuantizeLinear: quantizeLinear,
  DequantizeLinear: dequantizeLinear,
  DynamicQuantizeLinear: dynamicQuantize,
  ConvInteger: convInteger,
  MatMulInteger: matmulInteger,
  QLinearConv: qlinearConv,
  QLinearMatMul: qlinearMatmul,
};
