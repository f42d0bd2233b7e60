/** @file f32 convolution with weights in sparse 1x4 blocks (NHWC, 1-D and 2-D, dilation, stride). */
import { conv } from "../../ops/nn/conv.ts";
import { blockCandidates } from "../gemm/f32-blocks.ts";
import { convGeometry } from "../gemm/geometry.ts";
import { definePrimitive } from "../primitive.ts";

export const convF32Blocks = definePrimitive({
  name: "f32_conv_blocks",
  op: conv,
  candidates: ({ ins, outs, attrs, constants }) => {
    const [x, w, bias] = ins;
    const weights = constants[1];
    if (x?.dtype !== "f32" || w?.dtype !== "f32" || weights === undefined) return [];
    if (ins.length > 3 || (bias !== undefined && constants[2] === undefined)) return [];
    const geometry = convGeometry(x, w.shape.slice(1, -1), outs[0]!, attrs, attrs.groups);
    if (geometry === null) return [];
    const spec = { geometry, weights, bias: constants[2], act: attrs.act };
    return blockCandidates("f32_conv_blocks", spec);
  },
});
