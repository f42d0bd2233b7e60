/** @file Questions that several passes ask about nodes and constants. */
import { inferTypes } from "../graph/apply.ts";
import { isOp, type Node, type Value } from "../graph/graph.ts";
import type { Attrs, AttrValue, Op } from "../graph/op.ts";
import type { RewriteContext } from "../graph/rewrite.ts";
import { cast } from "../ops/elementwise/cast.ts";
import { dequantize } from "../ops/quant/dequantize.ts";
import { forEachIndex, offsetOf, strides } from "../tensor/shape.ts";
import { numberReader, type Tensor, type TensorType, zeros } from "../tensor/tensor.ts";
import { UserError } from "../util/errors.ts";

/** The result types, or null when the op refuses these operands. */
export function tryInfer<A extends Attrs>(
  op: Op<A>,
  ins: readonly TensorType[],
  attrs: A,
): readonly TensorType[] | null {
  try {
    return inferTypes(op, ins, attrs);
  } catch (error) {
    if (error instanceof UserError) return null;
    throw error;
  }
}

/** An attribute by name; undefined when the op has none of that name. */
export const attrOf = (node: Node, name: string): AttrValue | undefined =>
  (node.attrs as Readonly<Record<string, AttrValue>>)[name];

/**
 * Whether the op, on an operand of this type, is how a compressed weight is read: widening of f16 or
 * bf16, or dequantisation. Such nodes on constants are storage, not arithmetic to be done ahead.
 */
export function readsStorage(node: Node, operand: TensorType): boolean {
  if (isOp(node, dequantize)) return true;
  return isOp(node, cast) && (operand.dtype === "f16" || operand.dtype === "bf16");
}

/** A constant that is stored as such or behind one storage-reading node. */
export interface StoredConstant {
  readonly tensor: Tensor;
  /** The value after `change` was applied to what is stored. */
  rebuild(change: (stored: Tensor) => Tensor): Value;
}

export function storedConstant(ctx: RewriteContext, v: Value): StoredConstant | null {
  const own = ctx.constant(v);
  const name = ctx.graph.values.get(v)?.name ?? "";
  if (own !== undefined) {
    return { tensor: own, rebuild: (change) => ctx.builder.constant(change(own), name) };
  }
  const node = ctx.producer(v);
  const stored = node && ctx.constant(node.ins[0]!);
  if (node === undefined || stored === undefined || !readsStorage(node, stored.type)) return null;
  return {
    tensor: stored,
    rebuild: (change) =>
      ctx.builder.applyAll(
        node.op,
        [ctx.builder.constant(change(stored), name)],
        node.attrs,
        node.name,
      )[0]!,
  };
}

/** The tensor with its axes reordered: new axis i is old axis perm[i]. Per-axis parameters move along. */
export function permuteTensor(t: Tensor, perm: readonly number[]): Tensor {
  const { dtype, shape, quant } = t.type;
  const to = perm.map((p) => shape[p]!);
  const type: TensorType =
    quant === undefined
      ? { dtype, shape: to }
      : {
          dtype,
          shape: to,
          quant: { ...quant, axis: quant.axis === null ? null : perm.indexOf(quant.axis) },
        };
  const out = zeros(type);
  const own = strides(shape);
  const step = perm.map((p) => own[p]!);
  const dst = out.data as Float64Array;
  const src = t.data as Float64Array;
  forEachIndex(to, (index, i) => {
    dst[i] = src[offsetOf(index, step)]!;
  });
  return out;
}

/** The elements of a tensor at `keep` along an axis, per-axis parameters included. */
export function selectTensor(t: Tensor, axis: number, keep: readonly number[]): Tensor {
  const { dtype, shape, quant } = t.type;
  const to = shape.with(axis, keep.length);
  const pick = (xs: readonly number[]): number[] => keep.map((i) => xs[i]!);
  const type: TensorType =
    quant === undefined
      ? { dtype, shape: to }
      : {
          dtype,
          shape: to,
          quant:
            quant.axis === axis
              ? { axis, scale: pick(quant.scale), zeroPoint: pick(quant.zeroPoint) }
              : quant,
        };
  const out = zeros(type);
  const own = strides(shape);
  const dst = out.data as Float64Array;
  const src = t.data as Float64Array;
  forEachIndex(to, (index, i) => {
    let at = 0;
    for (let d = 0; d < to.length; d++) {
      at += own[d]! * (d === axis ? keep[index[d]!]! : index[d]!);
    }
    dst[i] = src[at]!;
  });
  return out;
}

/** The one number a float or integer constant holds in every element; null: none, or quantised. */
export function uniformValue(t: Tensor | undefined): number | null {
  if (t === undefined || t.type.quant !== undefined || t.data.length === 0) return null;
  const read = numberReader(t);
  const first = read(0);
  for (let i = 1; i < t.data.length; i++) if (!Object.is(read(i), first)) return null;
  return first;
}
