/** @file 8-bit fully connected layer as a matrix product with packed constant weights. */
import { linear } from "../../ops/nn/linear.ts";
import { linearGeometry } from "../gemm/geometry.ts";
import { i8GemmPlan } from "../gemm/i8.ts";
import { gemmCandidate } from "../gemm/plan.ts";
import { quantisedNode } from "../gemm/quantised.ts";
import { definePrimitive } from "../primitive.ts";

export const linearI8Gemm = definePrimitive({
  name: "i8_linear_gemm",
  op: linear,
  candidates: ({ ins, outs, attrs, constants }) => {
    const node = quantisedNode(ins, outs[0]!, constants, attrs);
    if (node === null) return [];
    const geometry = linearGeometry(ins[0]!, ins[1]!.shape[0]!);
    if (geometry.ow === 0 || geometry.n === 0 || geometry.c === 0) return [];
    const found = i8GemmPlan({ geometry, ...node });
    if (found === null) return [];
    return [gemmCandidate("i8_linear_gemm", "gemm", found)];
  },
});
