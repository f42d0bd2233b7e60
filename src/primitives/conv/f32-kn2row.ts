/** @file f32 convolution tap by tap without scratch (kn2row). */
import { conv } from "../../ops/nn/conv.ts";
import { f32Kn2rowPlan } from "../gemm/f32-kn2row.ts";
import { gemmCandidate } from "../gemm/plan.ts";
import { definePrimitive } from "../primitive.ts";
import { convProduct } from "./f32-product.ts";

export const convF32Kn2row = definePrimitive({
  name: "f32_conv_kn2row",
  op: conv,
  candidates: (input) => {
    const product = convProduct(input);
    const found = product && f32Kn2rowPlan(product);
    return found === null ? [] : [gemmCandidate("f32_conv_kn2row", "kn2row", found)];
  },
});
