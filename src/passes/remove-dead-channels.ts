/**
 * @file Removes channels that no result depends on: outputs of a layer that its readers multiply by 0, and
 * outputs that are constant because all their weights are 0, folded into the biases of their readers.
 */
import type { Graph, Node, Value } from "../graph/graph.ts";
import { typeOf } from "../graph/graph.ts";
import { type RewriteContext, rewrite, usesOf } from "../graph/rewrite.ts";
import { type Tensor, tensorType, toNumbers, zeros } from "../tensor/tensor.ts";
import {
  type Channels,
  denseLayer,
  findChannels,
  weightZero,
  withChannels,
  zeroOf,
} from "./channels.ts";
import type { ChannelMap } from "./contraction.ts";
import { definePass, repeat } from "./pass.ts";
import { selectTensor } from "./rules.ts";

/** Sets of values that have the same channels, and which of these are needed. */
class Groups {
  private readonly parent = new Map<Value, Value>();
  private readonly needed = new Map<Value, boolean[]>();

  root(v: Value): Value {
    const up = this.parent.get(v);
    if (up === undefined) return v;
    const top = this.root(up);
    this.parent.set(v, top);
    return top;
  }

  join(a: Value, b: Value): void {
    const [x, y] = [this.root(a), this.root(b)];
    if (x !== y) this.parent.set(x, y);
  }

  need(v: Value, channels: readonly boolean[]): void {
    const root = this.root(v);
    const have = this.needed.get(root);
    this.needed.set(
      root,
      have === undefined ? [...channels] : have.map((n, c) => n || channels[c]!),
    );
  }

  /** The channels to keep; null: all. */
  kept(v: Value): readonly number[] | null {
    const flags = this.needed.get(this.root(v));
    if (flags === undefined || flags.every((n) => n)) return null;
    const keep = flags.flatMap((n, c) => (n ? [c] : []));
    if (keep.length > 0) return keep;
    return flags.length === 1 ? null : [0];
  }
}

/** The inputs a dense layer needs: not those it weighs with 0, nor known ones its bias can stand for. */
function neededInputs(g: Graph, node: Node, map: ChannelMap, channels: Channels): boolean[] {
  const weight = g.constants.get(node.ins[1]!)!;
  const zero = weightZero(weight.type);
  const known = channels.values.get(node.ins[0]!);
  const pad = zeroOf(typeOf(g, node.ins[0]!));
  const needed = new Array<boolean>(map.inputs).fill(false);
  for (let i = 0; i < weight.data.length; i++) {
    if (weight.data[i] === zero(map.outIndex(i))) continue;
    const value = known?.[map.inIndex(i)] ?? null;
    const folds = value !== null && (!map.padded || value === pad);
    if (!folds) needed[map.inIndex(i)] = true;
  }
  return needed;
}

function groupChannels(g: Graph, channels: Channels): Groups {
  const groups = new Groups();
  const { axis, carriers } = channels;
  for (const [node, carrier] of carriers) {
    node.ins.forEach((v, i) => {
      if (!g.constants.has(v) && carrier.inAxes[i] !== null) groups.join(v, node.outs[0]!);
    });
  }
  const uses = usesOf(g);
  for (const [v, at] of axis) {
    const n = typeOf(g, v).shape[at]!;
    const all = new Array<boolean>(n).fill(true);
    groups.need(v, new Array<boolean>(n).fill(false));
    if (g.outputs.includes(v) || !canShrink(g, uses.producer(v), channels)) groups.need(v, all);
    for (const user of uses.users(v)) {
      const map = denseLayer(g, user);
      const feeds = map !== null && user.ins.indexOf(v) === 0 && at === map.inAxis;
      if (feeds) groups.need(v, neededInputs(g, user, map, channels));
      else if (!carriers.has(user)) groups.need(v, all);
    }
  }
  return groups;
}

const canShrink = (g: Graph, node: Node | undefined, channels: Channels): boolean =>
  node !== undefined && (channels.carriers.has(node) || denseLayer(g, node) !== null);

/** What the removed inputs add to each output, in the units of the bias. */
function removedPart(
  g: Graph,
  node: Node,
  map: ChannelMap,
  channels: Channels,
  keep: readonly number[],
): number[] {
  const weight = g.constants.get(node.ins[1]!)!;
  const zero = weightZero(weight.type);
  const known = channels.values.get(node.ins[0]!);
  const pad = zeroOf(typeOf(g, node.ins[0]!));
  const kept = new Set(keep);
  const read = toNumbers(weight);
  const sums = new Array<number>(map.outputs).fill(0);
  read.forEach((w, i) => {
    const [o, c] = [map.outIndex(i), map.inIndex(i)];
    if (!kept.has(c) && w !== zero(o)) sums[o]! += (w - zero(o)) * (known![c]! - pad);
  });
  return sums;
}

function shiftedBias(
  bias: Tensor | undefined,
  part: readonly number[],
  w: Tensor,
): Tensor | undefined {
  if (part.every((x) => x === 0)) return bias;
  const dtype = w.type.quant === undefined ? w.type.dtype : "i32";
  const out = zeros(bias?.type ?? tensorType(dtype, [part.length]));
  const have = bias === undefined ? part.map(() => 0) : toNumbers(bias);
  part.forEach((x, o) => {
    out.data[o] = have[o]! + x;
  });
  return out;
}

/** A dense layer with fewer inputs, outputs or both. */
function shrinkLayer(
  node: Node,
  map: ChannelMap,
  ctx: RewriteContext,
  channels: Channels,
  groups: Groups,
): readonly Value[] | null {
  const g = ctx.graph;
  const [x, w, b] = node.ins;
  const ins = channels.axis.get(x!) === map.inAxis ? groups.kept(x!) : null;
  const outs = groups.kept(node.outs[0]!);
  if (ins === null && outs === null) return null;
  let weight = g.constants.get(w!)!;
  let bias = b === undefined ? undefined : g.constants.get(b)!;
  if (ins !== null) {
    bias = shiftedBias(bias, removedPart(g, node, map, channels, ins), weight);
    weight = selectTensor(weight, map.weightInAxis, ins);
  }
  if (outs !== null) {
    weight = selectTensor(weight, 0, outs);
    bias = bias === undefined ? undefined : selectTensor(bias, 0, outs);
  }
  const constants = [weight, bias].filter((t) => t !== undefined);
  const args = [ctx.value(x!), ...constants.map((t) => ctx.builder.constant(t))];
  return ctx.builder.applyAll(node.op, args, node.attrs, node.name);
}

function shrink(g: Graph): Graph {
  const channels = findChannels(g);
  const groups = groupChannels(g, channels);
  return rewrite(g, (node, ctx) => {
    const map = denseLayer(g, node);
    if (map !== null) return shrinkLayer(node, map, ctx, channels, groups);
    const carrier = channels.carriers.get(node);
    const keep = carrier === undefined ? null : groups.kept(node.outs[0]!);
    if (carrier === undefined || keep === null) return null;
    const ins = node.ins.map((v, i) => {
      const t = g.constants.get(v);
      const at = carrier.inAxes[i] ?? null;
      if (t === undefined || at === null) return ctx.value(v);
      return ctx.builder.constant(selectTensor(t, at, keep));
    });
    const attrs = withChannels(node, carrier.outAxis, keep.length);
    return ctx.builder.applyAll(node.op, ins, attrs, node.name);
  });
}

export const removeDeadChannels = definePass({
  name: "remove-dead-channels",
  doc: `Removes channels of convolutions and linear layers whose readers multiply them by 0, and constant
    ones by folding them into the readers' biases; a constant that padding would differ from stays. Exact.`,
  run: (graph) => repeat(graph, shrink),
});
