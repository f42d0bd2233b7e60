/** @file An f32 convolution whose weights are known, in the terms of the matrix kernels. */
import type { ConvAttrs } from "../../ops/nn/conv.ts";
import type { F32Gemm } from "../gemm/f32.ts";
import { convGeometry } from "../gemm/geometry.ts";
import type { PrimitiveInput } from "../primitive.ts";

/** The product, or null where the matrix kernels do not apply. */
export function convProduct(input: PrimitiveInput<ConvAttrs>): F32Gemm | null {
  const { ins, outs, attrs, constants, storage, caps } = input;
  const [x, w, bias] = ins;
  const weights = constants[1];
  if (x?.dtype !== "f32" || w?.dtype !== "f32" || weights === undefined) return null;
  if (bias !== undefined && constants[2] === undefined) return null;
  const geometry = convGeometry(x, w.shape.slice(1, -1), outs[0]!, attrs, attrs.groups);
  if (geometry === null) return null;
  return {
    geometry,
    weights,
    bias: constants[2],
    residual: ins.length > 3 ? 3 : null,
    act: attrs.act,
    caps,
    weightStorage: storage[1],
  };
}
