/** @file 8-bit convolution as an indirect matrix product (NHWC, 1-D and 2-D, groups, dilation, stride). */
import { conv } from "../../ops/nn/conv.ts";
import { convGeometry } from "../gemm/geometry.ts";
import { i8GemmPlan } from "../gemm/i8.ts";
import { i8WidePlan } from "../gemm/i8-wide.ts";
import { gemmCandidate } from "../gemm/plan.ts";
import { quantisedNode } from "../gemm/quantised.ts";
import { definePrimitive } from "../primitive.ts";

export const convI8Gemm = definePrimitive({
  name: "i8_conv_igemm",
  op: conv,
  candidates: ({ ins, outs, attrs, constants, caps }) => {
    const node = quantisedNode(ins, outs[0]!, constants, attrs);
    if (node === null) return [];
    const geometry = convGeometry(
      ins[0]!,
      ins[1]!.shape.slice(1, -1),
      outs[0]!,
      attrs,
      attrs.groups,
    );
    if (geometry === null || geometry.n / geometry.groups < 4) return [];
    const wide = i8WidePlan({ geometry, ...node }, caps);
    if (wide !== null) return [gemmCandidate("i8_conv_igemm_wide", "igemm", wide)];
    const found = i8GemmPlan({ geometry, ...node });
    if (found === null) return [];
    return [gemmCandidate("i8_conv_igemm", "igemm", found)];
  },
});
