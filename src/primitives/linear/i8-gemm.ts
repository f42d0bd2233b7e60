/** @file 8-bit fully connected layer as a matrix product with packed constant weights. */
import { linear } from "../../ops/nn/linear.ts";
import { linearGeometry } from "../gemm/geometry.ts";
import { i8GemmPlan } from "../gemm/i8.ts";
import { i8WidePlan } from "../gemm/i8-wide.ts";
import { gemmCandidate } from "../gemm/plan.ts";
import { quantisedNode } from "../gemm/quantised.ts";
import { definePrimitive } from "../primitive.ts";

export const linearI8Gemm = definePrimitive({
  name: "i8_linear_gemm",
  op: linear,
  candidates: ({ ins, outs, attrs, constants, caps }) => {
    const node = quantisedNode(ins, outs[0]!, constants, attrs);
    if (node === null) return [];
    const geometry = linearGeometry(ins[0]!, ins[1]!.shape[0]!);
    if (geometry.ow === 0 || geometry.n === 0 || geometry.c === 0) return [];
    const wide = i8WidePlan({ geometry, ...node }, caps);
    if (wide !== null) return [gemmCandidate("i8_linear_gemm_wide", "gemm", wide)];
    const found = i8GemmPlan({ geometry, ...node });
    if (found === null) return [];
    return [gemmCandidate("i8_linear_gemm", "gemm", found)];
  },
});
