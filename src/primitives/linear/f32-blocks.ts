/** @file f32 fully connected layer with weights in sparse 1x4 blocks. */
import { linear } from "../../ops/nn/linear.ts";
import { blockCandidates } from "../gemm/f32-blocks.ts";
import { linearGeometry } from "../gemm/geometry.ts";
import { definePrimitive } from "../primitive.ts";

export const linearF32Blocks = definePrimitive({
  name: "f32_linear_blocks",
  op: linear,
  candidates: ({ ins, attrs, constants }) => {
    const [x, w, bias] = ins;
    const weights = constants[1];
    if (x?.dtype !== "f32" || w?.dtype !== "f32" || weights === undefined) return [];
    if (bias !== undefined && constants[2] === undefined) return [];
    const geometry = linearGeometry(x, w.shape[0]!);
    if (geometry.ow === 0 || geometry.n === 0 || geometry.c === 0) return [];
    const spec = { geometry, weights, bias: constants[2], act: attrs.act };
    return blockCandidates("f32_linear_blocks", spec);
  },
});
