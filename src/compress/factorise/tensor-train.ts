/**
 * @file Tensor-Train matrices (Novikov et al., arXiv:1509.06569) by TT-SVD (Oseledets 2011), and Tensor-Train
 * convolutions (Garipov et al., arXiv:1611.03214): filters on every channel by itself, then a Tensor-Train matrix.
 */
import { product } from "../../util/math.ts";
import type { Kernel, Layer } from "./layer.ts";
import { matOf, squaredNorm, svd } from "./linear-algebra.ts";
import type { Factors, Method } from "./method.ts";
import { buildTensorTrain } from "./tensor-train-graph.ts";

/** One core [left, outputs, inputs, right]; element of output m, input n. */
export interface Core {
  readonly left: number;
  readonly outputs: number;
  readonly inputs: number;
  readonly right: number;
  readonly data: Float64Array;
}

/** Channels as factors: outputs and inputs have the same number of modes. */
export interface Modes {
  readonly outputs: readonly number[];
  readonly inputs: readonly number[];
}

const MODES = 3;

/** `count` factors of n, as near to each other as greedy choice makes them, largest last. */
export function modesOf(n: number, count: number): number[] {
  const out: number[] = [];
  let rest = n;
  for (let left = count; left > 1; left--) {
    let f = Math.max(1, Math.floor(rest ** (1 / left) + 1e-9));
    while (rest % f !== 0) f--;
    out.push(f);
    rest /= f;
  }
  return [...out, rest].sort((a, b) => a - b);
}

/** The modes of a layer's channels; as many as the smaller of the two numbers can fill. */
export function layerModes(k: Kernel): Modes {
  for (let count = MODES; count > 2; count--) {
    const modes = { outputs: modesOf(k.outputs, count), inputs: modesOf(k.inputs, count) };
    if (modes.outputs.every((m, i) => m * modes.inputs[i]! > 1)) return modes;
  }
  return { outputs: modesOf(k.outputs, 2), inputs: modesOf(k.inputs, 2) };
}

/** Sizes of the axes of the tensor that is split: one for each pair of modes, the window's positions last. */
function axesOf(k: Kernel, modes: Modes): number[] {
  const pairs = modes.outputs.map((m, i) => m * modes.inputs[i]!);
  const taps = k.height * k.width;
  return taps === 1 ? pairs : [...pairs, taps];
}

/** Largest ranks between neighbouring axes. */
export function fullRanks(axes: readonly number[]): number[] {
  return axes
    .slice(1)
    .map((_, i) => Math.min(product(axes.slice(0, i + 1)), product(axes.slice(i + 1))));
}

/** Visits elements of the kernel with their place in the tensor of interleaved modes. */
function interleaved(k: Kernel, modes: Modes, f: (kernelAt: number, at: number) => void): void {
  const taps = k.height * k.width;
  const digits = (n: number, sizes: readonly number[]): number[] => {
    const out: number[] = [];
    for (let i = sizes.length - 1; i >= 0; i--) {
      out.unshift(n % sizes[i]!);
      n = Math.floor(n / sizes[i]!);
    }
    return out;
  };
  const outs = Array.from({ length: k.outputs }, (_, t) => digits(t, modes.outputs));
  const ins = Array.from({ length: k.inputs }, (_, s) => digits(s, modes.inputs));
  for (let t = 0; t < k.outputs; t++)
    for (let s = 0; s < k.inputs; s++) {
      const cell = modes.outputs.reduce((at, m, i) => {
        const n = modes.inputs[i]!;
        return at * m * n + outs[t]![i]! * n + ins[s]![i]!;
      }, 0);
      for (let p = 0; p < taps; p++) f((t * k.inputs + s) * taps + p, cell * taps + p);
    }
}

export interface TensorTrain {
  /** [left, size of the axis, right] of each axis. */
  readonly cores: readonly { left: number; size: number; right: number; data: Float64Array }[];
  /** Squares cut off in each step: their sum bounds the squared error. */
  readonly cut: readonly number[];
}

/** TT-SVD of a tensor of the given axes, at most the given ranks between neighbours. */
export function tensorTrain(
  data: Float64Array,
  axes: readonly number[],
  ranks: readonly number[],
): TensorTrain {
  const cores: TensorTrain["cores"][number][] = [];
  const cut: number[] = [];
  let rest = data;
  let left = 1;
  axes.slice(0, -1).forEach((size, k) => {
    const { u, s, v } = svd(matOf(left * size, rest.length / (left * size), rest));
    const right = Math.min(ranks[k]!, s.length);
    const core = new Float64Array(left * size * right);
    for (let i = 0; i < u.rows; i++)
      for (let r = 0; r < right; r++) core[i * right + r] = u.data[i * u.cols + r]!;
    const next = new Float64Array(right * v.rows);
    for (let r = 0; r < right; r++)
      for (let j = 0; j < v.rows; j++) next[r * v.rows + j] = s[r]! * v.data[j * v.cols + r]!;
    cores.push({ left, size, right, data: core });
    cut.push(s.slice(right).reduce((sum, x) => sum + x * x, 0));
    rest = next;
    left = right;
  });
  cores.push({ left, size: axes.at(-1)!, right: 1, data: rest });
  return { cores, cut };
}

/** The tensor that the cores multiply out to. */
export function tensorOfCores({ cores }: TensorTrain): Float64Array {
  let rows = 1;
  let all = Float64Array.of(1);
  for (const { left, size, right, data } of cores) {
    const next = new Float64Array(rows * size * right);
    for (let i = 0; i < rows; i++)
      for (let a = 0; a < left; a++) {
        const x = all[i * left + a]!;
        for (let j = 0; j < size * right; j++)
          next[i * size * right + j]! += x * data[a * size * right + j]!;
      }
    rows *= size;
    all = next;
  }
  return all;
}

function factor(layer: Layer, ranks: readonly number[]): Factors {
  const k = layer.kernel;
  const modes = layerModes(k);
  const axes = axesOf(k, modes);
  const mixed = new Float64Array(k.data.length);
  interleaved(k, modes, (from, to) => {
    mixed[to] = k.data[from]!;
  });
  const found = tensorTrain(mixed, axes, ranks);
  const whole = tensorOfCores(found);
  const dense = new Float64Array(k.data.length);
  interleaved(k, modes, (to, from) => {
    dense[to] = whole[from]!;
  });
  const norm = squaredNorm(k.data);
  const cut = found.cut.reduce((a, b) => a + b, 0);
  const cores = modes.outputs.map((outputs, i): Core => {
    const { left, right, data } = found.cores[i]!;
    return { left, right, outputs, inputs: modes.inputs[i]!, data };
  });
  const filters = found.cores[cores.length];
  return {
    ranks: found.cores.slice(0, -1).map((c) => c.right),
    dense,
    bound: norm === 0 ? 0 : Math.sqrt(cut / norm),
    build: (place) => buildTensorTrain(place, cores, filters?.data ?? null),
  };
}

/** Elements and multiply-accumulates of the chain of cores, walked from the last to the first. */
function chainCost(modes: Modes, ranks: readonly number[], rows: number) {
  let params = 0;
  let macs = 0;
  modes.outputs.forEach((m, k) => {
    const size = m * modes.inputs[k]! * (ranks[k - 1] ?? 1) * (ranks[k] ?? 1);
    params += size;
    macs += rows * size * product(modes.outputs.slice(k + 1)) * product(modes.inputs.slice(0, k));
  });
  return { params, macs };
}

export const ttMethod: Method = {
  name: "tt",
  refuses: (layer) => {
    if (layer.fused) return "an activation or residual is fused into it: factorise before fusing";
    const { kernel: k, geometry } = layer;
    if (k.height * k.width === 1 && geometry !== null) {
      const still = [
        ...geometry.stride.map((s) => s - 1),
        ...geometry.padBegin,
        ...geometry.padEnd,
      ];
      if (still.some((n) => n !== 0)) return "a 1 x 1 convolution with stride or padding: take svd";
    }
    const modes = layerModes(k);
    const split = (list: readonly number[]): boolean => list.filter((n) => n > 1).length > 1;
    return split(modes.outputs) || split(modes.inputs) ? null : "its channels do not factorise";
  },
  full: ({ kernel }) => fullRanks(axesOf(kernel, layerModes(kernel))),
  cost: ({ kernel: k, outPositions }, ranks) => {
    const taps = k.height * k.width;
    const { params, macs } = chainCost(layerModes(k), ranks, outPositions);
    if (taps === 1) return { params, macs };
    const filters = taps * ranks.at(-1)!;
    return { params: params + filters, macs: macs + outPositions * k.inputs * filters };
  },
  factor,
};
