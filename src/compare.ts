/**
 * @file Where two forms of a model part: their values on the same input, matched by name, up to the first
 * that differs. Fused forms keep the first name of what they fuse, so a value may match a later one.
 */
import { withOutputs } from "./compress/quantize/index.ts";
import { type Graph, type Node, typeOf, type Value } from "./graph/graph.ts";
import { interpret } from "./graph/interpret.ts";
import { usesOf } from "./graph/rewrite.ts";
import type { Program } from "./kernel/program.ts";
import { compileGraph } from "./plan/compile.ts";
import { type Capabilities, WASM } from "./primitives/capabilities.ts";
import { primitives } from "./primitives/index.ts";
import { createSession, type Session } from "./runtime/session.ts";
import { dequantizeTensor } from "./tensor/quant.ts";
import { type Tensor, toFloat64 } from "./tensor/tensor.ts";

/** A value and what it was on the input given. */
export interface TracedValue {
  readonly name: string;
  readonly op: string;
  readonly shape: readonly number[];
  /** Reals, whatever the type. */
  readonly values: Float64Array;
  /** Scale when quantised per tensor. */
  readonly scale: number | null;
  /** Values computed from this one alone, nearest first. */
  readonly next: readonly Value[];
}

/** Values in order of execution. */
export type Trace = ReadonlyMap<Value, TracedValue>;

/** How far values may be absorbed into one operator. */
const MAX_FUSED = 4;

function chainFrom(graph: Graph): (v: Value) => readonly Value[] {
  const uses = usesOf(graph);
  return (start) => {
    const chain: Value[] = [];
    for (let v = start; chain.length < MAX_FUSED; ) {
      const [user, ...others] = uses.users(v);
      if (user === undefined || others.length > 0 || user.outs.length !== 1) break;
      v = user.outs[0]!;
      chain.push(v);
    }
    return chain;
  };
}

function traced(graph: Graph, results: readonly (readonly [Node, readonly Tensor[]])[]): Trace {
  const chain = chainFrom(graph);
  const trace = new Map<Value, TracedValue>();
  for (const [node, outs] of results) {
    node.outs.forEach((v, i) => {
      const t = outs[i]!;
      const output = graph.outputs.indexOf(v);
      const { quant } = t.type;
      trace.set(v, {
        name: output < 0 ? graph.values.get(v)!.name || node.name : graph.outputNames[output]!,
        op: node.op.name,
        shape: t.type.shape,
        values: toFloat64(quant === undefined ? t : dequantizeTensor(t)),
        scale: quant === undefined || quant.axis !== null ? null : quant.scale[0]!,
        next: chain(v),
      });
    });
  }
  return trace;
}

/** Every value of the graph by the interpreter. */
export function traceInterpreted(graph: Graph, feeds: readonly Tensor[]): Trace {
  const results: [Node, readonly Tensor[]][] = [];
  interpret(graph, feeds, { onNode: (node, outs) => results.push([node, outs]) });
  return traced(graph, results);
}

/** What compiles and runs models; WebAssembly unless said otherwise. */
export interface TraceTarget {
  readonly caps?: Capabilities;
  readonly open?: (program: Program) => Promise<Session>;
}

/** Every value of a target graph by compiled code: each is made an output, so nothing is overwritten. */
export async function traceCompiled(
  target: Graph,
  feeds: readonly Tensor[],
  { caps = WASM, open = createSession }: TraceTarget = {},
): Promise<Trace> {
  const all = target.nodes.flatMap((n) => n.outs);
  const { program } = compileGraph(withOutputs(target, all), { primitives, caps });
  const session = await open(program);
  const values = session.run(feeds);
  session.close();
  const at = new Map(all.map((v, i) => [v, i]));
  return traced(
    target,
    target.nodes.map((n) => [
      n,
      n.outs.map((v) => ({ ...values[at.get(v)!]!, type: typeOf(target, v) })),
    ]),
  );
}

export interface NodeDifference {
  readonly name: string;
  /** Operators on either side. */
  readonly ops: readonly [string, string];
  readonly maxAbs: number;
  /** Root mean square of the difference over that of the first side. */
  readonly relative: number;
  /** The larger scale where quantised, else null. */
  readonly scale: number | null;
  readonly diverges: boolean;
}

export interface Comparison {
  /** In order of the first side. */
  readonly nodes: readonly NodeDifference[];
  /** The first entry that diverges. */
  readonly first: NodeDifference | null;
}

/** Relative differences tolerated when the user names none. */
const TOLERANCE = { float: 1e-4, quantised: 0.5 } as const;

interface Difference {
  readonly maxAbs: number;
  readonly relative: number;
}

function differ(a: Float64Array, b: Float64Array, index: (i: number) => number): Difference {
  let maxAbs = 0;
  let noise = 0;
  let signal = 0;
  for (let i = 0; i < a.length; i++) {
    const x = a[i]!;
    const y = b[index(i)]!;
    const d = Object.is(x, y) ? 0 : Math.abs(x - y);
    if (!(d <= maxAbs)) maxAbs = d;
    noise += d * d;
    signal += x * x;
  }
  return { maxAbs, relative: noise === 0 ? 0 : Math.sqrt(noise / (signal || 1)) };
}

/** Element of b for each element of a, when b is a with channels moved last or first; null: it is not. */
function moved(a: readonly number[], b: readonly number[], last: boolean) {
  if (a.length < 3 || a.length !== b.length) return null;
  const n = a.length;
  const perm = a.map((_, i) =>
    i === 0 ? 0 : last ? (i === n - 1 ? 1 : i + 1) : i === 1 ? n - 1 : i - 1,
  );
  if (!perm.every((p, i) => a[p] === b[i])) return null;
  const strideB = b.map((_, i) => b.slice(i + 1).reduce((x, y) => x * y, 1));
  const strideOf = a.map((_, axis) => strideB[perm.indexOf(axis)]!);
  return (i: number): number => {
    let rest = i;
    let at = 0;
    for (let axis = n - 1; axis >= 0; axis--) {
      at += (rest % a[axis]!) * strideOf[axis]!;
      rest = Math.floor(rest / a[axis]!);
    }
    return at;
  };
}

/** The smallest difference over the layouts that fit; null: none does. */
function difference(a: TracedValue, b: TracedValue): Difference | null {
  if (a.values.length !== b.values.length) return null;
  const maps = [(i: number) => i, moved(a.shape, b.shape, true), moved(a.shape, b.shape, false)];
  const found = maps.filter((m) => m !== null).map((m) => differ(a.values, b.values, m));
  return found.reduce((best, d) => (d.relative < best.relative ? d : best));
}

/** The last value of each name. */
function byName(trace: Trace): Map<string, TracedValue> {
  const named = new Map<string, TracedValue>();
  for (const t of trace.values()) if (t.name !== "") named.set(t.name, t);
  return named;
}

const withNext = (t: TracedValue, trace: Trace): TracedValue[] => [
  t,
  ...t.next.flatMap((v) => trace.get(v) ?? []),
];

function compareValues(
  a: readonly [TracedValue, Trace],
  b: readonly [TracedValue, Trace],
  tolerance: number | undefined,
): NodeDifference | null {
  const pairs = [
    ...withNext(...a).map((x) => [x, b[0]] as const),
    ...withNext(...b).map((y) => [a[0], y] as const),
  ];
  let best: NodeDifference | null = null;
  for (const [x, y] of pairs) {
    const d = difference(x, y);
    if (d === null || (best !== null && !(d.relative < best.relative))) continue;
    const scale =
      x.scale === null && y.scale === null ? null : Math.max(x.scale ?? 0, y.scale ?? 0);
    const steps = x.scale !== null && x.scale === y.scale && d.maxAbs <= 1.001 * x.scale;
    const limit = tolerance ?? (scale === null ? TOLERANCE.float : TOLERANCE.quantised);
    const diverges = !(d.relative <= limit) && !(tolerance === undefined && steps);
    best = { name: a[0].name, ops: [x.op, y.op], ...d, scale, diverges };
  }
  return best;
}

/** Compares values of the same name. `tolerance`: largest relative difference; default by type. */
export function compareTraces(a: Trace, b: Trace, tolerance?: number): Comparison {
  const names = byName(b);
  const nodes: NodeDifference[] = [];
  for (const [name, value] of byName(a)) {
    const other = names.get(name);
    if (other === undefined) continue;
    const found = compareValues([value, a], [other, b], tolerance);
    if (found !== null) nodes.push(found);
  }
  return { nodes, first: nodes.find((n) => n.diverges) ?? null };
}
