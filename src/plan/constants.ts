/**
 * @file Values known at compile time: constants, and what is computed from constants alone (weights stored
 * as f16, bf16 or int8 behind a cast or dequantize).
 */
import { evalTensors } from "../graph/apply.ts";
import type { Graph, Node, Value } from "../graph/graph.ts";
import type { DType } from "../tensor/dtype.ts";
import type { Tensor } from "../tensor/tensor.ts";

export interface KnownValues {
  /** The tensor of a value known at compile time. */
  tensor(v: Value): Tensor | undefined;
  /** The half-precision dtype a known f32 value is stored in without loss. */
  storage(v: Value): DType | undefined;
  /** Nodes that need not run. */
  readonly folded: ReadonlySet<Node>;
}

/** Evaluates every node whose inputs are all known. */
export function knownValues(graph: Graph): KnownValues {
  const tensors = new Map<Value, Tensor>(graph.constants);
  const storage = new Map<Value, DType>();
  const folded = new Set<Node>();
  for (const node of graph.nodes) {
    if (node.op.eval === undefined || node.ins.length === 0) continue;
    const ins = node.ins.map((v) => tensors.get(v));
    if (ins.some((t) => t === undefined)) continue;
    const types = node.outs.map((v) => graph.values.get(v)!.type);
    const outs = evalTensors(node.op, ins as Tensor[], node.attrs, types);
    node.outs.forEach((v, i) => tensors.set(v, outs[i]!));
    folded.add(node);
    const from = ins[0]!.type.dtype;
    const half = from === "f16" || from === "bf16" ? from : storage.get(node.ins[0]!);
    const moves = node.op.quant === "same" || node.op.name === "cast";
    if (half !== undefined && moves && node.ins.length === 1) storage.set(node.outs[0]!, half);
  }
  return {
    tensor: (v) => tensors.get(v),
    storage: (v) => storage.get(v),
    folded,
  };
}
