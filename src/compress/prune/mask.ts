/** @file Sets channels of groups to 0 in a graph whose shapes stay: what removal is measured against. */
import type { Graph, Node, Value } from "../../graph/graph.ts";
import { type RewriteContext, rewrite } from "../../graph/rewrite.ts";
import { mul } from "../../ops/elementwise/mul.ts";
import { strides } from "../../tensor/shape.ts";
import { type Tensor, tensorOf } from "../../tensor/tensor.ts";
import type { GroupOperand } from "./groups.ts";
import { type Kept, type Removed, removedIndices, removedUnits } from "./remove.ts";

/** The tensor with 0 (or what stands for it) at the indices of an axis. */
function zeroIndices(t: Tensor, axis: number, indices: ReadonlySet<number>): Tensor {
  const { shape, quant } = t.type;
  const steps = strides(shape);
  const data = t.data.slice() as Float64Array;
  const along = (i: number, a: number): number => Math.floor(i / steps[a]!) % shape[a]!;
  for (let i = 0; i < data.length; i++) {
    if (!indices.has(along(i, axis))) continue;
    const at = quant === undefined || quant.axis === null ? 0 : along(i, quant.axis);
    data[i] = quant === undefined ? 0 : quant.zeroPoint[at]!;
  }
  return { type: t.type, data };
}

/** Whether 0 in this operand is how a channel is switched off: a learned weight, or one that is summed over. */
const switchesOff = ({ node, position, role }: GroupOperand): boolean =>
  role === "in" || node.op.parameters?.includes(position) === true;

/** Factors 0 and 1 along one axis. */
function maskTensor(shape: readonly number[], axis: number, gone: ReadonlySet<number>): Tensor {
  const values = Array.from({ length: shape[axis]! }, (_, i) => (gone.has(i) ? 0 : 1));
  const to = shape.map((n, i) => (i === axis ? n : 1));
  return tensorOf("f32", to, values);
}

/** The first operand times masks, for a node that multiplies two computed values. */
function maskedOperand(node: Node, x: Value, ctx: RewriteContext, removed: Removed): Value {
  const old = node.ins[0]!;
  const { shape, dtype } = ctx.typeOf(old);
  if (dtype !== "f32") return x;
  return shape.reduce<Value>((v, _, axis) => {
    const gone = removed.value(old, axis);
    if (gone === undefined || gone.size === 0) return v;
    return ctx.builder.apply(mul, [v, ctx.builder.constant(maskTensor(shape, axis, gone))]);
  }, x);
}

/**
 * The graph with the units that do not stay set to 0: weights that make them and weights that read them; where two
 * computed values are multiplied over them, a mask. Refuses what removeChannels refuses.
 */
export function maskChannels(graph: Graph, kept: Kept): Graph {
  const units = removedUnits(kept);
  if (units.size === 0) return graph;
  const removed = removedIndices(units);
  const switched = new Map<Node, GroupOperand[]>();
  for (const group of units.keys()) {
    for (const o of group.operands.filter(switchesOff)) {
      switched.set(o.node, [...(switched.get(o.node) ?? []), o]);
    }
  }
  return rewrite(graph, (node, ctx) => {
    const own = switched.get(node) ?? [];
    const ins = node.ins.map((v, position) => {
      const axes = new Set(own.filter((o) => o.position === position).map((o) => o.axis));
      if (axes.size === 0) return ctx.value(v);
      const zeroed = [...axes].reduce(
        (t, axis) => zeroIndices(t, axis, removed.operand(node, position, axis)!),
        graph.constants.get(v)!,
      );
      return ctx.builder.constant(zeroed, graph.values.get(v)!.name);
    });
    const products = node.op.contracts === true && node.ins.length > 1;
    if (products && node.ins.slice(0, 2).every((v) => !graph.constants.has(v))) {
      ins[0] = maskedOperand(node, ins[0]!, ctx, removed);
    }
    const changed = own.length > 0 || ins[0] !== (node.ins[0] && ctx.value(node.ins[0]));
    return changed ? ctx.builder.applyAll(node.op, ins, node.attrs, node.name) : null;
  });
}
