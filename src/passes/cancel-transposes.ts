/** @file Moves transposes towards the outputs until they meet their inverse, a constant or each other. */
import { type Graph, isOp, type Node, type Value } from "../graph/graph.ts";
import { type RewriteContext, rewrite } from "../graph/rewrite.ts";
import { reshape } from "../ops/shape/reshape.ts";
import { transpose } from "../ops/shape/transpose.ts";
import { invertPermutation } from "../tensor/shape.ts";
import { byteSize } from "../tensor/tensor.ts";
import { definePass } from "./pass.ts";
import { flattenedOrder, reshapeBefore } from "./reshape-order.ts";
import { attrOf, selectTensor, storedConstant } from "./rules.ts";
import {
  applyPermuted,
  fullRank,
  keepsOrder,
  permutedNode,
  TransposedValues,
} from "./transposed.ts";

/** A new value whose last axis is that of `from` in another order: index i is index order[i] of `from`. */
interface Reordered {
  readonly from: Value;
  readonly order: readonly number[];
}

class Sinker {
  private readonly ctx: RewriteContext;
  private readonly values: TransposedValues;
  private readonly reordered = new Map<Value, Reordered>();

  constructor(ctx: RewriteContext) {
    this.ctx = ctx;
    this.values = new TransposedValues(ctx);
  }

  visit(node: Node): readonly Value[] | null {
    if (isOp(node, transpose)) {
      const v = this.ctx.value(node.ins[0]!);
      return [this.values.permuted(v, node.attrs.perm, node.name)];
    }
    if (isOp(node, reshape)) return this.reshaped(node, node.attrs.shape);
    return this.moved(node) ?? this.absorbed(node);
  }

  private source(v: Value): { readonly from: Value; readonly perm: readonly number[] } | null {
    const perm = this.values.permOf(v);
    if (perm === null) return null;
    return { from: this.values.permuted(v, invertPermutation(perm)), perm };
  }

  private reshaped(node: Node, target: readonly number[]): readonly Value[] | null {
    const { builder } = this.ctx;
    const source = this.source(this.ctx.value(node.ins[0]!));
    if (source === null) return null;
    const { shape } = builder.typeOf(source.from);
    const before = reshapeBefore(shape, source.perm, target);
    if (before !== null) {
      const v = builder.apply(reshape, [source.from], { shape: before.shape }, node.name);
      return [this.values.permuted(v, before.perm)];
    }
    const order = flattenedOrder(shape, source.perm, target);
    if (order === null) return null;
    const out = builder.applyAll(node.op, node.ins.map(this.ctx.value), node.attrs, node.name);
    const from = builder.apply(reshape, [source.from], { shape: target }, node.name);
    this.reordered.set(out[0]!, { from, order });
    return out;
  }

  /** The node on the operands before their common transpose, when no other operand then costs more. */
  private moved(node: Node): readonly Value[] | null {
    if (node.op.permute === undefined || attrOf(node, "layout") !== undefined) return null;
    const { ctx, values } = this;
    const rank = fullRank(node, ctx);
    for (const v of node.ins) {
      const perm = values.permOf(ctx.value(v));
      if (perm === null || perm.length !== rank) continue;
      if (keepsOrder(ctx.typeOf(v).shape, invertPermutation(perm))) continue;
      const back = invertPermutation(perm);
      if (!node.ins.every((other) => this.costsNothing(other, back))) continue;
      const form = permutedNode(node, ctx, back);
      if (form !== null) return applyPermuted(node, ctx, values, back, form);
    }
    return null;
  }

  private costsNothing(v: Value, perm: readonly number[]): boolean {
    const { shape } = this.ctx.typeOf(v);
    if (storedConstant(this.ctx, v) !== null) return true;
    if (shape.length === perm.length) return this.values.isFree(this.ctx.value(v), perm);
    const wide = [...new Array<number>(perm.length - shape.length).fill(1), ...shape];
    return keepsOrder(wide, perm);
  }

  /** A contraction over a reordered axis with a constant: the constant is reordered instead. */
  private absorbed(node: Node): readonly Value[] | null {
    const { ctx } = this;
    for (const [i, v] of node.ins.entries()) {
      const hit = this.reordered.get(ctx.value(v));
      if (hit === undefined) continue;
      const axes = node.op.axes?.(
        node.ins.map((u) => ctx.typeOf(u)),
        node.attrs,
      );
      const [left, right] = axes?.split("->") ?? [];
      const operands = left?.split(",") ?? [];
      const letter = operands[i]?.at(-1);
      if (letter === undefined || right!.includes(letter)) continue;
      const others = operands.map((o, k) => (k !== i && o.includes(letter) ? k : -1));
      const [weight, ...more] = others.filter((k) => k >= 0);
      if (weight === undefined || more.length > 0) continue;
      const stored = storedConstant(ctx, node.ins[weight]!);
      if (stored === null) continue;
      const inverse = invertPermutation(hit.order);
      const axis = operands[weight]!.indexOf(letter);
      const ins = node.ins.map((u, k) => {
        if (k === i) return hit.from;
        return k === weight ? stored.rebuild((t) => selectTensor(t, axis, inverse)) : ctx.value(u);
      });
      return ctx.builder.applyAll(node.op, ins, node.attrs, node.name);
    }
    return null;
  }
}

/** Bytes that the graph's transposes move. */
export function transposeCost(graph: Graph): number {
  let bytes = 0;
  for (const node of graph.nodes) {
    if (!isOp(node, transpose)) continue;
    const { type } = graph.values.get(node.ins[0]!)!;
    if (!keepsOrder(type.shape, node.attrs.perm)) bytes += byteSize(type);
  }
  return bytes;
}

export const cancelTransposes = definePass({
  name: "cancel-transposes",
  doc: `Moves transposes through operators that have a permuted form, through reshapes that keep their
    axes apart and into constants, so that inverse pairs meet. Kept only if fewer bytes are moved.`,
  run(graph) {
    if (!graph.nodes.some((node) => isOp(node, transpose))) return graph;
    let sinker: Sinker | undefined;
    const next = rewrite(graph, (node, ctx) => {
      sinker ??= new Sinker(ctx);
      return sinker.visit(node);
    });
    return transposeCost(next) < transposeCost(graph) ? next : graph;
  },
});
