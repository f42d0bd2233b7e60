/** @file Which nodes of a float model compute on integers, and which values share their parameters. */
import { type Graph, isOp, type Node, typeOf, type Value } from "../../graph/graph.ts";
import type { OutQuant } from "../../graph/op.ts";
import { usesOf } from "../../graph/rewrite.ts";
import { logSoftmax, softmax } from "../../ops/reduce/softmax.ts";
import { SCALARS } from "../../ops/scalar.ts";
import { type ChannelMap, channelMap } from "../../passes/contraction.ts";
import { attrOf, tryInfer } from "../../passes/rules.ts";
import { isReal, type TensorType, tensorType } from "../../tensor/tensor.ts";
import { layerName } from "./calibrate.ts";

export interface SelectionOptions {
  /** Layers to leave in float, by `layerName`. */
  readonly keepFloat?: ReadonlySet<string>;
  /** Quantise softmax as well; default false: its results lose much on 8 bits. */
  readonly softmax?: boolean;
}

export interface Selection {
  readonly nodes: ReadonlySet<Node>;
  /** Nodes whose results keep the parameters of their operands (moves, pooling by maximum). */
  readonly keepers: ReadonlySet<Node>;
  /** For an operator that takes activations the clamp that alone reads it and becomes its own. */
  readonly clamps: ReadonlyMap<Node, Node>;
}

const PROBE: OutQuant = { dtype: "i8", scale: [1], zeroPoint: [0], axis: null };

const probe = (t: TensorType): TensorType =>
  isReal(t) ? tensorType("i8", t.shape, { scale: [1], zeroPoint: [0], axis: null }) : t;

export const layerMap = (g: Graph, node: Node): ChannelMap | null =>
  channelMap(node, (i) => typeOf(g, node.ins[i]!).shape);

/** The types the node would see if its float operands were 8-bit: a layer's bias is i32. */
function probedOperands(g: Graph, node: Node): TensorType[] {
  const layer = layerMap(g, node) !== null;
  return node.ins.map((v, i) =>
    layer && i === 2 ? tensorType("i32", typeOf(g, v).shape) : probe(typeOf(g, v)),
  );
}

/** Whether the op, without an attribute `out`, gives its operand's parameters on. */
function keepsParams(g: Graph, node: Node): boolean {
  const out = tryInfer(node.op, probedOperands(g, node), node.attrs);
  return out?.every((t) => t.dtype === "i8" && t.quant !== undefined) === true;
}

/** Integer arithmetic is defined, or the op moves elements, or is a function of single ones that becomes a table. */
function hasIntegerForm(g: Graph, node: Node): boolean {
  const moves = node.op.moves?.(node.attrs) === true;
  if (node.op.quant !== "integer" && node.op.scalar === undefined && !moves) return false;
  if (attrOf(node, "act") !== undefined || node.outs.length !== 1) return false;
  const attrs = { ...node.attrs, out: PROBE };
  const out = tryInfer(node.op, probedOperands(g, node), attrs)?.[0];
  return out?.dtype === "i8" && out.quant !== undefined;
}

function isCandidate(g: Graph, node: Node, options: SelectionOptions): boolean {
  if (!node.outs.every((v) => isReal(typeOf(g, v)))) return false;
  if (!node.ins.some((v) => isReal(typeOf(g, v)) && !g.constants.has(v))) return false;
  if (options.keepFloat?.has(layerName(g, node)) === true) return false;
  if (options.softmax !== true && (isOp(node, softmax) || isOp(node, logSoftmax))) return false;
  if (layerMap(g, node) !== null && !node.ins.slice(1).every((v) => g.constants.has(v)))
    return false;
  return keepsParams(g, node) || hasIntegerForm(g, node);
}

/** Candidates that are connected, through values between candidates, to one that multiplies. */
function connectedToArithmetic(g: Graph, candidates: ReadonlySet<Node>): Set<Node> {
  const uses = usesOf(g);
  const found = new Set<Node>();
  const queue = [...candidates].filter((node) => node.op.cost !== undefined);
  for (let node = queue.pop(); node !== undefined; node = queue.pop()) {
    if (found.has(node)) continue;
    found.add(node);
    const before = node.ins.map((v) => uses.producer(v));
    const after = node.outs.flatMap((v) => uses.users(v));
    for (const next of [...before, ...after]) {
      if (next !== undefined && candidates.has(next) && !found.has(next)) queue.push(next);
    }
  }
  return found;
}

/** The clamp that alone reads the node's result. */
function clampOf(node: Node, nodes: ReadonlySet<Node>, users: readonly Node[]): Node | null {
  const [user] = users;
  if (user === undefined || users.length !== 1 || !nodes.has(user)) return null;
  if (node.op.fuses?.act !== true) return null;
  return SCALARS[user.op.scalar ?? ""]?.bounds === undefined ? null : user;
}

export function selectNodes(g: Graph, options: SelectionOptions): Selection {
  const candidates = new Set(g.nodes.filter((node) => isCandidate(g, node, options)));
  const nodes = connectedToArithmetic(g, candidates);
  const uses = usesOf(g);
  const clamps = new Map<Node, Node>();
  for (const node of nodes) {
    const v = node.outs[0]!;
    const clamp = uses.useCount(v) === 1 ? clampOf(node, nodes, uses.users(v)) : null;
    if (clamp !== null) clamps.set(node, clamp);
  }
  return { nodes, keepers: new Set([...nodes].filter((node) => keepsParams(g, node))), clamps };
}

/** For each value the one whose parameters it has: sets joined by nodes that keep parameters. */
export function sharedParams(
  selection: Selection,
  isConstant: (v: Value) => boolean,
): (v: Value) => Value {
  const parent = new Map<Value, Value>();
  const root = (v: Value): Value => {
    const up = parent.get(v);
    return up === undefined ? v : root(up);
  };
  for (const node of selection.keepers) {
    for (const v of [...node.ins, ...node.outs]) {
      if (isConstant(v)) continue;
      const [a, b] = [root(v), root(node.outs[0]!)];
      if (a !== b) parent.set(b, a);
    }
  }
  return root;
}
