/**
 * @file HashedNets (Chen et al., arXiv:1504.04788): a virtual weight matrix of few stored weights, chosen by hashes
 * that are computed, never stored. Saves storage, no operations.
 */
import type { Value } from "../../graph/graph.ts";
import { conv } from "../../ops/nn/conv.ts";
import { hashedWeights } from "../../ops/nn/hashed-weights.ts";
import { linear } from "../../ops/nn/linear.ts";
import { reshape } from "../../ops/shape/reshape.ts";
import { slice } from "../../ops/shape/slice.ts";
import { UserError } from "../../util/errors.ts";
import { product } from "../../util/math.ts";
import { normal } from "../initial.ts";
import { channelsOf, compressed, type Pointwise, type Site, type Substitute } from "./site.ts";

export interface HashedOptions {
  /** Stored weights: a share of the virtual ones, rounded up, or their number. */
  readonly weights: { readonly share: number } | { readonly count: number };
  /** The bias as a further, hashed input; default true. */
  readonly bias?: boolean;
  /** Of the hashes; each layer mixes in its own name. Default 1. */
  readonly seed?: number;
}

/** Different for layers of different names: FNV-1a of the name. */
function layerSeed(name: string, seed: number): number {
  let h = 0x811c9dc5 ^ seed;
  for (let i = 0; i < name.length; i++) h = Math.imul(h ^ name.charCodeAt(i), 0x01000193);
  return h | 0;
}

function virtual(
  site: Site,
  shape: readonly number[],
  fan: number,
  { weights, seed = 1 }: HashedOptions,
  name: string,
): Value {
  const size = product(shape);
  const count = "count" in weights ? weights.count : Math.ceil(weights.share * size);
  if (!Number.isInteger(count) || count < 1 || count > size) {
    throw new UserError("E_ARGUMENT", `${name}: ${count} weights for ${size} virtual ones`, {
      where: name,
      hint: "give a share above 0 and at most 1, or a number of weights",
    });
  }
  const w = compressed(site, `${name}.hashed`, [count], normal(Math.sqrt(2 / fan)));
  const attrs = { shape, seed: layerSeed(name, seed) };
  return site.graph.apply(hashedWeights, [w], attrs, `${name}.virtual`);
}

/** A fully connected layer on the last axis. */
export const hashedLinear =
  (options: HashedOptions): Pointwise =>
  (site, x, outputs, name) => {
    const { graph } = site;
    const inputs = channelsOf(site, x);
    if (options.bias === false) {
      const w = virtual(site, [outputs, inputs], inputs, options, name);
      return graph.apply(linear, [x, w], {}, name);
    }
    const all = virtual(site, [outputs, inputs + 1], inputs, options, name);
    const part = (first: number, count: number): Value =>
      graph.apply(slice, [all], { start: [0, first], size: [outputs, count], step: [1, 1] });
    const bias = graph.apply(reshape, [part(inputs, 1)], { shape: [outputs] });
    return graph.apply(linear, [x, part(0, inputs), bias], {}, name);
  };

/** A whole convolution; its bias, if any, is not hashed and belongs to what follows. */
export const hashedConv =
  (options: HashedOptions): Substitute =>
  (site, x, outputs, { kernel, stride }, name) => {
    const inputs = channelsOf(site, x);
    const shape = [outputs, ...kernel, inputs];
    const w = virtual(site, shape, product(shape.slice(1)), options, name);
    const begin = kernel.map((k) => (k - 1) >> 1);
    const padEnd = kernel.map((k, i) => k - 1 - begin[i]!);
    const rest = { stride, padBegin: begin, padEnd, dilation: [1, 1], groups: 1 };
    return site.graph.apply(conv, [x, w], { layout: "nhwc" as const, ...rest }, name);
  };
