/**
 * @file The indices of all axes of a graph as numbers, and what its operators tie together: a union-find over single
 * indices. Constants count once for each use: two layers that share one are not tied by it.
 */
import { type Graph, type Node, nameOf, typeOf, type Value } from "../../graph/graph.ts";
import {
  type AxisTie,
  type AxisTies,
  isResult,
  type Port,
  resultOf,
  tiesOfAxes,
} from "../../graph/ties.ts";
import type { Shape } from "../../tensor/tensor.ts";

/** An axis of a value, or of a constant as one node reads it. */
export interface Place {
  /** Null: a value that is computed, or an input. */
  readonly use: { readonly node: Node; readonly position: number } | null;
  readonly value: Value;
  readonly axis: number;
  /** Number of its first index. */
  readonly first: number;
  readonly size: number;
}

/** How indices leave: kept apart from those that no removal can touch. */
export class Places {
  readonly graph: Graph;
  readonly places: Place[] = [];
  private readonly byValue = new Map<Value, readonly Place[]>();
  private readonly byUse = new Map<Node, ReadonlyMap<number, readonly Place[]>>();
  private readonly parent: Int32Array;
  /** Why the indices of a root stay; by root. */
  private readonly reasons = new Map<number, string>();

  constructor(graph: Graph) {
    this.graph = graph;
    let next = 0;
    const add = (value: Value, use: Place["use"]): Place[] =>
      typeOf(graph, value).shape.map((size, axis) => {
        const place: Place = { use, value, axis, first: next, size };
        next += size;
        this.places.push(place);
        return place;
      });
    for (const v of graph.inputs) this.byValue.set(v, add(v, null));
    for (const node of graph.nodes) {
      const uses = new Map<number, readonly Place[]>();
      node.ins.forEach((v, position) => {
        if (graph.constants.has(v)) uses.set(position, add(v, { node, position }));
      });
      this.byUse.set(node, uses);
      for (const v of node.outs) this.byValue.set(v, add(v, null));
    }
    this.parent = Int32Array.from({ length: next }, (_, i) => i);
  }

  /** The axes of a port of a node. */
  of(node: Node, port: Port): readonly Place[] {
    if (isResult(port)) return this.byValue.get(node.outs[resultOf(port)]!)!;
    return this.byUse.get(node)!.get(port) ?? this.byValue.get(node.ins[port]!)!;
  }

  /** The axes of a value that is no constant. */
  ofValue(v: Value): readonly Place[] {
    return this.byValue.get(v) ?? [];
  }

  root(index: number): number {
    let i = index;
    while (this.parent[i] !== i) {
      this.parent[i] = this.parent[this.parent[i]!]!;
      i = this.parent[i]!;
    }
    return i;
  }

  /** Why the index stays; undefined: it can go. */
  reason(index: number): string | undefined {
    return this.reasons.get(this.root(index));
  }

  lock(place: Place, reason: string): void {
    for (let i = 0; i < place.size; i++) {
      const root = this.root(place.first + i);
      if (!this.reasons.has(root)) this.reasons.set(root, reason);
    }
  }

  private join(a: number, b: number): void {
    const [x, y] = [this.root(a), this.root(b)];
    if (x === y) return;
    const [low, high] = [Math.min(x, y), Math.max(x, y)];
    this.parent[high] = low;
    const reason = this.reasons.get(low) ?? this.reasons.get(high);
    if (reason !== undefined) this.reasons.set(low, reason);
  }

  tie(node: Node, tie: AxisTie): void {
    const first = new Map<number, number>();
    for (const { port, axis, unit } of tie) {
      const place = this.of(node, port)[axis]!;
      unit.forEach((u, i) => {
        if (u < 0) return;
        const known = first.get(u);
        if (known === undefined) first.set(u, place.first + i);
        else this.join(known, place.first + i);
      });
    }
  }

  /** Whether all indices of the tie's axes can go, as far as is known. */
  isFree(node: Node, tie: AxisTie): boolean {
    return tie.every(({ port, axis }) => {
      const place = this.of(node, port)[axis]!;
      for (let i = 0; i < place.size; i++) {
        if (this.reason(place.first + i) !== undefined) return false;
      }
      return true;
    });
  }
}

/** What the node's operator says of its axes; without a word from it, none can lose indices. */
export function tiesOf(graph: Graph, node: Node): AxisTies {
  const ins = node.ins.map((v) => typeOf(graph, v));
  const outs = node.outs.map((v) => typeOf(graph, v));
  const own = node.op.ties?.(ins, node.attrs, outs, (i) => graph.constants.get(node.ins[i]!));
  if (own != null) return own;
  const text = node.op.axes?.(ins, node.attrs) ?? null;
  if (text === null) return { all: [] };
  const shapes = (types: typeof ins): Shape[] => types.map((t) => t.shape);
  return tiesOfAxes(text, shapes(ins), shapes(outs), node.op.contracts === true);
}

const portsOf = (node: Node): Port[] => [
  ...node.ins.map((_, i) => i),
  ...node.outs.map((_, i) => -1 - i),
];

const where = (node: Node): string => `${node.op.name} '${node.name}'`;

/** The ties of a node as far as they hold: of alternatives, the one taken. */
export type HeldTies = ReadonlyMap<Node, readonly AxisTie[]>;

/** Ties all indices of the graph, and locks those that have to stay. */
export function tieGraph(graph: Graph): { readonly places: Places; readonly held: HeldTies } {
  const places = new Places(graph);
  const held = new Map<Node, AxisTie[]>();
  const open: (readonly [Node, readonly AxisTie[]])[] = [];
  for (const node of graph.nodes) {
    const { all, oneOf = [] } = tiesOf(graph, node);
    held.set(node, [...all]);
    for (const tie of all) places.tie(node, tie);
    for (const ties of oneOf) open.push([node, ties]);
    const tied = new Set([...all, ...oneOf.flat()].flat().map((t) => `${t.port}.${t.axis}`));
    for (const port of portsOf(node)) {
      for (const place of places.of(node, port)) {
        if (!tied.has(`${port}.${place.axis}`)) places.lock(place, `${where(node)} needs all`);
      }
    }
  }
  const ends = [
    ...graph.inputs.map((v) => [v, `it reaches the input '${nameOf(graph, v)}'`] as const),
    ...graph.outputs.map((v, i) => [v, `it reaches the output '${graph.outputNames[i]}'`] as const),
  ];
  for (const [v, reason] of ends) for (const p of places.ofValue(v)) places.lock(p, reason);
  for (const [node, ties] of open) {
    const chosen = ties.find((tie) => places.isFree(node, tie));
    const kept = new Set(chosen?.map((t) => `${t.port}.${t.axis}`));
    for (const { port, axis } of ties.flat()) {
      if (kept.has(`${port}.${axis}`)) continue;
      places.lock(places.of(node, port)[axis]!, `${where(node)} takes the axis apart`);
    }
    if (chosen === undefined) continue;
    places.tie(node, chosen);
    held.get(node)!.push(chosen);
  }
  return { places, held };
}
