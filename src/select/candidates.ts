/**
 * @file Enumerates the candidates of every node: those of its operator's primitives, then the operator's
 * default loop nest in each layout its `permute` allows.
 */
import { type Graph, type Node, typeOf, type Value } from "../graph/graph.ts";
import type { Attrs, AttrValue, Op } from "../graph/op.ts";
import { printAttr } from "../graph/print.ts";
import type { Kernel } from "../kernel/ir.ts";
import { relayout } from "../ops/shape/relayout.ts";
import { reshape } from "../ops/shape/reshape.ts";
import type { Capabilities } from "../primitives/capabilities.ts";
import {
  type Candidate,
  type Operand,
  operandBytes,
  type Primitive,
  type PrimitiveInput,
  type Step,
} from "../primitives/primitive.ts";
import {
  hasLayouts,
  type Layout,
  physicalShape,
  physicalType,
  sameOrder,
} from "../tensor/layout.ts";
import { byteSize, elementCount, type TensorType, tensorType } from "../tensor/tensor.ts";
import { UserError } from "../util/errors.ts";
import type { KnownValues } from "./known-values.ts";
import type { Network, NetworkNode } from "./network.ts";

/** Primitives by operator name, most preferred first. */
export type PrimitiveTable = Readonly<Record<string, readonly Primitive[]>>;

/** The nodes of a graph that run, with their candidates. */
export function enumerateCandidates(
  graph: Graph,
  known: KnownValues,
  primitives: PrimitiveTable,
  caps: Capabilities,
): Network {
  const nodes = graph.nodes
    .filter((node) => !known.folded.has(node))
    .map((node): NetworkNode => {
      const input = inputOf(graph, node, known, caps);
      return {
        node,
        ins: input.ins,
        outs: input.outs,
        known: input.constants.map((t) => t !== undefined),
        candidates: candidatesOf(node, input, primitives),
        signature: signatureOf(node.op, node.attrs, input),
      };
    });
  return {
    graph,
    nodes,
    isConstant: (v) => known.tensor(v) !== undefined,
    conversions: (v, from, to) => conversionsOf(typeOf(graph, v), from, to, primitives, caps),
  };
}

function inputOf(graph: Graph, node: Node, known: KnownValues, caps: Capabilities): PrimitiveInput {
  return {
    ins: node.ins.map((v) => typeOf(graph, v)),
    outs: node.outs.map((v) => typeOf(graph, v)),
    attrs: node.attrs,
    constants: node.ins.map(known.tensor),
    storage: node.ins.map(known.storage),
    values: node.ins,
    caps,
  };
}

const VIEW: Candidate = {
  name: "view",
  family: "view",
  work: { macs: 0, bytes: 0 },
  implement: () => ({ inPlace: false, steps: [] }),
};

function candidatesOf(
  node: Node,
  input: PrimitiveInput,
  primitives: PrimitiveTable,
): readonly Candidate[] {
  if (node.op.view === true) return [VIEW];
  const offered = (primitives[node.op.name] ?? []).flatMap((p) => p.candidates(input));
  const all = [...offered, ...defaultCandidates(node.op, input)];
  if (all.length === 0) {
    throw new UserError("E_UNSUPPORTED", `${node.op.name} '${node.name}' has no compiled form`, {
      where: node.name,
    });
  }
  return all;
}

/** The operator's own loop nest: as it is, and channels first where all operands can move. */
function defaultCandidates(op: Op, input: PrimitiveInput): Candidate[] {
  if (op.lower === undefined) return [];
  const macs = op.cost?.(input.ins, input.attrs, input.outs).macs ?? 0;
  const work = { macs, bytes: operandBytes(input) };
  const family = "default";
  const plain: Candidate = {
    name: `${op.name}_default`,
    family,
    work,
    implement: () => defaultNest(op, input.ins, input.attrs, input.outs),
  };
  const moved = channelsFirst(op, input);
  if (moved === null) return [plain];
  const { attrs, ins, outs, types } = moved;
  const nchw: Candidate = {
    name: `${op.name}_default_nchw`,
    family,
    ins,
    outs,
    work,
    implement: () => defaultNest(op, types.ins, attrs, types.outs),
  };
  return [plain, nchw];
}

interface Moved {
  readonly attrs: Attrs;
  readonly ins: readonly Layout[];
  readonly outs: readonly Layout[];
  readonly types: { readonly ins: readonly TensorType[]; readonly outs: readonly TensorType[] };
}

/** The operator on operands whose last axis lies behind the first; null: it does not move. */
function channelsFirst(op: Op, { ins, outs, attrs }: PrimitiveInput): Moved | null {
  const all = [...ins, ...outs];
  const rank = Math.max(...all.map((t) => t.shape.length));
  const movable = (t: TensorType): boolean =>
    t.quant?.axis == null && (t.shape.length === rank || elementCount(t.shape) === 1);
  if (rank < 3 || !all.every(movable) || outs.some((t) => t.shape.length !== rank)) return null;
  const perm = [0, rank - 1, ...Array.from({ length: rank - 2 }, (_, i) => i + 1)];
  const moved = op.permute?.(attrs, perm, ins) ?? null;
  if (moved === null) return null;
  const layout = (t: TensorType): Layout => (t.shape.length === rank ? "nchw" : "plain");
  const physical = (t: TensorType): TensorType => physicalType(t, layout(t));
  return {
    attrs: moved,
    ins: ins.map(layout),
    outs: outs.map(layout),
    types: { ins: ins.map(physical), outs: outs.map(physical) },
  };
}

function defaultNest(
  op: Op,
  ins: readonly TensorType[],
  attrs: Attrs,
  outs: readonly TensorType[],
): { readonly inPlace: boolean; readonly steps: readonly Step[] } {
  const kernel = op.lower!(ins, attrs, outs);
  return { inPlace: true, steps: [defaultStep(kernel, ins.length, outs.length)] };
}

/** Binds a default loop nest: inputs, then outputs, then scratch. */
function defaultStep(kernel: Kernel, nIn: number, nOut: number): Step {
  const operands = kernel.buffers.map((b, i): Operand => {
    if (i < nIn) return { kind: "in", index: i };
    if (i < nIn + nOut) return { kind: "out", index: i - nIn };
    return { kind: "work", id: b.name, bytes: byteSize(tensorType(b.dtype, [b.size])) };
  });
  return { kernel, operands, args: [] };
}

const typeText = (t: TensorType): string => {
  const quant = t.quant === undefined ? "" : t.quant.axis === null ? "q" : `q${t.quant.axis}`;
  return `${t.dtype}[${t.shape}]${quant}`;
};

/** Attributes that carry numbers of the model and do not decide the time. */
const VALUE_ATTRS: ReadonlySet<string> = new Set(["out"]);

function signatureOf(op: Op, attrs: Attrs, input: PrimitiveInput): string {
  const kept = Object.fromEntries(Object.entries(attrs).filter(([k]) => !VALUE_ATTRS.has(k)));
  const operand = (t: TensorType, i: number): string =>
    `${input.constants[i] === undefined ? "" : "="}${typeText(t)}`;
  const ins = input.ins.map(operand).join(" ");
  return `${op.name} ${ins} -> ${input.outs.map(typeText).join(" ")} ${printAttr(kept as AttrValue)}`;
}

const NO_VALUE = -1 as Value;

/** A conversion as a node of its own, on the types of the memory. */
function conversionsOf(
  type: TensorType,
  from: Layout,
  to: Layout,
  primitives: PrimitiveTable,
  caps: Capabilities,
): NetworkNode {
  if (!hasLayouts(type.shape)) {
    throw new UserError("E_SHAPE", `[${type.shape}] has no layouts`);
  }
  // The same bytes in the same order: only the shape of the memory changes.
  const isView = sameOrder(type.shape, from, to);
  const shape = isView ? physicalShape(type.shape, to) : type.shape;
  const attrs = isView ? { shape } : { shape, from, to };
  const input: PrimitiveInput = {
    ins: [physicalType(type, from)],
    outs: [physicalType(type, to)],
    attrs,
    constants: [undefined],
    storage: [undefined],
    values: [NO_VALUE],
    caps,
  };
  const op = (isView ? reshape : relayout) as unknown as Op;
  const node: Node = { op, ins: [NO_VALUE], outs: [NO_VALUE], attrs, name: "" };
  return {
    node,
    ins: input.ins,
    outs: input.outs,
    candidates: candidatesOf(node, input, primitives),
    signature: signatureOf(op, attrs, input),
  };
}
