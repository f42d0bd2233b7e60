/** @file The operator record: everything the stack knows about one operator, in one place. */
import type { Kernel } from "../kernel/ir.ts";
import type { DType } from "../tensor/dtype.ts";
import type { Tensor, TensorType } from "../tensor/tensor.ts";
import type { GraphBuilder, Value } from "./graph.ts";
import type { AxisTies, Narrowed, Narrowing } from "./ties.ts";

/** JSON-like attribute data; numbers may be infinite or NaN. */
export type AttrValue =
  | number
  | string
  | boolean
  | null
  | readonly AttrValue[]
  | { readonly [key: string]: AttrValue };
/** An op's attributes: an interface whose fields are AttrValue. */
export type Attrs = object;
// biome-ignore lint/complexity/noBannedTypes: an op without attributes has exactly the empty object
export type NoAttrs = {};

/** What one application costs. Counting rules in docs/ir.md. */
export interface Cost {
  /** Multiply-accumulates: convolutions, matrix products, recurrent cells; 0 elsewhere. */
  readonly macs: number;
}

/** A test case of an operator: drives conformance, gradient and support tests. */
export interface Sample<A extends Attrs = Attrs> {
  readonly ins: readonly TensorType[];
  readonly attrs: A;
  /** Range the random inputs are drawn from; default [-2, 2] (integers: small values). */
  readonly range?: readonly [number, number];
  /** Inputs that must have these values (indices, divisors), by position. */
  readonly values?: { readonly [input: number]: readonly number[] };
  /** Relative tolerance of compiled code against `eval`; default by dtype, 0 = bit-equal. */
  readonly tolerance?: number;
}

/** The quantised type an op's result is to have: attribute `out` of ops that compute on quantised values. */
export interface OutQuant {
  readonly dtype: DType;
  readonly scale: readonly number[];
  readonly zeroPoint: readonly number[];
  readonly axis: number | null;
}

/** The integer arithmetic of an op on quantised values (docs/ir.md): attribute `arith`, default "float". */
export type Arith = "float" | "tflite";

/** A fused activation: a scalar function of src/ops/scalar.ts by name, with its parameters. */
export interface Activation {
  readonly fn: string;
  readonly [parameter: string]: AttrValue;
}

/**
 * How the op treats quantised inputs (types with `quant`):
 * "same": moves elements without computing; infer and eval see plain integers, and the first input's
 *   parameters pass to every result (inputs must agree).
 * "float": defined as dequantize, the op on f32, quantize to attribute `out` (absent: f32 result).
 *   infer and eval never see quantised types.
 * "integer": infer and eval handle quantised types themselves.
 * "none": refused.
 */
export type QuantSupport = "same" | "float" | "integer" | "none";

/**
 * Members that are functions are methods, so that Op<ConvAttrs> fits Op.
 * A core op gives eval and lower; a composite op gives only decompose.
 */
export interface Op<A extends Attrs = Attrs> {
  /** The field's name: snake_case, also the text form. */
  readonly name: string;
  readonly quant: QuantSupport;
  /** Result types. Throws UserError (E_SHAPE, E_DTYPE, E_MODEL) when the inputs do not fit. */
  infer(ins: readonly TensorType[], attrs: A): readonly TensorType[];
  /**
   * Einsum-like axis mapping, one letter an axis, for example "nhwi,okli,o->nhwo"; a letter shared by an
   * input and the output is carried unchanged; a letter on inputs only is reduced; null: none.
   */
  axes?(ins: readonly TensorType[], attrs: A): string | null;
  /**
   * Which indices of which axes are removed together, where `axes` does not say enough: parts of an axis, several
   * indices at once. Axes in no tie cannot lose any. null: what `axes` says. `constant`: the operand, if constant.
   */
  ties?(
    ins: readonly TensorType[],
    attrs: A,
    outs: readonly TensorType[],
    constant: (position: number) => Tensor | undefined,
  ): AxisTies | null;
  /** What changes beside the shapes when indices that are tied have been removed; absent: nothing. */
  narrow?(attrs: A, change: Narrowing): Narrowed<A>;
  /** Sums products of its inputs over the axes they share and no result has. */
  readonly contracts?: boolean;
  /** Naive and obviously right: the oracle. */
  eval?(ins: readonly Tensor[], attrs: A, outs: readonly TensorType[]): readonly Tensor[];
  cost?(ins: readonly TensorType[], attrs: A, outs: readonly TensorType[]): Cost;
  /**
   * Default loop nest. Buffers in order: one "in" per input, one "out" per output, then "work".
   * Any layout of roles beyond that is the op's own affair.
   */
  lower?(ins: readonly TensorType[], attrs: A, outs: readonly TensorType[]): Kernel;
  /** A composite op is defined by this alone; eval, lower and cost follow. */
  decompose?(g: GraphBuilder, ins: readonly Value[], attrs: A): readonly Value[];
  /**
   * The attributes after every operand and result of the op's full rank has been permuted by `perm`
   * (new axis i is old axis perm[i]); null: cannot. Absent: the op does not move.
   */
  permute?(attrs: A, perm: readonly number[], ins: readonly TensorType[]): A | null;
  /** Output 0 may share the memory of this input: each element is read before it is written. */
  inPlace?(ins: readonly TensorType[], attrs: A, outs: readonly TensorType[]): number | null;
  /**
   * With these attributes every element of the result is one of the first input's, of whatever type: quantised
   * values pass as they are, though the op is of class "float".
   */
  moves?(attrs: A): boolean;
  /** The output is the first input's memory unchanged (reshape). */
  readonly view?: boolean;
  /** A unary element-wise function on f32, by its name in src/ops/scalar.ts: can be fused as an activation. */
  readonly scalar?: string;
  /** What the op can compute on the way out: attribute `act`, or a residual as its fourth input. */
  readonly fuses?: { readonly act?: boolean; readonly residual?: boolean };
  /** Positions of the inputs that hold learned parameters when they are constants: what training changes. */
  readonly parameters?: readonly number[];
  readonly samples: readonly Sample<A>[];
}

export function defineOp<A extends Attrs = NoAttrs>(op: Op<A>): Op<A> {
  return op;
}
