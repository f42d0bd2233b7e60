/**
 * @file Activations computed again in the backward pass instead of kept (Chen et al., arXiv:1604.06174): the forward
 * pass is cut into segments; what lives across a cut is kept, the rest of a segment is computed anew from it just
 * before the backward pass gets there. The last segment, with which the backward pass begins, stays as it is.
 */
import { type Graph, GraphBuilder, type Node, typeOf, type Value } from "../graph/graph.ts";
import { barrier } from "../ops/shape/barrier.ts";
import { byteSize } from "../tensor/tensor.ts";

/** Positions among the nodes of a step: the model from `start` to `end`, then the loss, then from `backward` on. */
export interface StepParts {
  readonly start: number;
  readonly end: number;
  readonly backward: number;
}

export interface Recompute {
  /** Names of the values at which the segments end, in order. */
  readonly checkpoints: readonly string[];
  /** Nodes that are computed twice. */
  readonly nodes: number;
  /** Bytes of activations that lived from the forward to the backward pass without recomputation. */
  readonly keptBefore: number;
  /** The same with it, the largest segment computed anew included. */
  readonly keptAfter: number;
}

/** Smaller values are kept: statistics of channels, for example. */
const SMALL_BYTES = 4096;

/** What the choice of segments needs to know of a step. */
class Forward {
  readonly graph: Graph;
  readonly parts: StepParts;
  /** The position of the node that computes a value of the model. */
  readonly producer = new Map<Value, number>();
  /** The last position of model or loss that reads it. */
  private readonly lastRead = new Map<Value, number>();
  /** Values of the model that the backward pass reads. */
  readonly saved = new Set<Value>();
  /** Those of them that must not be computed anew: read by the loss, or small. */
  readonly always = new Set<Value>();

  constructor(graph: Graph, parts: StepParts) {
    this.graph = graph;
    this.parts = parts;
    graph.nodes.forEach((node, i) => {
      if (i >= parts.start && i < parts.end) for (const v of node.outs) this.producer.set(v, i);
      for (const v of node.ins) {
        if (!this.producer.has(v)) continue;
        if (i < parts.backward) this.lastRead.set(v, i);
        else this.saved.add(v);
        if (i >= parts.end && i < parts.backward) this.always.add(v);
      }
    });
    for (const v of graph.outputs) if (this.producer.has(v)) this.always.add(v);
    for (const v of this.saved) if (this.bytes([v]) <= SMALL_BYTES) this.always.add(v);
  }

  bytes(values: Iterable<Value>): number {
    let sum = 0;
    for (const v of values) sum += byteSize(typeOf(this.graph, v));
    return sum;
  }

  /** Values computed up to a position and read by model or loss after it, for every position of the model. */
  live(): readonly ReadonlySet<Value>[] {
    const { start, end } = this.parts;
    const now = new Set<Value>();
    return this.graph.nodes.slice(start, end).map((node, k) => {
      for (const v of node.outs) now.add(v);
      for (const v of now) if ((this.lastRead.get(v) ?? 0) <= start + k) now.delete(v);
      return new Set(now);
    });
  }
}

/** The end of each segment but the last, as positions, and what is kept. */
interface Cuts {
  readonly ends: readonly number[];
  readonly kept: ReadonlySet<Value>;
  readonly keptBytes: number;
}

function cutsAt(
  forward: Forward,
  live: readonly ReadonlySet<Value>[],
  ends: readonly number[],
): Cuts {
  const { start } = forward.parts;
  const kept = new Set(forward.always);
  for (const end of ends) for (const v of live[end - start]!) kept.add(v);
  const segments = new Array<number>(ends.length + 1).fill(0);
  for (const v of forward.saved) {
    if (!kept.has(v)) segments[segmentOf(ends, forward.producer.get(v)!)]! += forward.bytes([v]);
  }
  return { ends, kept, keptBytes: forward.bytes(kept) + Math.max(...segments) };
}

/** The segment of a position: how many ends lie before it. */
const segmentOf = (ends: readonly number[], position: number): number =>
  ends.filter((end) => end < position).length;

const BUDGETS = 24;

/** The cuts that keep least, of those made greedily whenever a segment has so many bytes. */
function bestCuts(forward: Forward): Cuts {
  const live = forward.live();
  const { start } = forward.parts;
  const single = live.flatMap((values, k) => (values.size === 1 ? [start + k] : []));
  const places = new Set(single.length > 2 ? single : live.map((_, k) => start + k));
  const total = forward.bytes(forward.saved);
  let best = cutsAt(forward, live, []);
  for (let i = 1; i <= BUDGETS; i++) {
    const ends: number[] = [];
    let bytes = 0;
    for (let at = start; at < forward.parts.end - 1; at++) {
      const { outs } = forward.graph.nodes[at]!;
      bytes += forward.bytes(outs.filter((v) => forward.saved.has(v)));
      if (bytes < (total * i) / (2 * BUDGETS) || !places.has(at)) continue;
      ends.push(at);
      bytes = 0;
    }
    const cuts = cutsAt(forward, live, ends);
    if (cuts.keptBytes < best.keptBytes) best = cuts;
  }
  return best;
}

/** Builds the step again with the copies in it. */
class Rebuilder {
  private readonly forward: Forward;
  private readonly cuts: Cuts;
  private readonly g: GraphBuilder;
  private readonly map = new Map<Value, Value>();
  /** Values computed anew, and those kept behind a barrier, by segment. */
  private readonly again = new Map<Value, Value>();
  private readonly behind = new Map<string, Value>();
  private readonly done = new Set<number>();
  nodes = 0;

  constructor(forward: Forward, cuts: Cuts) {
    this.forward = forward;
    this.cuts = cuts;
    this.g = new GraphBuilder(forward.graph.name);
    Object.assign(this.g.meta, forward.graph.meta);
  }

  build(): Graph {
    const { graph, parts } = this.forward;
    for (const v of graph.inputs) {
      const { name, type } = graph.values.get(v)!;
      this.map.set(v, this.g.input(name, type));
    }
    graph.nodes.forEach((node, i) => {
      const late = i >= parts.backward;
      if (late) for (const v of node.ins) this.recompute(v);
      this.add(node, (v) => (late ? this.again.get(v) : undefined) ?? this.value(v), this.map);
    });
    graph.outputs.forEach((v, i) => this.g.output(this.value(v), graph.outputNames[i]!));
    return this.g.build();
  }

  private value(v: Value): Value {
    const { graph } = this.forward;
    const known =
      this.map.get(v) ?? this.g.constant(graph.constants.get(v)!, graph.values.get(v)!.name);
    this.map.set(v, known);
    return known;
  }

  private add(node: Node, from: (v: Value) => Value, into: Map<Value, Value>): void {
    const outs = this.g.applyAll(node.op, node.ins.map(from), node.attrs, node.name);
    node.outs.forEach((v, i) => {
      into.set(v, outs[i]!);
      this.g.setName(outs[i]!, this.forward.graph.values.get(v)!.name);
    });
  }

  private segment(v: Value): number | null {
    const position = this.forward.producer.get(v);
    if (position === undefined || this.cuts.kept.has(v)) return null;
    const segment = segmentOf(this.cuts.ends, position);
    return segment === this.cuts.ends.length ? null : segment;
  }

  /** Computes the segment of a value anew, as far as the backward pass reads it, unless that has been done. */
  private recompute(v: Value): void {
    const segment = this.segment(v);
    if (segment === null || this.done.has(segment)) return;
    this.done.add(segment);
    const { graph } = this.forward;
    const needed = new Set([...this.forward.saved].filter((s) => this.segment(s) === segment));
    const from = segment === 0 ? this.forward.parts.start : this.cuts.ends[segment - 1]! + 1;
    const nodes: Node[] = [];
    for (let i = this.cuts.ends[segment]!; i >= from; i--) {
      const node = graph.nodes[i]!;
      if (!node.outs.some((o) => needed.has(o))) continue;
      nodes.push(node);
      for (const w of node.ins) if (this.segment(w) === segment) needed.add(w);
    }
    for (const node of nodes.reverse()) {
      this.add(node, (w) => this.again.get(w) ?? this.apart(w, segment), this.again);
      // What is kept is not replaced by the copy of its node.
      for (const o of node.outs) if (this.segment(o) === null) this.again.delete(o);
      this.nodes++;
    }
  }

  /** An operand of a copy, behind a barrier, so that the copy is not merged with the original. */
  private apart(v: Value, segment: number): Value {
    const value = this.value(v);
    if (this.forward.graph.constants.has(v)) return value;
    const key = `${v}:${segment}`;
    const known = this.behind.get(key) ?? this.g.apply(barrier, [value], { id: segment });
    this.behind.set(key, known);
    return known;
  }
}

/**
 * The step with its activations recomputed between `checkpoints`, values of the step in the order of the forward pass;
 * null: chosen so that least is kept.
 */
export function withRecompute(
  graph: Graph,
  parts: StepParts,
  checkpoints: readonly Value[] | null,
): { readonly graph: Graph; readonly recompute: Recompute } {
  const forward = new Forward(graph, parts);
  const ends = (checkpoints ?? []).flatMap((v) => forward.producer.get(v) ?? []);
  const sorted = [...new Set(ends)].sort((a, b) => a - b);
  const cuts = checkpoints === null ? bestCuts(forward) : cutsAt(forward, forward.live(), sorted);
  const rebuilder = new Rebuilder(forward, cuts);
  const rebuilt = rebuilder.build();
  return {
    graph: rebuilt,
    recompute: {
      checkpoints: cuts.ends.map((at) => {
        const node = graph.nodes[at]!;
        return graph.values.get(node.outs[0]!)!.name || node.name || node.op.name;
      }),
      nodes: rebuilder.nodes,
      keptBefore: forward.bytes(new Set([...forward.saved, ...forward.always])),
      keptAfter: cuts.keptBytes,
    },
  };
}
