/**
 * @file Reading and writing tensors as reals, in eval and in kernels: floats as they are, quantised
 * values through their parameters. Lowerings that compute in floating point use only these.
 */
import { binary, constant, type ExprLike, type KernelBuilder, select } from "../../kernel/build.ts";
import { type Expr, scalarTypeOf } from "../../kernel/ir.ts";
import { DTYPES, type DType, isFloat, sizeOf } from "../../tensor/dtype.ts";
import { numberReader, type Tensor, type TensorType } from "../../tensor/tensor.ts";
import { UserError } from "../../util/errors.ts";
import { convert, declare, realReader, realWriter } from "../lowering.ts";

/** The register type floating-point code computes in. */
export type RealType = "f32" | "f64";
export const realTypeOf = (dtype: DType): RealType => (dtype === "f64" ? "f64" : "f32");

/** All elements as doubles; the array the tensor holds when it already is one of numbers. */
export function numbersOf(t: Tensor): ArrayLike<number> {
  const { dtype } = t.type;
  if (dtype !== "f16" && dtype !== "bf16" && dtype !== "i64" && dtype !== "u64") {
    return t.data as ArrayLike<number>;
  }
  const read = numberReader(t);
  return Float64Array.from({ length: t.data.length }, (_, i) => read(i));
}

/** Refuses everything but floating point. */
export function checkFloat(...types: readonly TensorType[]): void {
  const bad = types.find((t) => !isFloat(t.dtype));
  if (bad !== undefined) {
    throw new UserError("E_DTYPE", `expected floating-point inputs, got ${bad.dtype}`);
  }
}

/** Refuses inputs of different element types. */
export function checkSameDType(...types: readonly TensorType[]): void {
  const first = types[0]!.dtype;
  const bad = types.find((t) => t.dtype !== first);
  if (bad !== undefined) {
    throw new UserError(
      "E_DTYPE",
      `inputs must have one element type, got ${first} and ${bad.dtype}`,
    );
  }
}

/** Refuses a wrong number of inputs. */
export function checkCount(ins: readonly unknown[], least: number, most: number): void {
  if (ins.length >= least && ins.length <= most) return;
  const want = least === most ? `${least}` : `${least} to ${most}`;
  throw new UserError("E_MODEL", `expected ${want} inputs, got ${ins.length}`);
}

/** Refuses an input whose shape is not the expected one. */
export function checkShape(name: string, t: TensorType, shape: readonly number[]): void {
  if (t.shape.length !== shape.length || t.shape.some((n, i) => n !== shape[i])) {
    throw new UserError("E_SHAPE", `${name} must have shape [${shape}], got [${t.shape}]`);
  }
}

/** An input inside a kernel, read as reals of one register type. */
export interface InPort {
  readonly type: TensorType;
  read(index: ExprLike): Expr;
}

/** An output inside a kernel, written as reals of one register type. */
export interface OutPort {
  readonly type: TensorType;
  write(index: ExprLike, value: Expr): void;
  /** Stores a register of the element's own type. */
  store(index: ExprLike, value: Expr): void;
}

/**
 * Declares the buffers of an op in the order Op.lower promises; everything is read and written in
 * `real`. Call at the top of the kernel. Integers that are not quantised are converted as
 * docs/ir.md says.
 */
export function declarePorts(
  k: KernelBuilder,
  ins: readonly TensorType[],
  outs: readonly TensorType[],
  real: RealType,
): { readonly ins: readonly InPort[]; readonly outs: readonly OutPort[] } {
  const buffers = declare(k, ins, outs);
  const direct = (type: TensorType): boolean => real === "f64" && type.quant === undefined;
  const input = (type: TensorType, i: number): InPort => {
    const buffer = buffers.ins[i]!;
    if (direct(type)) return { type, read: (at) => convert(k.load(buffer, at), type.dtype, "f64") };
    const read = realReader(k, buffer, type);
    return { type, read: (at) => convert(read(at), "f32", real) };
  };
  const output = (type: TensorType, i: number): OutPort => {
    const buffer = buffers.outs[i]!;
    const store = (at: ExprLike, v: Expr): void => k.store(buffer, at, v);
    if (direct(type))
      return { type, write: (at, v) => store(at, convert(v, "f64", type.dtype)), store };
    const write = realWriter(k, buffer, type);
    return { type, write: (at, v) => write(at, convert(v, real, "f32")), store };
  };
  return { ins: ins.map(input), outs: outs.map(output) };
}

/** Lowest value of a dtype as the start of a maximum. */
export function lowest(dtype: DType): Expr {
  const type = scalarTypeOf(dtype);
  if (isFloat(dtype)) return constant(type, Number.NEGATIVE_INFINITY);
  if (dtype === "i64") return constant(type, -(1n << 63n));
  if (dtype === "u64") return constant(type, 0n);
  return constant(type, DTYPES[dtype].min);
}

/** The larger of two registers holding elements of a dtype. */
export function maxOf(dtype: DType, a: Expr, b: Expr): Expr {
  if (dtype === "i64") return select(binary("gt", a, b), a, b);
  if (dtype === "u64") return select(binary("gt_u", a, b), a, b);
  return binary(dtype === "u32" ? "max_u" : "max", a, b);
}

/** Whether element i of one type takes the place of element i of the other. */
export const sameStorage = (a: TensorType, b: TensorType): boolean =>
  sizeOf(a.dtype) === sizeOf(b.dtype);
