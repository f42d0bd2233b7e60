/** @file Moves one node across transposes: computing on permuted operands instead of permuting the result. */
import type { Node, Value } from "../graph/graph.ts";
import type { Attrs } from "../graph/op.ts";
import type { RewriteContext } from "../graph/rewrite.ts";
import { reshape } from "../ops/shape/reshape.ts";
import { transpose } from "../ops/shape/transpose.ts";
import { invertPermutation } from "../tensor/shape.ts";
import { elementCount, type Shape, sameShape, sameType } from "../tensor/tensor.ts";
import { permuteTensor, storedConstant, tryInfer } from "./rules.ts";

/** Whether the permutation leaves every element at its place in memory. */
export function keepsOrder(shape: Shape, perm: readonly number[]): boolean {
  const moved = perm.filter((p) => shape[p] !== 1);
  return moved.every((p, i) => i === 0 || p > moved[i - 1]!);
}

/** What is known of the values of a graph under construction: which stand for a transposed other one. */
export class TransposedValues {
  private readonly ctx: RewriteContext;
  private readonly sources = new Map<
    Value,
    { readonly from: Value; readonly perm: readonly number[] }
  >();
  private readonly made = new Map<string, Value>();

  constructor(ctx: RewriteContext) {
    this.ctx = ctx;
  }

  /** The permutation that makes `v` (of the new graph) from another value; null: it is no transpose. */
  permOf(v: Value): readonly number[] | null {
    return this.sources.get(v)?.perm ?? null;
  }

  /** `v` with its axes reordered; chains of transposes collapse. */
  permuted(v: Value, perm: readonly number[], name = ""): Value {
    const source = this.sources.get(v);
    const from = source?.from ?? v;
    const whole = source === undefined ? perm : perm.map((p) => source.perm[p]!);
    if (whole.every((p, i) => p === i)) return from;
    const key = `${from}:${whole}`;
    const known = this.made.get(key);
    if (known !== undefined) return known;
    const out = this.ctx.builder.apply(transpose, [from], { perm: whole }, name);
    this.sources.set(out, { from, perm: whole });
    this.made.set(key, out);
    return out;
  }

  /** Whether `v` permuted costs nothing: it undoes a transpose, exists already, or moves no element. */
  isFree(v: Value, perm: readonly number[]): boolean {
    const source = this.sources.get(v);
    const whole = source === undefined ? perm : perm.map((p) => source.perm[p]!);
    if (whole.every((p, i) => p === i)) return true;
    const from = source?.from ?? v;
    if (this.made.has(`${from}:${whole}`)) return true;
    return keepsOrder(this.ctx.builder.typeOf(from).shape, whole);
  }
}

/** The rank that `Op.permute` speaks of. */
export function fullRank(node: Node, ctx: RewriteContext): number {
  return Math.max(...[...node.ins, ...node.outs].map((v) => ctx.typeOf(v).shape.length));
}

/** Operands brought to full rank where the op broadcasts and its result does not change by it. */
function widened(node: Node, ctx: RewriteContext, rank: number): (readonly number[])[] | null {
  const types = node.ins.map((v) => ctx.typeOf(v));
  const wide = types.map((t) =>
    t.shape.length === rank || elementCount(t.shape) === 1 || t.quant?.axis != null
      ? t.shape
      : [...new Array<number>(rank - t.shape.length).fill(1), ...t.shape],
  );
  const result = tryInfer(
    node.op,
    types.map((t, i) => ({ ...t, shape: wide[i]! })),
    node.attrs,
  );
  if (result === null) return null;
  return result.every((t, i) => sameType(t, ctx.typeOf(node.outs[i]!))) ? wide : null;
}

export interface PermutedNode {
  readonly attrs: Attrs;
  /** Shapes the operands must have before they are permuted. */
  readonly shapes: readonly Shape[];
}

/** The node's form on operands permuted by `perm`; null: the op does not move. */
export function permutedNode(
  node: Node,
  ctx: RewriteContext,
  perm: readonly number[],
): PermutedNode | null {
  const { permute } = node.op;
  if (permute === undefined) return null;
  const types = node.ins.map((v) => ctx.typeOf(v));
  const attrs = permute.call(node.op, node.attrs, perm, types);
  if (attrs !== null) return { attrs, shapes: types.map((t) => t.shape) };
  const shapes = widened(node, ctx, perm.length);
  if (shapes === null) return null;
  const again = permute.call(
    node.op,
    node.attrs,
    perm,
    types.map((t, i) => ({ ...t, shape: shapes[i]! })),
  );
  return again === null ? null : { attrs: again, shapes };
}

/** Computes the node on permuted operands; its results are then permuted back. */
export function applyPermuted(
  node: Node,
  ctx: RewriteContext,
  values: TransposedValues,
  perm: readonly number[],
  form: PermutedNode,
): readonly Value[] {
  const ins = node.ins.map((v, i) => {
    const shape = form.shapes[i]!;
    const own = ctx.typeOf(v).shape;
    if (shape.length !== perm.length) return ctx.value(v);
    const stored = storedConstant(ctx, v);
    if (stored !== null && sameShape(stored.tensor.type.shape, own)) {
      return stored.rebuild((t) => permuteTensor({ ...t, type: { ...t.type, shape } }, perm));
    }
    const full = sameShape(shape, own)
      ? ctx.value(v)
      : ctx.builder.apply(reshape, [ctx.value(v)], { shape });
    return values.permuted(full, perm);
  });
  const outs = ctx.builder.applyAll(node.op, ins, form.attrs, node.name);
  const back = invertPermutation(perm);
  return outs.map((v, i) =>
    ctx.typeOf(node.outs[i]!).shape.length === perm.length ? values.permuted(v, back) : v,
  );
}
