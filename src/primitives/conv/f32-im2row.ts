/** @file f32 convolution as a product of copied rows (im2row) in blocks of pixels and depth: for large weights. */
import { conv } from "../../ops/nn/conv.ts";
import { f32Im2rowPlan } from "../gemm/f32-im2row.ts";
import { gemmCandidate } from "../gemm/plan.ts";
import { definePrimitive } from "../primitive.ts";
import { convProduct } from "./f32-product.ts";

export const convF32Im2row = definePrimitive({
  name: "f32_conv_im2row",
  op: conv,
  candidates: (input) => {
    const product = convProduct(input);
    const found = product && f32Im2rowPlan(product);
    return found === null ? [] : [gemmCandidate("f32_conv_im2row", "im2row", found)];
  },
});
