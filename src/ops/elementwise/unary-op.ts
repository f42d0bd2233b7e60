/** @file Makes the record of a unary element-wise operator from its definition on one element. */
import { defineOp, type Op } from "../../graph/op.ts";
import { type DType, isBig, isFloat } from "../../tensor/dtype.ts";
import {
  numberReader,
  numberWriter,
  type Tensor,
  type TensorType,
  tensorType,
  zeros,
} from "../../tensor/tensor.ts";
import { SCALARS } from "../scalar.ts";
import {
  broadcastAxes,
  type ExprContext,
  expectOperands,
  FLOATS,
  type FloatAttrs,
  noRound,
  permuteSame,
  type Round,
  real,
  sharable,
  type UnaryExpr,
  unarySamples,
} from "./factory.ts";
import { elementwiseKernel } from "./nest.ts";

export interface UnarySpec<A extends object> {
  readonly name: string;
  /** Element types taken; the result has the same unless `result` says otherwise. */
  readonly dtypes: readonly DType[];
  readonly result?: DType;
  /** The value; `r` rounds as the kernel form does between steps. */
  js(x: number, attrs: A, r: Round): number;
  /** The value on integers up to 32 bits; default `js`. Results wrap. */
  readonly int?: (x: number, attrs: A, dtype: DType) => number;
  /** The value on i64 and u64; results wrap. */
  readonly big?: (x: bigint, attrs: A, dtype: DType) => bigint;
  readonly expr: UnaryExpr<A>;
  /** Whether `expr` takes f32x4; default true for results of the same type. */
  readonly vector?: boolean;
  /** Kernel and `js` agree bit for bit. */
  readonly exact?: boolean;
  readonly scalar?: string;
  /** Attribute sets to sample, the first with every dtype. */
  readonly attrs: readonly A[];
  readonly range?: readonly [number, number];
  /** Values the samples cycle through. */
  readonly values?: readonly number[];
}

/** Rounding of the type that values of `dtype` are computed in. */
export const roundOf = (dtype: DType): Round =>
  isFloat(dtype) && dtype !== "f64" ? Math.fround : noRound;

function evalUnary<A extends object>(
  spec: UnarySpec<A>,
  x: Tensor,
  attrs: A,
  out: TensorType,
): Tensor {
  const y = zeros(out);
  if (isBig(x.type.dtype) && spec.big !== undefined) {
    const from = x.data as BigInt64Array;
    const to = y.data as BigInt64Array;
    for (let i = 0; i < to.length; i++) to[i] = spec.big(from[i]!, attrs, x.type.dtype);
    return y;
  }
  const read = numberReader(x);
  const write = numberWriter(y);
  const r = roundOf(x.type.dtype);
  const { int } = spec;
  const { dtype } = x.type;
  const f =
    int !== undefined && !isFloat(dtype)
      ? (v: number) => int(v, attrs, dtype)
      : (v: number) => spec.js(v, attrs, r);
  for (let i = 0; i < y.data.length; i++) write(i, f(read(i)));
  return y;
}

export function unaryOp<A extends object = FloatAttrs>(spec: UnarySpec<A>): Op<A> {
  const { name, dtypes, result, expr } = spec;
  const record: Op<A> = {
    name,
    quant: "float",
    infer(ins) {
      const dtype = expectOperands(ins, 1, dtypes);
      return [tensorType(result ?? dtype, ins[0]!.shape)];
    },
    axes: (ins) => broadcastAxes(ins, ins[0]!.shape),
    eval: (ins, attrs, outs) => [evalUnary(spec, ins[0]!, attrs, outs[0]!)],
    lower(ins, attrs, outs) {
      const dtype = real(ins[0]!).dtype;
      return elementwiseKernel({
        name,
        ins,
        out: outs[0]!,
        compute: ([x], b) => {
          const ctx: ExprContext<A> = { attrs, dtype, b };
          return expr(x!, ctx);
        },
        vector: spec.vector ?? result === undefined,
      });
    },
    permute: (attrs, _, ins) => permuteSame(attrs, ins),
    inPlace: (ins, _, outs) => sharable(ins, outs[0]!),
    samples: unarySamples(
      dtypes,
      spec.attrs,
      {
        ...(spec.range === undefined ? {} : { range: spec.range }),
        ...(spec.values === undefined ? {} : { values: spec.values }),
        ...(spec.exact === true ? { tolerance: 0 } : {}),
      },
      result === undefined,
    ),
  };
  return defineOp<A>(spec.scalar === undefined ? record : { ...record, scalar: spec.scalar });
}

/** The operator of a function in src/ops/scalar.ts, on floats. */
export function scalarOp<A extends object = FloatAttrs>(
  name: string,
  attrs: readonly A[],
  options: Partial<Pick<UnarySpec<A>, "dtypes" | "big" | "int" | "exact" | "range" | "expr">> = {},
): Op<A> {
  const fn = SCALARS[name]!;
  return unaryOp<A>({
    name,
    dtypes: FLOATS,
    js: (x, p, r) => fn.rounded(x, p, r),
    expr: (x, { attrs: p }) => fn.expr(x, p),
    scalar: name,
    attrs,
    ...options,
  });
}

/** A function of the maths library under its own name, on floats. */
export function mathOp(
  name: string,
  js: (x: number) => number,
  expr: UnaryExpr<FloatAttrs>,
  range?: readonly [number, number],
): Op<FloatAttrs> {
  return unaryOp<FloatAttrs>({
    name,
    dtypes: FLOATS,
    js,
    expr,
    attrs: [{}],
    ...(range === undefined ? {} : { range }),
  });
}
