/** @file f32 convolution as a product of copied rows (im2row) in blocks of pixels and depth: for large weights. */
import { conv } from "../../ops/nn/conv.ts";
import { f32Im2rowPlan } from "../gemm/f32-im2row.ts";
import { convGeometry } from "../gemm/geometry.ts";
import { gemmCandidate } from "../gemm/plan.ts";
import { definePrimitive } from "../primitive.ts";

export const convF32Im2row = definePrimitive({
  name: "f32_conv_im2row",
  op: conv,
  candidates: ({ ins, outs, attrs, constants, storage, caps }) => {
    const [x, w, bias] = ins;
    const weights = constants[1];
    if (x?.dtype !== "f32" || w?.dtype !== "f32" || weights === undefined) return [];
    if (bias !== undefined && constants[2] === undefined) return [];
    const geometry = convGeometry(x, w.shape.slice(1, -1), outs[0]!, attrs, attrs.groups);
    if (geometry === null) return [];
    const found = f32Im2rowPlan({
      geometry,
      weights,
      bias: constants[2],
      residual: ins.length > 3 ? 3 : null,
      act: attrs.act,
      caps,
      weightStorage: storage[1],
    });
    return found === null ? [] : [gemmCandidate("f32_conv_im2row", "im2row", found)];
  },
});
