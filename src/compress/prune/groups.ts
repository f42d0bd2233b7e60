/**
 * @file Channels that can only be removed together, found from what operators say of their axes: the dependency groups
 * of structural pruning (Fang et al., DepGraph, arXiv:2301.12900), without a rule for any kind of layer.
 */
import { isFixed } from "../../graph/fixed.ts";
import type { Graph, Node, Value } from "../../graph/graph.ts";
import { isResult } from "../../graph/ties.ts";
import { type HeldTies, type Place, type Places, tieGraph } from "./places.ts";

/** Indices of one axis, by unit of the group. */
export interface Slices {
  readonly axis: number;
  readonly units: readonly (readonly number[])[];
}

/** A constant operand that loses indices with the group. */
export interface GroupOperand extends Slices {
  readonly node: Node;
  readonly position: number;
  /** "out": the indices are results of the node; "in": it sums over them. */
  readonly role: "out" | "in";
}

/** A computed value that loses indices with the group. */
export interface GroupValue extends Slices {
  readonly value: Value;
}

/** A set of units, each of which is removed as a whole and independently of the others. */
export interface ChannelGroup {
  /** The layer that makes the channels; unique among the groups. */
  readonly name: string;
  /** Number of units. */
  readonly count: number;
  /** Channels of the layer that a unit holds: 1, or those of a head, or one for each group of a convolution. */
  readonly width: number;
  readonly operands: readonly GroupOperand[];
  readonly values: readonly GroupValue[];
  /** Why nothing of it can be removed; null: it can. */
  readonly locked: string | null;
}

/** Roles of a node's axes: places that are summed over. */
function summedPlaces(graph: Graph, places: Places, held: HeldTies): Set<Place> {
  const summed = new Set<Place>();
  for (const node of graph.nodes) {
    if (node.op.contracts !== true) continue;
    for (const tie of held.get(node)!) {
      if (tie.some(({ port }) => isResult(port))) continue;
      for (const { port, axis } of tie) summed.add(places.of(node, port)[axis]!);
    }
  }
  return summed;
}

/** Indices by root, in order of places. */
type Members = ReadonlyMap<number, ReadonlyMap<Place, number[]>>;

function membersOf(places: Places): Members {
  const members = new Map<number, Map<Place, number[]>>();
  for (const place of places.places) {
    for (let i = 0; i < place.size; i++) {
      const root = places.root(place.first + i);
      let own = members.get(root);
      if (own === undefined) {
        own = new Map();
        members.set(root, own);
      }
      const list = own.get(place);
      if (list === undefined) own.set(place, [i]);
      else list.push(i);
    }
  }
  return members;
}

/** Whether the place holds learned weights whose results are the channels. */
const makes = (place: Place, summed: ReadonlySet<Place>): boolean =>
  place.use !== null &&
  place.use.node.op.contracts === true &&
  place.use.node.op.parameters?.includes(place.use.position) === true &&
  !summed.has(place);

interface Unit {
  readonly members: ReadonlyMap<Place, readonly number[]>;
  readonly locked: string | null;
}

/** Units by the places they touch: those of one key are interchangeable. */
function unitsByPlaces(places: Places, summed: ReadonlySet<Place>): Map<string, Unit[]> {
  const order = new Map(places.places.map((p, i) => [p, i]));
  const found = new Map<string, Unit[]>();
  for (const [root, members] of membersOf(places)) {
    const all = [...members.keys()];
    const makers = all.filter((p) => makes(p, summed));
    if (makers.length === 0 || all.every((p) => p.use !== null)) continue;
    const { graph } = places;
    const fixed = makers.some((p) => isFixed(graph, p.use!.node, p.value));
    const locked = places.reason(root) ?? (fixed ? "its weights are fixed features" : null);
    const key = all.map((p) => order.get(p)!).join();
    const list = found.get(key) ?? [];
    found.set(key, list);
    list.push({ members, locked });
  }
  return found;
}

function groupOf(units: readonly Unit[], summed: ReadonlySet<Place>, name: string): ChannelGroup {
  const places = [...units[0]!.members.keys()];
  const slices = (place: Place): Slices => ({
    axis: place.axis,
    units: units.map((u) => u.members.get(place)!),
  });
  const maker = places.find((p) => makes(p, summed))!;
  return {
    name,
    count: units.length,
    width: units[0]!.members.get(maker)!.length,
    operands: places.flatMap((place) => {
      if (place.use === null) return [];
      return [{ ...place.use, role: summed.has(place) ? "in" : "out", ...slices(place) } as const];
    }),
    values: places.flatMap((place) =>
      place.use === null ? [{ value: place.value, ...slices(place) }] : [],
    ),
    locked: units.find((u) => u.locked !== null)?.locked ?? null,
  };
}

/**
 * The groups of channels of a graph, in the order of the layers that make them. Every channel that a layer with
 * weights makes is in exactly one; those that reach an input, an output or an operator that needs all of them are in
 * groups with `locked`.
 */
export function channelGroups(graph: Graph): readonly ChannelGroup[] {
  const { places, held } = tieGraph(graph);
  const summed = summedPlaces(graph, places, held);
  const names = new Map<string, number>();
  return [...unitsByPlaces(places, summed).values()].map((units) => {
    const maker = [...units[0]!.members.keys()].find((p) => makes(p, summed))!;
    const { node } = maker.use!;
    const base = node.name || node.op.name;
    const n = (names.get(base) ?? 0) + 1;
    names.set(base, n);
    return groupOf(units, summed, n === 1 ? base : `${base}#${n}`);
  });
}

/** The groups that can lose channels: not locked, and of more than one unit. */
export const prunableGroups = (graph: Graph): readonly ChannelGroup[] =>
  channelGroups(graph).filter((g) => g.locked === null && g.count > 1);
