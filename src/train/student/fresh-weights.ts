/** @file Weights of a student's layers, drawn as Net draws them. */
import { type Graph, isOp, type Node, type Value } from "../../graph/graph.ts";
import { type RewriteContext, rewrite } from "../../graph/rewrite.ts";
import { batchNorm } from "../../ops/nn/batch-norm.ts";
import { conv } from "../../ops/nn/conv.ts";
import { linear } from "../../ops/nn/linear.ts";
import { permuteTensor } from "../../passes/rules.ts";
import { type Tensor, tensorOf } from "../../tensor/tensor.ts";
import { product } from "../../util/math.ts";
import { makeRng, type Rng } from "../../util/rng.ts";

/** Kaiming normal over the outputs of a group, as Net draws it; shape [outputs, inputs per group, height, width]. */
export function drawn(rng: Rng, shape: readonly number[], groups: number): Tensor {
  const deviation = Math.sqrt(2 / ((shape[0]! / groups) * product(shape.slice(2))));
  return tensorOf(
    "f32",
    shape,
    Float32Array.from({ length: product(shape) }, () => deviation * rng.normal()),
  );
}

/** A convolution, linear layer or normalisation with weights drawn anew; null: another operator. */
export function renewed(node: Node, ctx: RewriteContext, rng: Rng): readonly Value[] | null {
  const fill = (position: number, make: (t: Tensor) => Tensor): void => {
    const v = node.ins[position];
    const old = v === undefined ? undefined : ctx.constant(v);
    if (old === undefined || old.type.dtype !== "f32") return;
    ins[position] = ctx.builder.constant(make(old), ctx.graph.values.get(v!)!.name);
  };
  const full =
    (value: number) =>
    (t: Tensor): Tensor =>
      tensorOf("f32", t.type.shape, new Float32Array(t.data.length).fill(value));
  const ins = node.ins.map(ctx.value);
  if (isOp(node, batchNorm)) [1, 0, 0, 1].forEach((value, i) => fill(i + 1, full(value)));
  else if (isOp(node, conv)) {
    const { layout, groups } = node.attrs;
    fill(1, ({ type: { shape } }) => {
      const last = layout === "nhwc";
      const rank = shape.length;
      const order = last
        ? [0, rank - 1, ...shape.slice(2).map((_, i) => i + 1)]
        : shape.map((_, i) => i);
      const fresh = drawn(
        rng,
        order.map((i) => shape[i]!),
        groups,
      );
      return last
        ? permuteTensor(
            fresh,
            shape.map((_, i) => order.indexOf(i)),
          )
        : fresh;
    });
    fill(2, full(0));
  } else if (isOp(node, linear)) {
    const bound = 1 / Math.sqrt(ctx.typeOf(node.ins[1]!).shape[1]!);
    const uniform = ({ type, data }: Tensor): Tensor =>
      tensorOf(
        "f32",
        type.shape,
        Float32Array.from({ length: data.length }, () => bound * (2 * rng.next() - 1)),
      );
    fill(1, uniform);
    fill(2, uniform);
  } else return null;
  const outs = ctx.builder.applyAll(node.op, ins, node.attrs, node.name);
  node.outs.forEach((v, i) => ctx.builder.setName(outs[i]!, ctx.graph.values.get(v)!.name));
  return outs;
}

/** The same network with all convolutions, linear layers and batch normalisations drawn anew; other layers stay. */
export function freshWeights(graph: Graph, seed: number): Graph {
  const rng = makeRng(seed);
  return rewrite(graph, (node, ctx) => renewed(node, ctx, rng));
}
