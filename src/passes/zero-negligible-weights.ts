/** @file Sets weights to 0 whose products cannot change the rounding of the bias they are added to. */
import type { Node, Value } from "../graph/graph.ts";
import { type RewriteContext, rewrite } from "../graph/rewrite.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { contractionOf } from "./contraction.ts";
import { definePass } from "./pass.ts";

/**
 * Of the bias's magnitude. Half a unit in the last place of an f32 is more than 2^-25 of it, so the products
 * disappear in the bias's rounding while the inputs of one window sum up to less than 2^23 in magnitude.
 */
const NEGLIGIBLE = 2 ** -48;

function withoutNegligible(
  weight: Tensor,
  limits: readonly number[],
  outIndex: (i: number) => number,
): Tensor | null {
  const isNegligible = (x: number | bigint, i: number): boolean =>
    x !== 0 && Math.abs(Number(x)) < limits[outIndex(i)]!;
  const values = weight.data as Float32Array;
  if (!values.some(isNegligible)) return null;
  return { ...weight, data: values.map((x, i) => (isNegligible(x, i) ? 0 : x)) };
}

function cleaned(node: Node, ctx: RewriteContext): readonly Value[] | null {
  const layer = contractionOf(node, ctx);
  if (layer?.weight?.type.dtype !== "f32" || layer.bias === null) return null;
  const limits = layer.bias.map((b) => Math.abs(b) * NEGLIGIBLE);
  const weight = withoutNegligible(layer.weight, limits, layer.outIndex);
  if (weight === null) return null;
  const { builder } = ctx;
  const stored = builder.constant(weight, ctx.graph.values.get(node.ins[1]!)!.name);
  const ins = node.ins.map((v, i) => (i === 1 ? stored : ctx.value(v)));
  return builder.applyAll(node.op, ins, node.attrs, node.name);
}

export const zeroNegligibleWeights = definePass({
  name: "zero-negligible-weights",
  doc: `Sets f32 weights of convolutions and linear layers to 0 that are below 2^-48 of their output's bias:
    training with weight decay leaves such filters, and remove-dead-channels then takes them out. The sum
    changes by less than 2^-48 of the bias times the summed magnitudes of the window's inputs: by less than
    half a unit in the bias's last place while these stay below 2^23. Layers without a bias stay.`,
  run: (graph) => rewrite(graph, cleaned),
});
