/** @file f32 fully connected layer as a matrix product with packed constant weights. */
import { linear } from "../../ops/nn/linear.ts";
import { f32GemmStep } from "../gemm/f32.ts";
import { linearGeometry } from "../gemm/geometry.ts";
import { definePrimitive } from "../primitive.ts";

export const linearF32Gemm = definePrimitive({
  name: "f32_linear_gemm",
  op: linear,
  implement: ({ ins, attrs, constants, storage }) => {
    const [x, w, bias] = ins;
    const weights = constants[1];
    if (x?.dtype !== "f32" || w?.dtype !== "f32" || weights === undefined) return null;
    if (bias !== undefined && constants[2] === undefined) return null;
    const geometry = linearGeometry(x, w.shape[0]!);
    if (geometry.ow === 0 || geometry.n === 0) return null;
    const found = f32GemmStep({
      geometry,
      weights,
      bias: constants[2],
      residual: null,
      act: attrs.act,
      weightStorage: storage[1],
    });
    if (found === null) return null;
    const { mr, nv } = found.tile;
    return { name: `f32_linear_gemm_${mr}x${4 * nv}`, inPlace: false, steps: [found.step] };
  },
});
