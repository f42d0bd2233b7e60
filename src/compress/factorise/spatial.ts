/** @file A k x k convolution as k x 1 to r channels, then 1 x k (Jaderberg et al., arXiv:1405.3866, scheme 2). */
import { evbmf } from "./evbmf.ts";
import type { Kernel, Layer } from "./layer.ts";
import { type Mat, matOf } from "./linear-algebra.ts";
import type { Factors, Method } from "./method.ts";
import { movesAlong, stage } from "./stages.ts";
import { halves } from "./svd.ts";

/** Element of a kernel at output t, input s, row y, column x. */
const at = (k: Kernel, t: number, s: number, y: number, x: number): number =>
  ((t * k.inputs + s) * k.height + y) * k.width + x;

function forEach(k: Kernel, f: (t: number, s: number, y: number, x: number) => void): void {
  for (let t = 0; t < k.outputs; t++)
    for (let s = 0; s < k.inputs; s++)
      for (let y = 0; y < k.height; y++) for (let x = 0; x < k.width; x++) f(t, s, y, x);
}

/** Rows (input, row), columns (output, column). */
function matrixOf({ kernel: k }: Layer): Mat {
  const m = matOf(k.inputs * k.height, k.outputs * k.width);
  forEach(k, (t, s, y, x) => {
    m.data[(s * k.height + y) * m.cols + t * k.width + x] = k.data[at(k, t, s, y, x)]!;
  });
  return m;
}

function factor(layer: Layer, ranks: readonly number[]): Factors {
  const [rank] = ranks as [number];
  const k = layer.kernel;
  const { left, right, product, bound } = halves(matrixOf(layer), rank);
  const dense = new Float64Array(k.data.length);
  forEach(k, (t, s, y, x) => {
    const from = (s * k.height + y) * k.outputs * k.width + t * k.width + x;
    dense[at(k, t, s, y, x)] = product[from]!;
  });
  const tall = new Float64Array(left.data.length);
  for (let r = 0; r < rank; r++)
    for (let i = 0; i < left.rows; i++) tall[r * left.rows + i] = left.data[i * rank + r]!;
  const flat = new Float64Array(right.data.length);
  for (let r = 0; r < rank; r++)
    for (let t = 0; t < k.outputs; t++)
      for (let x = 0; x < k.width; x++)
        flat[(t * rank + r) * k.width + x] = right.data[r * right.cols + t * k.width + x]!;
  return {
    ranks,
    dense,
    bound,
    build: (place) => {
      const first = { shape: [rank, k.inputs, k.height, 1] as const, data: tall };
      const second = { shape: [k.outputs, rank, 1, k.width] as const, data: flat };
      const inner = stage(place, place.x, first, "rows", movesAlong(layer.geometry, [0]));
      const moves = movesAlong(layer.geometry, [1]);
      return stage(place, inner, second, "columns", { ...moves, last: true });
    },
  };
}

export const spatialMethod: Method = {
  name: "spatial",
  refuses: ({ kernel }) =>
    kernel.height > 1 && kernel.width > 1 ? null : "its window is not two-dimensional",
  full: ({ kernel: k }) => [Math.min(k.inputs * k.height, k.outputs * k.width)],
  cost: ({ kernel: k, midPositions, outPositions }, [rank]) => {
    const first = rank! * k.inputs * k.height;
    const second = rank! * k.outputs * k.width;
    return { params: first + second, macs: midPositions * first + outPositions * second };
  },
  factor,
  evident: (layer) => [evbmf(matrixOf(layer)).rank],
};
