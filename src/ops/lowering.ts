/**
 * @file What the default loop nests (`Op.lower`) of all operators share. For op authors:
 * `declare` makes the buffers in the order `lower` must keep (ins, then outs); `loopOver` makes
 * one loop an axis and gives the index; `realReader`/`realWriter` read and write any dtype,
 * quantised per tensor or per channel included, as f32 (call them once at the top of the kernel,
 * use the result inside the loops); `convert` is the cast of docs/ir.md between register values;
 * `collapse` merges axes. The nest of element-wise operators is in elementwise/nest.ts.
 */
import {
  add,
  affine,
  binary,
  cast,
  constant,
  type ExprLike,
  f32,
  i32,
  i64,
  KernelBuilder,
  lanes,
  max,
  min,
  mul,
  sub,
  unary,
} from "../kernel/build.ts";
import {
  type Buffer,
  type Expr,
  type Kernel,
  type ScalarType,
  scalarTypeOf,
} from "../kernel/ir.ts";
import { DTYPES, type DType, isFloat } from "../tensor/dtype.ts";
import { elementCount, type TensorType, tensorType } from "../tensor/tensor.ts";
import { invariant } from "../util/errors.ts";
import { alignUp } from "../util/math.ts";

/** Declares one "in" buffer per input and one "out" buffer per output, in that order. */
export function declare(
  b: KernelBuilder,
  ins: readonly TensorType[],
  outs: readonly TensorType[],
): { readonly ins: readonly Buffer[]; readonly outs: readonly Buffer[] } {
  const buffer = (role: "in" | "out") => (t: TensorType, i: number) =>
    b.buffer(`${role}${i}`, t.dtype, elementCount(t.shape), role);
  return { ins: ins.map(buffer("in")), outs: outs.map(buffer("out")) };
}

/**
 * One loop per axis of `shape`, outermost first; `body` gets one index expression per axis. `parallel`:
 * the bodies do not depend on each other (see `parallel` of LoopOptions).
 */
export function loopOver(
  b: KernelBuilder,
  shape: readonly number[],
  body: (index: readonly Expr[]) => void,
  options: { readonly parallel?: boolean } = {},
): void {
  const nest = (axis: number, index: readonly Expr[]): void => {
    if (axis === shape.length) body(index);
    else b.for("i", 0, shape[axis]!, (v) => nest(axis + 1, [...index, v]), options);
  };
  nest(0, []);
}

/** The input's elements copied to the output: the kernel of operators that only change the type. */
export function copyKernel(name: string, from: TensorType, to: TensorType): Kernel {
  const b = new KernelBuilder(name);
  const { ins, outs } = declare(b, [from], [to]);
  copyChunks(b, outs[0]!, 0, ins[0]!, 0, elementCount(from.shape));
  return b.build();
}

/** Elements a thread copies at a time. */
const CHUNK = 4096;

/** Copies `n` neighbouring elements in chunks that threads can share. */
export function copyChunks(
  b: KernelBuilder,
  dst: Buffer,
  dstIndex: ExprLike,
  src: Buffer,
  srcIndex: ExprLike,
  n: number,
): void {
  if (n === 0) return;
  const chunk = (i: Expr): void => {
    const count = n <= CHUNK ? n : min(sub(n, i), CHUNK);
    b.copy(dst, add(dstIndex, i), src, add(srcIndex, i), count);
  };
  b.forParallel("chunk", 0, n, chunk, { step: CHUNK });
}

/** Sum of index[k] * stride[k]: the flat element index. */
export const flatIndex = (index: readonly Expr[], stride: readonly number[]): Expr =>
  affine(...index.map((e, k) => [e, stride[k]!] as const));

/** Types as plain elements of the same size: for ops that move elements without computing. */
export const rawType = (t: TensorType): TensorType =>
  tensorType(t.dtype === "f16" || t.dtype === "bf16" ? "u16" : t.dtype, t.shape);

/** Integers whose registers must be read as unsigned. */
export const isUnsignedWide = (dtype: DType): boolean => dtype === "u32" || dtype === "u64";

const extend = (from: DType, value: Expr): Expr =>
  cast("i64", from === "u32" ? "extend_u" : "extend_s", value);

function floatToInt(value: Expr, to: DType): Expr {
  const sign = isUnsignedWide(to) ? "u" : "s";
  return cast(scalarTypeOf(to), `trunc_sat_${sign}`, value);
}

/**
 * A register value of a `from` tensor as the register value to store into a `to` tensor
 * (docs/ir.md, casts). The store wraps narrow integers and rounds f16 and bf16.
 */
export function convert(value: Expr, from: DType, to: DType): Expr {
  const target: ScalarType = scalarTypeOf(to);
  if (from === to) return value;
  if (to === "bool") {
    return binary("ne", value, constant(value.type, value.type === "i64" ? 0n : 0));
  }
  if (isFloat(from)) {
    if (!isFloat(to)) return floatToInt(value, to);
    if (value.type === target) return value;
    return target === "f64" ? cast("f64", "promote", value) : cast("f32", "demote", value);
  }
  if (isFloat(to)) return cast(target, isUnsignedWide(from) ? "convert_u" : "convert_s", value);
  if (value.type === target) return value;
  return target === "i64" ? extend(from, value) : cast("i32", "wrap", value);
}

/**
 * Per-channel parameters inside a kernel: expressions of scale (f32) and zero point (i32) by
 * element.
 */
interface ChannelParams {
  readonly scale: (index: Expr) => Expr;
  readonly zeroPoint: (index: Expr) => Expr;
}

/** Writes `values` into scratch at the top of the kernel; equal values need no memory. */
export function constantTable(
  b: KernelBuilder,
  name: string,
  values: readonly number[],
  dtype: "f32" | "i32",
): (channel: Expr) => Expr {
  const first = values[0]!;
  if (values.every((v) => v === first)) return () => constant(dtype, first);
  const size = alignUp(values.length, 4);
  const table = b.buffer(name, dtype, size, "work");
  for (let i = 0; i < size; i += 4) {
    const four = [0, 1, 2, 3].map((k) => values[i + k] ?? 0);
    b.store(table, i, lanes(`${dtype}x4`, four));
  }
  return (channel) => b.load(table, channel);
}

/** Must be called at the top of the kernel: it may emit statements that fill tables. */
function channelParams(b: KernelBuilder, name: string, type: TensorType): ChannelParams {
  const quant = type.quant;
  invariant(quant !== undefined, () => `${name} is not quantised`);
  const scales = constantTable(b, `${name}Scale`, quant.scale.map(Math.fround), "f32");
  const zeros = constantTable(b, `${name}Zero`, quant.zeroPoint, "i32");
  const { axis } = quant;
  if (axis === null) return { scale: () => scales(i32(0)), zeroPoint: () => zeros(i32(0)) };
  const inner = elementCount(type.shape.slice(axis + 1));
  const outer = elementCount(type.shape.slice(0, axis));
  const channel = (index: Expr): Expr => {
    const row = inner === 1 ? index : binary("div", index, inner);
    return outer === 1 ? row : binary("rem", row, type.shape[axis]!);
  };
  return { scale: (i) => scales(channel(i)), zeroPoint: (i) => zeros(channel(i)) };
}

/** Reader of a buffer's elements as f32; quantised types are dequantised (src/tensor/quant.ts). */
export function realReader(
  b: KernelBuilder,
  buffer: Buffer,
  type: TensorType,
): (index: ExprLike) => Expr {
  if (type.quant === undefined) return (index) => convert(b.load(buffer, index), type.dtype, "f32");
  const params = channelParams(b, buffer.name, type);
  return (index) => {
    const at = b.let("at", typeof index === "number" ? i32(index) : index);
    return dequantize(b.load(buffer, at), params.scale(at), params.zeroPoint(at));
  };
}

/**
 * Writer of f32 values; quantised types are quantised (src/tensor/quant.ts), 16 bits and less
 * clamped to `bounds`.
 */
export function realWriter(
  b: KernelBuilder,
  buffer: Buffer,
  type: TensorType,
  bounds?: readonly [lo: number, hi: number],
): (index: ExprLike, value: Expr) => void {
  if (type.quant === undefined) {
    return (index, value) => b.store(buffer, index, convert(value, "f32", type.dtype));
  }
  const params = channelParams(b, buffer.name, type);
  return (index, value) => {
    const at = b.let("at", typeof index === "number" ? i32(index) : index);
    const q = quantize(value, params.scale(at), params.zeroPoint(at), type.dtype, bounds);
    b.store(buffer, at, q);
  };
}

/** f32(q - zeroPoint) * scale of an i32 register. */
export const dequantize = (q: Expr, scale: Expr, zeroPoint: Expr): Expr =>
  mul(cast("f32", "convert_s", sub(q, zeroPoint)), scale);

/** The i32 to store for an f32 value. */
export function quantize(
  value: Expr,
  scale: Expr,
  zeroPoint: Expr,
  dtype: DType,
  bounds?: readonly [lo: number, hi: number],
): Expr {
  const { min: least, max: most, sizeBytes } = DTYPES[dtype];
  const [lo, hi] = bounds ?? [least, most];
  const narrow = sizeBytes <= 2;
  // Beyond any range, so that adding the zero point cannot wrap; NaN stays NaN and becomes 0.
  const limit = narrow ? 2 ** 20 : 2 ** 40;
  const steps = unary("nearest", binary("div", value, scale));
  const near = min(max(steps, f32(-limit)), f32(limit));
  if (narrow) {
    return clampTo(add(cast("i32", "trunc_sat_s", near), zeroPoint), lo, hi);
  }
  const q = add(cast("i64", "trunc_sat_s", near), cast("i64", "extend_s", zeroPoint));
  return cast("i32", "wrap", min(max(q, i64(BigInt(lo))), i64(BigInt(hi))));
}

/** Clamps an i32 register. */
export const clampTo = (value: Expr, lo: number, hi: number): Expr =>
  min(max(value, i32(lo)), i32(hi));

export interface Collapsed {
  readonly shape: readonly number[];
  /** Per operand, one stride per axis of `shape`. */
  readonly strides: readonly (readonly number[])[];
}

/** Drops axes of size 1 and merges neighbours that every operand walks in one stride. */
export function collapse(
  shape: readonly number[],
  strides: readonly (readonly number[])[],
): Collapsed {
  const size: number[] = [];
  const step: number[][] = strides.map(() => []);
  shape.forEach((n, axis) => {
    if (n === 1) return;
    const last = size.length - 1;
    const merges = last >= 0 && step.every((s, k) => s[last] === strides[k]![axis]! * n);
    if (!merges) {
      size.push(n);
      for (const [k, s] of step.entries()) s.push(strides[k]![axis]!);
      return;
    }
    size[last] = size[last]! * n;
    step.forEach((s, k) => {
      s[last] = strides[k]![axis]!;
    });
  });
  return { shape: size, strides: step };
}
