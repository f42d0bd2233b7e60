/** @file Truncated singular values: k x k to r channels, then 1 x 1; for a linear layer two linear layers. */
import { evbmf } from "./evbmf.ts";
import type { Layer } from "./layer.ts";
import { type Mat, matOf, svd } from "./linear-algebra.ts";
import type { Factors, Method } from "./method.ts";
import { movesAlong, stage } from "./stages.ts";

/** Weights as a matrix [outputs, inputs of a window]. */
function matrixOf({ kernel }: Layer): Mat {
  const { outputs, inputs, height, width, data } = kernel;
  return matOf(outputs, inputs * height * width, data);
}

/** The two factors of a matrix, of like size: left [rows, rank], right [rank, cols]. */
export function halves(
  a: Mat,
  rank: number,
): { left: Mat; right: Mat; product: Float64Array; bound: number } {
  const { u, s, v } = svd(a);
  const left = matOf(a.rows, rank);
  const right = matOf(rank, a.cols);
  const product = new Float64Array(a.rows * a.cols);
  for (let r = 0; r < rank; r++) {
    const root = Math.sqrt(s[r]!);
    for (let i = 0; i < a.rows; i++) left.data[i * rank + r] = u.data[i * u.cols + r]! * root;
    for (let j = 0; j < a.cols; j++) right.data[r * a.cols + j] = v.data[j * v.cols + r]! * root;
    for (let i = 0; i < a.rows; i++) {
      const x = u.data[i * u.cols + r]! * s[r]!;
      for (let j = 0; j < a.cols; j++) product[i * a.cols + j]! += x * v.data[j * v.cols + r]!;
    }
  }
  const energy = (from: number): number => s.slice(from).reduce((sum, x) => sum + x * x, 0);
  const whole = energy(0);
  return { left, right, product, bound: whole === 0 ? 0 : Math.sqrt(energy(rank) / whole) };
}

function factor(layer: Layer, ranks: readonly number[]): Factors {
  const [rank] = ranks as [number];
  const { outputs, inputs, height, width } = layer.kernel;
  const { left, right, product, bound } = halves(matrixOf(layer), rank);
  return {
    ranks,
    dense: product,
    bound,
    build: (place) => {
      const first = { shape: [rank, inputs, height, width] as const, data: right.data };
      const second = { shape: [outputs, rank, 1, 1] as const, data: left.data };
      const inner = stage(place, place.x, first, "in", movesAlong(layer.geometry));
      return stage(place, inner, second, "out", { last: true });
    },
  };
}

export const svdMethod: Method = {
  name: "svd",
  refuses: () => null,
  full: ({ kernel }) => [Math.min(kernel.outputs, kernel.inputs * kernel.height * kernel.width)],
  cost: ({ kernel, outPositions }, [rank]) => {
    const params = rank! * (kernel.inputs * kernel.height * kernel.width + kernel.outputs);
    return { params, macs: params * outPositions };
  },
  factor,
  evident: (layer) => [evbmf(matrixOf(layer)).rank],
};
