/** @file f32 fully connected layer as a matrix product with packed constant weights. */
import { linear } from "../../ops/nn/linear.ts";
import { f32GemmPlan } from "../gemm/f32.ts";
import { linearGeometry } from "../gemm/geometry.ts";
import { gemmCandidate } from "../gemm/plan.ts";
import { definePrimitive } from "../primitive.ts";

export const linearF32Gemm = definePrimitive({
  name: "f32_linear_gemm",
  op: linear,
  candidates: ({ ins, attrs, constants, storage, caps }) => {
    const [x, w, bias] = ins;
    const weights = constants[1] ?? null;
    if (x?.dtype !== "f32" || w?.dtype !== "f32") return [];
    const biasKnown = bias === undefined || constants[2] !== undefined;
    if (weights !== null && !biasKnown) return [];
    const geometry = linearGeometry(x, w.shape[0]!);
    if (geometry.ow === 0 || geometry.n === 0) return [];
    const found = f32GemmPlan({
      geometry,
      weights,
      bias: biasKnown ? constants[2] : null,
      residual: null,
      act: attrs.act,
      caps,
      weightStorage: storage[1],
    });
    if (found === null) return [];
    return [gemmCandidate("f32_linear_gemm", "gemm", found)];
  },
});
