/**
 * @file Values known at compile time: constants, and what is computed from constants alone (weights stored
 * as f16, bf16 or int8 behind a cast or dequantize, hashed weights).
 */
import { evalTensors } from "../graph/apply.ts";
import { type Graph, isOp, type Node, type Value } from "../graph/graph.ts";
import { cast } from "../ops/elementwise/cast.ts";
import { dequantize } from "../ops/quant/dequantize.ts";
import { hashedAfter } from "../primitives/hashed/track.ts";
import type { ShortStorage, WeightStorage } from "../primitives/storage.ts";
import type { Tensor, TensorType } from "../tensor/tensor.ts";

export interface KnownValues {
  /** The tensor of a value known at compile time. */
  tensor(v: Value): Tensor | undefined;
  /** How the model stores a known f32 value, when smaller than f32. */
  storage(v: Value): WeightStorage | undefined;
  /** Nodes that need not run. */
  readonly folded: ReadonlySet<Node>;
}

/** Evaluates every node whose inputs are all known. */
export function knownValues(graph: Graph): KnownValues {
  const tensors = new Map<Value, Tensor>(graph.constants);
  const storage = new Map<Value, WeightStorage>();
  const folded = new Set<Node>();
  for (const node of graph.nodes) {
    if (node.op.eval === undefined || node.ins.length === 0) continue;
    const ins = node.ins.map((v) => tensors.get(v));
    if (ins.some((t) => t === undefined)) continue;
    const types = node.outs.map((v) => graph.values.get(v)!.type);
    const outs = evalTensors(node.op, ins as Tensor[], node.attrs, types);
    node.outs.forEach((v, i) => tensors.set(v, outs[i]!));
    folded.add(node);
    const before = node.ins.map((v) => storage.get(v));
    const kept =
      hashedAfter(node, ins as Tensor[], before, types[0]!) ??
      shortAfter(node, ins[0]!.type, before[0]);
    if (kept !== undefined) storage.set(node.outs[0]!, kept);
  }
  return {
    tensor: (v) => tensors.get(v),
    storage: (v) => storage.get(v),
    folded,
  };
}

/** How the result of a node on one known value can be stored: conversions start it, moves keep it. */
function shortAfter(
  node: Node,
  from: TensorType,
  before: WeightStorage | undefined,
): ShortStorage | undefined {
  if (node.ins.length !== 1) return undefined;
  const { dtype, quant } = from;
  if (isOp(node, cast) && node.attrs.to === "f32" && (dtype === "f16" || dtype === "bf16")) {
    return { dtype };
  }
  if (isOp(node, dequantize) && dtype === "i8" && quant !== undefined) {
    const symmetric = quant.zeroPoint.every((z) => z === 0);
    const byRow = quant.axis === null || quant.axis === 0;
    return symmetric && byRow ? { dtype, scale: quant.scale } : undefined;
  }
  if (before?.dtype === "hashed") return undefined;
  const anyOrder = before?.dtype !== "i8" || before.scale.length === 1;
  return node.op.quant === "same" && anyOrder ? before : undefined;
}
