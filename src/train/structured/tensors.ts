/**
 * @file Layers whose weights are tensors in factors: a Tensor-Train matrix contracted core by core; a matrix read as a
 * tensor of three axes, in Tensor-Train or Tucker form, multiplied out at every use (saves storage, no operations);
 * and a product of two thin matrices.
 */
import { layerModes, type Modes } from "../../compress/factorise/tensor-train.ts";
import { type CoreShape, coreChain } from "../../compress/factorise/tensor-train-graph.ts";
import type { GraphBuilder, Value } from "../../graph/graph.ts";
import { linear } from "../../ops/nn/linear.ts";
import { matmul } from "../../ops/nn/matmul.ts";
import { reshape } from "../../ops/shape/reshape.ts";
import { product, roundHalfEven } from "../../util/math.ts";
import { type Initializer, normal } from "../initial.ts";
import { channelsOf, compressed, compressedPoint, type Pointwise, type Site } from "./site.ts";

export interface TensorTrainOptions {
  /** A share of the largest ranks, or the ranks between neighbouring cores. */
  readonly ranks: { readonly share: number } | readonly number[];
  /** Channels as factors; default: three nearly equal ones each. */
  readonly modes?: Modes;
}

const isList = (ranks: TensorTrainOptions["ranks"]): ranks is readonly number[] =>
  Array.isArray(ranks);

/** The standard deviation of d factors' elements so that products summed over ranks have variance 1 / fan. */
const coreDeviation = (d: number, ranks: readonly number[], fan: number): number =>
  (1 / (fan * product(ranks))) ** (1 / (2 * d));

const least = (axes: readonly number[], k: number): number =>
  Math.min(product(axes.slice(0, k + 1)), product(axes.slice(k + 1)));

/** Tensor-Train matrix (Novikov et al., arXiv:1509.06569). */
export const ttLinear =
  ({ ranks, modes: given }: TensorTrainOptions): Pointwise =>
  (site, x, outputs, name) => {
    const inputs = channelsOf(site, x);
    const kernel = { outputs, inputs, height: 1, width: 1, data: new Float64Array(0) };
    const modes = given ?? layerModes(kernel);
    const axes = modes.outputs.map((m, i) => m * modes.inputs[i]!);
    const inner = axes.slice(1).map((_, k) => {
      const most = least(axes, k);
      const want = isList(ranks) ? ranks[k]! : Math.round(ranks.share * most);
      return Math.min(most, Math.max(1, want));
    });
    const all = [1, ...inner, 1];
    const cores = axes.map(
      (_, k): CoreShape => ({
        left: all[k]!,
        right: all[k + 1]!,
        outputs: modes.outputs[k]!,
        inputs: modes.inputs[k]!,
      }),
    );
    const init = normal(coreDeviation(axes.length, inner, inputs));
    const weights = (k: number, shape: readonly [number, number]): Value =>
      compressed(site, `${name}.core${k + 1}.weight`, shape, init);
    return coreChain(site.graph, x, cores, weights, name);
  };

/** Axes of a matrix of n elements read as a tensor: for all but the last the smallest divisor from n^(1/d) on. */
export function tensorAxes(n: number, d = 3): number[] {
  const edge = n ** (1 / d);
  if (Math.abs(Math.round(edge) - edge) < 1e-6) return Array<number>(d).fill(Math.round(edge));
  const out: number[] = [];
  let rest = n;
  for (let i = 0; i < d - 1; i++) {
    let q = Math.min(rest, Math.round(edge));
    while (rest % q !== 0) q++;
    out.push(q);
    rest /= q;
  }
  return [...out, rest];
}

const rankShare = (share: number, n: number): number => Math.max(1, roundHalfEven(share * n));

const shaped = (g: GraphBuilder, v: Value, shape: readonly number[]): Value =>
  g.apply(reshape, [v], { shape });

interface Train {
  readonly axes: readonly number[];
  /** Ranks between neighbouring axes. */
  readonly inner: readonly number[];
}

/** The product of a Tensor-Train tensor's cores: its elements in order. */
function train(site: Site, { axes, inner }: Train, init: Initializer, name: string): Value {
  const { graph: g } = site;
  const cores = axes.map((n, k) => {
    // As operands of the product: what a reshape stands before is no parameter.
    const shape = k === 0 ? [n, inner[0]!] : [inner[k - 1]!, n * (inner[k] ?? 1)];
    return compressed(site, `${name}.core${k + 1}.weight`, shape, init);
  });
  return cores.slice(1).reduce((all, core, k) => {
    const rows = product(axes.slice(0, k + 1));
    return g.apply(matmul, [k === 0 ? all : shaped(g, all, [rows, inner[k]!]), core]);
  }, cores[0]!);
}

/** A matrix [outputs, inputs] as a Tensor-Train tensor; ranks are a share of the smaller neighbouring axis. */
export const ttTensor =
  ({ share }: { readonly share: number }): Pointwise =>
  (site, x, outputs, name) => {
    const { graph: g } = site;
    const inputs = channelsOf(site, x);
    const axes = tensorAxes(outputs * inputs);
    const inner = axes
      .slice(1)
      .map((n, k) => Math.min(least(axes, k), rankShare(share, Math.min(axes[k]!, n))));
    const init = normal(coreDeviation(axes.length, inner, inputs));
    const whole = train(site, { axes, inner }, init, name);
    return g.apply(linear, [x, shaped(g, whole, [outputs, inputs])], {}, name);
  };

export interface TuckerTensorOptions {
  /** Ranks as a share of the axes. */
  readonly share: number;
  /** "train": the core is a Tensor-Train tensor of the largest ranks, as tntorch keeps it; default "dense". */
  readonly core?: "dense" | "train";
}

/** A matrix [outputs, inputs] as a Tucker tensor. */
export const tuckerTensor =
  ({ share, core = "dense" }: TuckerTensorOptions): Pointwise =>
  (site, x, outputs, name) => {
    const { graph: g } = site;
    const inputs = channelsOf(site, x);
    const axes = tensorAxes(outputs * inputs);
    const ranks = axes.map((n) => Math.min(n, rankShare(share, n)));
    const inner = ranks.slice(1).map((_, k) => least(ranks, k));
    const factors = axes.length + (core === "dense" ? 1 : axes.length);
    const summed = product(ranks) * (core === "dense" ? 1 : product(inner));
    const init = normal((1 / (inputs * summed)) ** (1 / (2 * factors)));
    const unfolded = [ranks[0]!, product(ranks.slice(1))];
    let whole =
      core === "dense"
        ? compressed(site, `${name}.core.weight`, unfolded, init)
        : shaped(g, train(site, { axes: ranks, inner }, init, name), unfolded);
    axes.forEach((n, k) => {
      const factor = compressed(site, `${name}.factor${k + 1}.weight`, [n, ranks[k]!], init);
      // The axis in front is multiplied and goes to the end: after all axes the order is the first again.
      const rest = product(g.typeOf(whole).shape) / ranks[k]!;
      const front = k === 0 ? whole : shaped(g, whole, [ranks[k]!, rest]);
      whole = g.apply(matmul, [front, factor], { transA: true, transB: true });
    });
    return g.apply(linear, [x, shaped(g, whole, [outputs, inputs])], {}, name);
  };

/** Two dense layers with `rank` channels between, nothing in between: the baseline of all others. */
export const lowRank =
  (options: { readonly rank: number } | { readonly share: number }): Pointwise =>
  (site, x, outputs, name) => {
    const rank =
      "rank" in options
        ? options.rank
        : Math.max(1, Math.floor(options.share * Math.max(channelsOf(site, x), outputs)));
    const inner = compressedPoint(site, x, rank, `${name}.in`);
    return compressedPoint(site, inner, outputs, `${name}.out`);
  };
