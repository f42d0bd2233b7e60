/** @file f32 convolution as an indirect matrix product (NHWC, 1-D and 2-D, groups, dilation, stride). */
import { conv } from "../../ops/nn/conv.ts";
import { f32GemmPlan } from "../gemm/f32.ts";
import { convGeometry } from "../gemm/geometry.ts";
import { gemmCandidate } from "../gemm/plan.ts";
import { definePrimitive } from "../primitive.ts";

export const convF32Gemm = definePrimitive({
  name: "f32_conv_igemm",
  op: conv,
  candidates: ({ ins, outs, attrs, constants, storage, caps }) => {
    const [x, w, bias] = ins;
    const weights = constants[1] ?? null;
    if (x?.dtype !== "f32" || w?.dtype !== "f32") return [];
    const biasKnown = bias === undefined || constants[2] !== undefined;
    if (weights !== null && !biasKnown) return [];
    const geometry = convGeometry(x, w.shape.slice(1, -1), outs[0]!, attrs, attrs.groups);
    // Single channels leave most lanes empty.
    if (geometry === null || geometry.n / geometry.groups < 2) return [];
    const found = f32GemmPlan({
      geometry,
      weights,
      bias: biasKnown ? constants[2] : null,
      residual: ins.length > 3 ? 3 : null,
      act: attrs.act,
      caps,
      weightStorage: storage[1],
    });
    if (found === null) return [];
    return [gemmCandidate("f32_conv_igemm", "igemm", found)];
  },
});
