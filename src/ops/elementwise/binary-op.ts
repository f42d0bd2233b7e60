/**
 * @file Makes the record of a binary element-wise operator from its definition on one pair of
 * elements.
 */
import { defineOp, type Op } from "../../graph/op.ts";
import { type DType, isBig, isFloat } from "../../tensor/dtype.ts";
import { broadcastStrides, forEachIndex, offsetOf } from "../../tensor/shape.ts";
import {
  numberReader,
  numberWriter,
  sameShape,
  type Tensor,
  type TensorType,
  tensorType,
  zeros,
} from "../../tensor/tensor.ts";
import {
  type BinaryExpr,
  binarySamples,
  broadcastAll,
  broadcastAxes,
  type ExprContext,
  expectOperands,
  type FloatAttrs,
  permuteSame,
  type Round,
  real,
  sharable,
} from "./factory.ts";
import { elementwiseKernel } from "./nest.ts";
import { roundOf } from "./unary-op.ts";

export interface BinarySpec<A extends object> {
  readonly name: string;
  readonly dtypes: readonly DType[];
  /** Element type of the result when it differs. */
  readonly result?: DType;
  /** The value on floats; `r` rounds as the kernel form does between steps. */
  js(x: number, y: number, attrs: A, r: Round): number;
  /** The value on integers up to 32 bits and bool; default `js`. Results wrap. */
  readonly int?: (x: number, y: number, attrs: A, dtype: DType) => number;
  /** The value on i64 and u64 (bool results: 0 or 1); results wrap. */
  readonly big?: (x: bigint, y: bigint, attrs: A) => bigint;
  readonly expr: BinaryExpr<A>;
  /** Whether `expr` takes f32x4; default true for results of the same type. */
  readonly vector?: boolean;
  readonly exact?: boolean;
  readonly attrs: readonly A[];
  readonly range?: readonly [number, number];
}

/** Calls `visit(i, a, b)` for each output element with the flat indices of its operands. */
export function forEachPair(
  a: readonly number[],
  b: readonly number[],
  out: readonly number[],
  visit: (i: number, a: number, b: number) => void,
): void {
  if (sameShape(a, out) && sameShape(b, out)) {
    const n = out.reduce((p, q) => p * q, 1);
    for (let i = 0; i < n; i++) visit(i, i, i);
    return;
  }
  const sa = broadcastStrides(a, out);
  const sb = broadcastStrides(b, out);
  forEachIndex(out, (index, i) => visit(i, offsetOf(index, sa), offsetOf(index, sb)));
}

function evalBinary<A extends object>(
  spec: BinarySpec<A>,
  [a, b]: readonly [Tensor, Tensor],
  attrs: A,
  out: TensorType,
): Tensor {
  const y = zeros(out);
  const { dtype } = a.type;
  const { big, int } = spec;
  if (isBig(dtype) && big !== undefined) {
    const p = a.data as BigInt64Array;
    const q = b.data as BigInt64Array;
    const to = y.data as BigInt64Array | Uint8Array;
    const wide = isBig(out.dtype);
    forEachPair(a.type.shape, b.type.shape, out.shape, (i, j, k) => {
      const value = big(p[j]!, q[k]!, attrs);
      to[i] = wide ? value : Number(value);
    });
    return y;
  }
  const p = numberReader(a);
  const q = numberReader(b);
  const write = numberWriter(y);
  const r = roundOf(dtype);
  const f =
    int !== undefined && !isFloat(dtype)
      ? (u: number, v: number) => int(u, v, attrs, dtype)
      : (u: number, v: number) => spec.js(u, v, attrs, r);
  forEachPair(a.type.shape, b.type.shape, out.shape, (i, j, k) => write(i, f(p(j), q(k))));
  return y;
}

export function binaryOp<A extends object = FloatAttrs>(spec: BinarySpec<A>): Op<A> {
  const { name, dtypes, result, expr } = spec;
  return defineOp<A>({
    name,
    quant: "float",
    infer(ins) {
      const dtype = expectOperands(ins, 2, dtypes);
      return [tensorType(result ?? dtype, broadcastAll(ins))];
    },
    axes: (ins) => broadcastAxes(ins, broadcastAll(ins)),
    eval: (ins, attrs, outs) => [evalBinary(spec, [ins[0]!, ins[1]!], attrs, outs[0]!)],
    lower(ins, attrs, outs) {
      const dtype = real(ins[0]!).dtype;
      return elementwiseKernel({
        name,
        ins,
        out: outs[0]!,
        compute: ([x, y], b) => {
          const ctx: ExprContext<A> = { attrs, dtype, b };
          return expr(x!, y!, ctx);
        },
        vector: spec.vector ?? result === undefined,
      });
    },
    permute: (attrs, _, ins) => permuteSame(attrs, ins),
    inPlace: (ins, _, outs) => sharable(ins, outs[0]!),
    samples: binarySamples(
      dtypes,
      spec.attrs,
      {
        ...(spec.range === undefined ? {} : { range: spec.range }),
        ...(spec.exact === true ? { tolerance: 0 } : {}),
      },
      result === undefined,
    ),
  });
}
