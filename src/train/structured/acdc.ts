/**
 * @file A stack of ACDC layers (Moczulski et al., arXiv:1511.05946: "A Structured Efficient Linear Layer") with
 * permutations between, as a layer of any widths.
 */
import type { Value } from "../../graph/graph.ts";
import { relu } from "../../ops/elementwise/relu.ts";
import { acdc } from "../../ops/nn/acdc.ts";
import type { DctForm } from "../../ops/nn/dct.ts";
import { linear } from "../../ops/nn/linear.ts";
import { reduceSum } from "../../ops/reduce/reductions.ts";
import { gather } from "../../ops/shape/gather.ts";
import { oneHot } from "../../ops/shape/one-hot.ts";
import { reshape } from "../../ops/shape/reshape.ts";
import { transpose } from "../../ops/shape/transpose.ts";
import { type Tensor, tensorOf, tensorType } from "../../tensor/tensor.ts";
import { makeRng } from "../../util/rng.ts";
import { constantly, normal } from "../initial.ts";
import { channelsOf, compressed, type Pointwise, type Site } from "./site.ts";

export interface AcdcOptions {
  /** Layers of the stack. */
  readonly layers: number;
  /** ReLU between layers; default true. Without, the stack is linear. */
  readonly relu?: boolean;
  /** Between layers; default "random", drawn from `seed`. "riffle": even places first. */
  readonly permutation?: "random" | "riffle" | "none";
  readonly seed?: number;
  /** A bias on D; default true. */
  readonly bias?: boolean;
  /** A and D start as normal numbers about 1 with this deviation; default 0.01. */
  readonly deviation?: number;
  readonly form?: DctForm;
}

const index = (list: readonly number[]): Tensor => ({
  type: tensorType("i32", [list.length]),
  data: Int32Array.from(list),
});

/** The elements of the last axis at these places. */
function picked({ graph }: Site, x: Value, places: readonly number[]): Value {
  if (places.every((p, i) => p === i) && places.length === graph.typeOf(x).shape.at(-1)) return x;
  const axis = graph.typeOf(x).shape.length - 1;
  return graph.apply(gather, [x, graph.constant(index(places))], { axis });
}

/** Width of the stack: the larger of the two, made a multiple of the outputs, or of the inputs with some repeated. */
export function stackWidth(inputs: number, outputs: number): number {
  return inputs <= outputs ? outputs : Math.ceil(inputs / outputs) * outputs;
}

/** Channels repeated to fill the width: some first, so that whole repetitions fill it. */
function expanded(inputs: number, width: number): number[] {
  let first = inputs;
  while (width % first !== 0) first++;
  const once = Array.from({ length: first }, (_, i) => i % inputs);
  return Array.from({ length: width }, (_, i) => once[i % first]!);
}

function permutationOf(kind: "random" | "riffle" | "none", n: number, seed: number): number[] {
  if (kind === "random") return [...makeRng(seed).permutation(n)];
  const even = (n + 1) >> 1;
  return Array.from({ length: n }, (_, j) =>
    kind === "none" ? j : j < even ? 2 * j : 2 * (j - even) + 1,
  );
}

/** 2 (with bias 3) times the width, in parameters, for each layer. */
export const acdcStack =
  (options: AcdcOptions): Pointwise =>
  (site, x, outputs, name) => {
    const { layers, seed = 1, bias = true, deviation = 0.01, form = "auto" } = options;
    const { permutation = "random", relu: active = true } = options;
    const { graph } = site;
    const inputs = channelsOf(site, x);
    const n = stackWidth(inputs, outputs);
    let y = picked(site, x, expanded(inputs, n));
    for (let k = 0; k < layers; k++) {
      const own = `${name}.acdc${k + 1}`;
      const diagonal = (which: string): Value =>
        compressed(site, `${own}.${which}`, [n], normal(deviation, 1));
      const ins = [y, diagonal("a"), diagonal("d")];
      if (bias) ins.push(compressed(site, `${own}.bias`, [n], constantly(0)));
      y = graph.apply(acdc, ins, { form }, own);
      if (k === layers - 1) break;
      if (active) y = graph.apply(relu, [y]);
      y = picked(site, y, permutationOf(permutation, n, seed + k));
    }
    if (n === outputs) return y;
    const lead = graph.typeOf(y).shape.slice(0, -1);
    const groups = graph.apply(reshape, [y], { shape: [...lead, n / outputs, outputs] });
    return graph.apply(reduceSum, [groups], { axes: [lead.length], keepDims: false }, name);
  };

/** Time of an operation of the fast transform in those of a matrix product, as bench/acdc.ts finds it. */
const FAST_OPERATION = 8;

/**
 * Whether many rows go faster through the matrix of a linear stack than through its layers, for which 4 N + 5 N log2 N
 * operations a row and layer are counted. `fastOperation` 1: by that count alone.
 */
export const matrixPays = (n: number, layers: number, fastOperation = FAST_OPERATION): boolean =>
  n < fastOperation * layers * (4 + 5 * Math.log2(n));

/**
 * A stack without ReLU and bias, as pictures go through it (Gray, Crowley, Storkey, arXiv:1906.00859): multiplied out
 * to one matrix where that pays, which then is computed for each training step but only once for a compiled model.
 */
export const linearAcdcStack =
  (options: Omit<AcdcOptions, "relu" | "bias">): Pointwise =>
  (site, x, outputs, name) => {
    const stack = acdcStack({ ...options, relu: false, bias: false });
    const inputs = channelsOf(site, x);
    const n = stackWidth(inputs, outputs);
    if (!matrixPays(n, options.layers)) return stack(site, x, outputs, name);
    const { graph } = site;
    // One row for each input, with 1 in the places that it fills.
    const places = graph.constant(tensorOf("i64", [n], expanded(inputs, n)));
    const values = graph.constant(tensorOf(graph.typeOf(x).dtype, [2], [0, 1]));
    const rows = graph.apply(oneHot, [places, values], { axis: 0, depth: inputs });
    const transposed = stack(site, rows, outputs, name);
    const matrix = graph.apply(transpose, [transposed], { perm: [1, 0] });
    return graph.apply(linear, [x, matrix], {}, name);
  };
