/**
 * @file Which values carry the channels of a convolution or linear layer, along which axis, and which of
 * those channels hold the same known value everywhere.
 */
import { evalTensors, inferTypes } from "../graph/apply.ts";
import { type Graph, isOp, type Node, typeOf, type Value } from "../graph/graph.ts";
import type { Attrs } from "../graph/op.ts";
import { reshape } from "../ops/shape/reshape.ts";
import { slice } from "../ops/shape/slice.ts";
import { elementCount, type Tensor, type TensorType, zeros } from "../tensor/tensor.ts";
import { type ChannelMap, channelMap } from "./contraction.ts";
import { attrOf, tryInfer } from "./rules.ts";

/** A channel's stored value where it is the same at every position; null: it varies. */
export type ChannelValues = readonly (number | null)[];

/** A node through which channels pass one by one. */
export interface Carrier {
  readonly outAxis: number;
  /** For each operand the axis with the channels; null: none. */
  readonly inAxes: readonly (number | null)[];
}

export interface Channels {
  /** The axis of a value that channels run along. */
  readonly axis: ReadonlyMap<Value, number>;
  readonly carriers: ReadonlyMap<Node, Carrier>;
  readonly values: ReadonlyMap<Value, ChannelValues>;
}

const typesOf = (g: Graph, vs: readonly Value[]): TensorType[] => vs.map((v) => typeOf(g, v));

export const mapOf = (g: Graph, node: Node): ChannelMap | null =>
  channelMap(node, (i) => typeOf(g, node.ins[i]!).shape);

/** A layer all of whose inputs reach all of its outputs, with constant parameters. */
export function denseLayer(g: Graph, node: Node): ChannelMap | null {
  const map = mapOf(g, node);
  const fixed = node.ins.slice(1).every((v) => g.constants.has(v));
  return map !== null && map.groups === 1 && fixed && node.ins.length <= 3 ? map : null;
}

/** The attributes when the channels are `count` in number. */
export function withChannels(node: Node, axis: number, count: number): Attrs {
  if (isOp(node, reshape)) return { ...node.attrs, shape: node.attrs.shape.with(axis, count) };
  if (isOp(node, slice)) return { ...node.attrs, size: node.attrs.size.with(axis, count) };
  const groups = attrOf(node, "groups");
  return groups === undefined || groups === 1 ? node.attrs : { ...node.attrs, groups: count };
}

/** Whether the node still fits with one channel more. */
function canChange(g: Graph, node: Node, carrier: Carrier): boolean {
  const count = typeOf(g, node.outs[0]!).shape[carrier.outAxis]! + 1;
  const types = typesOf(g, node.ins).map((t, i) => {
    const axis = carrier.inAxes[i] ?? null;
    return axis === null ? t : { ...t, shape: t.shape.with(axis, count) };
  });
  if (types.some((t, i) => t.quant?.axis != null && t.quant.axis === carrier.inAxes[i])) {
    return node.op.quant === "integer";
  }
  const out = tryInfer(node.op, types, withChannels(node, carrier.outAxis, count))?.[0];
  return out !== undefined && out.shape[carrier.outAxis] === count;
}

/** How channels pass through the node, from an operand whose axis is known. */
function carrierOf(g: Graph, node: Node, axis: ReadonlyMap<Value, number>): Carrier | null {
  if (node.outs.length !== 1) return null;
  const [left = "", right = ""] =
    node.op.axes?.(typesOf(g, node.ins), node.attrs)?.split("->") ?? [];
  const operands = left.split(",");
  const at = node.ins.findIndex((v) => axis.has(v));
  const letter = operands[at]?.[axis.get(node.ins[at]!) ?? -1];
  const outAxis = letter === undefined ? -1 : right.indexOf(letter);
  if (letter === undefined || outAxis < 0) return null;
  const inAxes = operands.map((o) => (o.includes(letter) ? o.indexOf(letter) : null));
  const known = node.ins.every((v, i) => {
    if (g.constants.has(v)) return true;
    return axis.get(v) === (inAxes[i] ?? undefined);
  });
  const carrier = { outAxis, inAxes };
  return known && canChange(g, node, carrier) ? carrier : null;
}

/** Stored value that stands for 0, the value of padding. */
export const zeroOf = (t: TensorType): number => t.quant?.zeroPoint[0] ?? 0;

/** A tensor whose channels hold the given values, unknown ones 0. */
function filled(type: TensorType, axis: number, values: ChannelValues): Tensor {
  const t = zeros(type);
  const inner = elementCount(type.shape.slice(axis + 1));
  const n = type.shape[axis]!;
  const data = t.data as Float64Array;
  for (let i = 0; i < data.length; i++) {
    data[i] = values[Math.floor(i / inner) % n] ?? zeroOf(type);
  }
  return t;
}

/** Each channel's value where it does not vary. */
function uniformChannels(t: Tensor, axis: number): ChannelValues {
  const { shape } = t.type;
  const inner = elementCount(shape.slice(axis + 1));
  const first = new Array<number | null | undefined>(shape[axis]!).fill(undefined);
  for (let i = 0; i < t.data.length; i++) {
    const c = Math.floor(i / inner) % shape[axis]!;
    const x = t.data[i] as number;
    if (first[c] === undefined) first[c] = x;
    else if (first[c] !== null && !Object.is(first[c], x)) first[c] = null;
  }
  return first.map((x) => x ?? null);
}

const WIDE = new Set(["f16", "bf16", "i64", "u64"]);

function throughCarrier(
  g: Graph,
  node: Node,
  carrier: Carrier,
  values: ReadonlyMap<Value, ChannelValues>,
): ChannelValues | null {
  const variable = node.ins.flatMap((v, i) => (g.constants.has(v) ? [] : [i]));
  if (variable.some((i) => carrier.inAxes[i] === null) || node.op.eval === undefined) return null;
  const known = variable.map((i) => values.get(node.ins[i]!));
  const n = typeOf(g, node.outs[0]!).shape[carrier.outAxis]!;
  const fixed = Array.from({ length: n }, (_, c) => known.every((k) => k?.[c] != null));
  if (!fixed.includes(true)) return null;
  const ins = node.ins.map((v, i) => {
    const constant = g.constants.get(v);
    if (constant !== undefined) return constant;
    return filled(typeOf(g, v), carrier.inAxes[i]!, values.get(v)!);
  });
  const out = evalTensors(node.op, ins, node.attrs, typesOf(g, node.outs))[0]!;
  return uniformChannels(out, carrier.outAxis).map((x, c) => (fixed[c] ? x : null));
}

/** Stored weight that stands for 0, by output channel. */
export function weightZero(t: TensorType): (output: number) => number {
  const zero = t.quant?.zeroPoint;
  return (o) => (zero === undefined ? 0 : zero[t.quant!.axis === null ? 0 : o]!);
}

/** The operand and attributes that show one window without padding. */
function oneWindow(node: Node, map: ChannelMap, x: TensorType, w: TensorType) {
  const attrs = node.attrs as { readonly dilation?: readonly number[] };
  const { dilation } = attrs;
  if (dilation === undefined) return { shape: [1, map.inputs], attrs: node.attrs };
  const kernel = w.shape.filter((_, i) => i !== 0 && i !== map.weightInAxis);
  const spatial = kernel.map((k, i) => (k - 1) * dilation[i]! + 1);
  const shape = x.shape.map((_, i) => (i === 0 ? 1 : map.inputs));
  x.shape.forEach((_, i) => {
    if (i !== 0 && i !== map.inAxis) shape[i] = spatial[i > map.inAxis ? i - 2 : i - 1]!;
  });
  const zero = kernel.map(() => 0);
  const stride = kernel.map(() => 1);
  return { shape, attrs: { ...node.attrs, stride, padBegin: zero, padEnd: zero } };
}

/** Outputs of a layer that see only known channels, or weights of 0. */
function throughLayer(
  g: Graph,
  node: Node,
  map: ChannelMap,
  known: ChannelValues | undefined,
): ChannelValues | null {
  if (node.ins.length > 3 || !node.ins.slice(1).every((v) => g.constants.has(v))) return null;
  const [x, w] = typesOf(g, node.ins) as [TensorType, TensorType];
  const weight = g.constants.get(node.ins[1]!)!;
  const zero = weightZero(w);
  const fixed = new Array<boolean>(map.outputs).fill(true);
  for (let i = 0; i < weight.data.length; i++) {
    const o = map.outIndex(i);
    if (weight.data[i] === zero(o)) continue;
    const value = known?.[map.inIndex(i)] ?? null;
    if (value === null || (map.padded && value !== zeroOf(x))) fixed[o] = false;
  }
  if (!fixed.includes(true)) return null;
  const window = oneWindow(node, map, x, w);
  const type = { ...x, shape: window.shape };
  const axis = window.shape.length === 2 ? 1 : map.inAxis;
  const unknown = new Array<null>(map.inputs).fill(null);
  const ins = [
    filled(type, axis, known ?? unknown),
    ...node.ins.slice(1).map((v) => g.constants.get(v)!),
  ];
  const outs = inferTypes(
    node.op,
    ins.map((t) => t.type),
    window.attrs,
  );
  const y = evalTensors(node.op, ins, window.attrs, outs)[0]!;
  return fixed.map((is, o) => (is ? (y.data[o] as number) : null));
}

/** Follows channels from the layers that make them. */
export function findChannels(g: Graph): Channels {
  const axis = new Map<Value, number>();
  const carriers = new Map<Node, Carrier>();
  const values = new Map<Value, ChannelValues>();
  for (const node of g.nodes) {
    const map = mapOf(g, node);
    const dense = map !== null && map.groups === 1;
    const carrier = dense ? null : carrierOf(g, node, axis);
    const out = node.outs[0]!;
    if (carrier !== null) carriers.set(node, carrier);
    if (map !== null) axis.set(out, map.outAxis);
    else if (carrier !== null) axis.set(out, carrier.outAxis);
    if (WIDE.has(typeOf(g, out).dtype)) continue;
    const known =
      map !== null
        ? throughLayer(g, node, map, values.get(node.ins[0]!))
        : carrier && throughCarrier(g, node, carrier, values);
    if (known != null) values.set(out, known);
  }
  return { axis, carriers, values };
}
