/** @file A transposed convolution without overlap is a 1x1 convolution whose channels are spread over blocks. */
import { isOp, type Node } from "../graph/graph.ts";
import { type NodeRule, rewrite } from "../graph/rewrite.ts";
import { conv } from "../ops/nn/conv.ts";
import { convTranspose } from "../ops/nn/conv-transpose.ts";
import { depthToSpace } from "../ops/shape/depth-space.ts";
import { isReal, type Tensor, tensorType, withType } from "../tensor/tensor.ts";
import { definePass } from "./pass.ts";
import { permuteTensor, storedConstant } from "./rules.ts";

const ONES = [1, 1];
const ZEROS = [0, 0];

/** Side of the square block that each input pixel becomes; null when blocks overlap or leave gaps. */
function blockOf(node: Node, kernel: readonly number[]): number | null {
  if (!isOp(node, convTranspose)) return null;
  const { layout, groups, stride, dilation, padBegin, padEnd, outputPad, out } = node.attrs;
  const [side] = kernel;
  const exact =
    kernel.length === 2 &&
    [...kernel, ...stride].every((n) => n === side) &&
    dilation.every((d) => d === 1) &&
    [...padBegin, ...padEnd, ...outputPad].every((p) => p === 0);
  if (layout !== "nhwc" || groups !== 1 || out !== undefined || !exact) return null;
  return side ?? null;
}

const spread: NodeRule = (node, ctx) => {
  if (!isOp(node, convTranspose)) return null;
  const [x, w, b] = node.ins;
  const { shape } = ctx.typeOf(w!);
  const block = blockOf(node, shape.slice(1, -1));
  const weights = storedConstant(ctx, w!);
  const bias = b === undefined ? undefined : ctx.constant(b);
  if (block === null || weights === null || !isReal(ctx.typeOf(x!))) return null;
  if (weights.tensor.type.quant !== undefined || (b !== undefined && bias === undefined))
    return null;
  const channels = block * block * shape.at(-1)!;
  // [I, kh, kw, O] to [(kh, kw, O), 1, 1, I]: channels in the order depth_to_space takes them apart.
  const turn = (t: Tensor): Tensor => {
    const moved = permuteTensor(t, [1, 2, 3, 0]);
    return withType(moved, tensorType(moved.type.dtype, [channels, 1, 1, shape[0]!]));
  };
  const repeat = (t: Tensor): Tensor => ({
    type: tensorType(t.type.dtype, [channels]),
    data: Float32Array.from({ length: channels }, (_, i) => t.data[i % t.data.length] as number),
  });
  const { layout, act } = node.attrs;
  const attrs = {
    layout,
    stride: ONES,
    padBegin: ZEROS,
    padEnd: ZEROS,
    dilation: ONES,
    groups: 1,
    ...(act && { act }),
  };
  const ins = [ctx.value(x!), weights.rebuild(turn)];
  if (bias !== undefined) ins.push(ctx.builder.constant(repeat(bias)));
  const wide = ctx.builder.apply(conv, ins, attrs, node.name);
  return [ctx.builder.apply(depthToSpace, [wide], { block, mode: "dcr", layout }, node.name)];
};

export const spreadConvTranspose = definePass({
  name: "spread-conv-transpose",
  doc: "Transposed convolutions whose square kernel equals the stride become a 1x1 conv and depth_to_space (NHWC).",
  run: (graph) => rewrite(graph, spread),
});
