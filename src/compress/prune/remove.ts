/** @file Removes channels of groups from a graph. */
import type { Graph, Node, Value } from "../../graph/graph.ts";
import { type RewriteContext, rewrite } from "../../graph/rewrite.ts";
import { isResult, type Narrowing, type Port, resultOf } from "../../graph/ties.ts";
import { selectTensor } from "../../passes/rules.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { invariant, UserError } from "../../util/errors.ts";
import type { ChannelGroup } from "./groups.ts";

/** The units of groups that stay, ascending; groups that are not in it stay whole. */
export type Kept = ReadonlyMap<ChannelGroup, readonly number[]>;

/** Removed indices by what loses them and the axis. */
export interface Removed {
  operand(node: Node, position: number, axis: number): ReadonlySet<number> | undefined;
  value(v: Value, axis: number): ReadonlySet<number> | undefined;
}

/** The units that go. Throws UserError where a group would be emptied, or cannot be changed. */
export function removedUnits(kept: Kept): ReadonlyMap<ChannelGroup, readonly number[]> {
  const removed = new Map<ChannelGroup, readonly number[]>();
  for (const [group, keep] of kept) {
    const stays = new Set(keep);
    const valid = [...stays].every((u) => Number.isInteger(u) && u >= 0 && u < group.count);
    if (stays.size === 0 || !valid) {
      throw new UserError("E_ARGUMENT", `of ${group.count} units, units [${keep}] cannot stay`, {
        where: group.name,
        hint: `keep at least one, numbered 0 to ${group.count - 1}`,
      });
    }
    const gone = Array.from({ length: group.count }, (_, u) => u).filter((u) => !stays.has(u));
    if (gone.length === 0) continue;
    if (group.locked !== null) {
      throw new UserError("E_ARGUMENT", `its channels cannot be removed: ${group.locked}`, {
        where: group.name,
        hint: "leave this group whole",
      });
    }
    removed.set(group, gone);
  }
  return removed;
}

/** The indices that go with the units, by operand and value. */
export function removedIndices(units: ReadonlyMap<ChannelGroup, readonly number[]>): Removed {
  const byUse = new Map<Node, Map<string, Set<number>>>();
  const byValue = new Map<Value, Map<number, Set<number>>>();
  const into = <K, S>(map: Map<K, Map<S, Set<number>>>, key: K, sub: S): Set<number> => {
    const inner = map.get(key) ?? new Map<S, Set<number>>();
    map.set(key, inner);
    const set = inner.get(sub) ?? new Set<number>();
    inner.set(sub, set);
    return set;
  };
  for (const [group, gone] of units) {
    for (const { node, position, axis, units: slices } of group.operands) {
      const set = into(byUse, node, `${position}.${axis}`);
      for (const u of gone) for (const i of slices[u]!) set.add(i);
    }
    for (const { value, axis, units: slices } of group.values) {
      const set = into(byValue, value, axis);
      for (const u of gone) for (const i of slices[u]!) set.add(i);
    }
  }
  return {
    operand: (node, position, axis) => byUse.get(node)?.get(`${position}.${axis}`),
    value: (v, axis) => byValue.get(v)?.get(axis),
  };
}

/** The indices of an axis that stay; null: all. */
const stay = (size: number, gone: ReadonlySet<number> | undefined): readonly number[] | null =>
  gone === undefined || gone.size === 0
    ? null
    : Array.from({ length: size }, (_, i) => i).filter((i) => !gone.has(i));

/** The tensor without the removed indices of any axis. */
function narrowed(t: Tensor, goneOf: (axis: number) => ReadonlySet<number> | undefined): Tensor {
  return t.type.shape.reduce((now, size, axis) => {
    const keep = stay(size, goneOf(axis));
    return keep === null ? now : selectTensor(now, axis, keep);
  }, t);
}

function narrowNode(node: Node, ctx: RewriteContext, removed: Removed): readonly Value[] | null {
  const { graph, builder } = ctx;
  const isConstant = (port: Port): boolean =>
    !isResult(port) && graph.constants.has(node.ins[port]!);
  const valueAt = (port: Port): Value =>
    isResult(port) ? node.outs[resultOf(port)]! : node.ins[port]!;
  const goneOf = (port: Port, axis: number): ReadonlySet<number> | undefined =>
    isConstant(port) ? removed.operand(node, port, axis) : removed.value(valueAt(port), axis);
  const size = (port: Port, axis: number): number => ctx.typeOf(valueAt(port)).shape[axis]!;
  const ports = [...node.ins.keys(), ...node.outs.map((_, i) => -1 - i)];
  const touched = ports.some((port) =>
    ctx.typeOf(valueAt(port)).shape.some((_, axis) => (goneOf(port, axis)?.size ?? 0) > 0),
  );
  if (!touched) return null;
  const change: Narrowing = {
    size,
    kept: (port, axis) => {
      const n = size(port, axis);
      return stay(n, goneOf(port, axis)) ?? Array.from({ length: n }, (_, i) => i);
    },
    constant: (position) => graph.constants.get(node.ins[position]!),
  };
  const { attrs, constants = {} } = node.op.narrow?.(node.attrs, change) ?? { attrs: node.attrs };
  const ins = node.ins.map((v, position) => {
    const own = graph.constants.get(v);
    if (own === undefined) return ctx.value(v);
    const next = constants[position] ?? narrowed(own, (axis) => goneOf(position, axis));
    return next === own ? ctx.value(v) : builder.constant(next, graph.values.get(v)!.name);
  });
  const outs = builder.applyAll(node.op, ins, attrs, node.name);
  outs.forEach((v, i) => {
    const want = ctx.typeOf(node.outs[i]!).shape.map((_, axis) => change.kept(-1 - i, axis).length);
    const got = builder.typeOf(v).shape;
    invariant(
      got.join() === want.join(),
      () => `${node.op.name} '${node.name}' narrowed to [${got}], expected [${want}]`,
    );
    builder.setName(v, graph.values.get(node.outs[i]!)!.name);
  });
  return outs;
}

/**
 * The graph without the units that do not stay: smaller weights and values, equal to the graph in which they are 0
 * (maskChannels). Groups are those of this very graph. Throws UserError for a group that would be emptied.
 */
export function removeChannels(graph: Graph, kept: Kept): Graph {
  const units = removedUnits(kept);
  if (units.size === 0) return graph;
  const removed = removedIndices(units);
  return rewrite(graph, (node, ctx) => narrowNode(node, ctx, removed));
}
