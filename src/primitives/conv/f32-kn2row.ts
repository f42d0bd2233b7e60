/** @file f32 convolution tap by tap without scratch (kn2row). */
import { conv } from "../../ops/nn/conv.ts";
import { f32Kn2rowPlan } from "../gemm/f32-kn2row.ts";
import { convGeometry } from "../gemm/geometry.ts";
import { gemmCandidate } from "../gemm/plan.ts";
import { definePrimitive } from "../primitive.ts";

export const convF32Kn2row = definePrimitive({
  name: "f32_conv_kn2row",
  op: conv,
  candidates: ({ ins, outs, attrs, constants, storage, caps }) => {
    const [x, w, bias] = ins;
    const weights = constants[1];
    if (x?.dtype !== "f32" || w?.dtype !== "f32" || weights === undefined) return [];
    if (bias !== undefined && constants[2] === undefined) return [];
    const geometry = convGeometry(x, w.shape.slice(1, -1), outs[0]!, attrs, attrs.groups);
    if (geometry === null) return [];
    const found = f32Kn2rowPlan({
      geometry,
      weights,
      bias: constants[2],
      residual: ins.length > 3 ? 3 : null,
      act: attrs.act,
      caps,
      weightStorage: storage[1],
    });
    return found === null ? [] : [gemmCandidate("f32_conv_kn2row", "kn2row", found)];
  },
});
