/** @file Half-precision weights: stored as f16 or bf16, computed in f32. */

import { evalTensors } from "../../graph/apply.ts";
import type { Graph, Value } from "../../graph/graph.ts";
import { rewrite } from "../../graph/rewrite.ts";
import { cast } from "../../ops/elementwise/cast.ts";
import { DTYPES } from "../../tensor/dtype.ts";
import { type Tensor, tensorType } from "../../tensor/tensor.ts";

export interface StoreWeightsOptions {
  /** Constants of fewer elements stay f32: they save nothing worth their rounding; default 64. */
  readonly minElements?: number;
}

/** Whether every element lies within the finite range of the type. */
function fits(t: Tensor, dtype: "f16" | "bf16"): boolean {
  const { max } = DTYPES[dtype];
  return (t.data as Float32Array).every((x) => Math.abs(x) <= max || Number.isNaN(x));
}

/** Each large f32 constant becomes a half-precision one and a cast; one with values out of range stays. */
export function storeWeights(
  graph: Graph,
  dtype: "f16" | "bf16",
  options: StoreWeightsOptions = {},
): Graph {
  const least = options.minElements ?? 64;
  const chosen = new Set<Value>();
  for (const [v, t] of graph.constants) {
    const large = t.type.dtype === "f32" && t.data.length >= least;
    if (large && fits(t, dtype)) chosen.add(v);
  }
  const stored = new Map<Value, Value>();
  return rewrite(graph, (node, ctx) => {
    if (!node.ins.some((v) => chosen.has(v))) return null;
    const read = (v: Value): Value => {
      if (!chosen.has(v)) return ctx.value(v);
      const known = stored.get(v);
      if (known !== undefined) return known;
      const name = graph.values.get(v)!.name;
      const t = graph.constants.get(v)!;
      const type = tensorType(dtype, t.type.shape);
      const half = ctx.builder.constant(evalTensors(cast, [t], { to: dtype }, [type])[0]!, name);
      const wide = ctx.builder.apply(cast, [half], { to: "f32" as const });
      stored.set(v, wide);
      return wide;
    };
    return ctx.builder.applyAll(node.op, node.ins.map(read), node.attrs, node.name);
  });
}
