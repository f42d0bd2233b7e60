/** @file Where structured layers are written: a network in code, or a graph that is being edited. NHWC. */
import { tagCompressed } from "../../compress/compressed.ts";
import type { GraphBuilder, Value } from "../../graph/graph.ts";
import { conv } from "../../ops/nn/conv.ts";
import { linear } from "../../ops/nn/linear.ts";
import type { Initializer } from "../initial.ts";
import { normal } from "../initial.ts";

/** What a layer needs of its surroundings; Net is one. */
export interface Site {
  readonly graph: GraphBuilder;
  /** A learned constant. */
  parameter(name: string, shape: readonly number[], init: Initializer): Value;
}

/** A layer that takes the place of a dense one on the last axis: [..., inputs] to [..., outputs]. */
export type Pointwise = (site: Site, x: Value, outputs: number, name: string) => Value;

export interface Window {
  readonly kernel: readonly [number, number];
  readonly stride: readonly [number, number];
}

/** A layer that takes the place of a convolution of [batch, height, width, inputs] that keeps the size but for the stride. */
export type Substitute = (
  site: Site,
  x: Value,
  outputs: number,
  window: Window,
  name: string,
) => Value;

export const channelsOf = ({ graph }: Site, x: Value): number => graph.typeOf(x).shape.at(-1)!;

/** A learned constant of a compressed layer, tagged as such. */
export function compressed(
  site: Site,
  name: string,
  shape: readonly number[],
  init: Initializer,
): Value {
  tagCompressed(site.graph.meta, [name]);
  return site.parameter(name, shape, init);
}

export interface PlainConv extends Window {
  readonly groups: number;
  /** Standard deviation of the initial weights. */
  readonly deviation: number;
  readonly compressed: boolean;
}

/** A convolution without bias. */
export function plainConv(
  site: Site,
  x: Value,
  outputs: number,
  options: PlainConv,
  name: string,
): Value {
  const { kernel, stride, groups, deviation } = options;
  const shape = [outputs, ...kernel, channelsOf(site, x) / groups];
  const init = normal(deviation);
  const w = options.compressed
    ? compressed(site, `${name}.weight`, shape, init)
    : site.parameter(`${name}.weight`, shape, init);
  const begin = kernel.map((k) => (k - 1) >> 1);
  const attrs = {
    layout: "nhwc" as const,
    stride,
    padBegin: begin,
    padEnd: kernel.map((k, i) => k - 1 - begin[i]!),
    dilation: [1, 1],
    groups,
  };
  return site.graph.apply(conv, [x, w], attrs, name);
}

/** A product with a compressed weight [outputs, inputs]: 1 x 1 convolution on pictures, else a linear layer. */
export function compressedPoint(site: Site, x: Value, outputs: number, name: string): Value {
  const inputs = channelsOf(site, x);
  const deviation = Math.sqrt(1 / inputs);
  if (site.graph.typeOf(x).shape.length === 4) {
    const options = { kernel: [1, 1], stride: [1, 1], groups: 1, deviation } as const;
    return plainConv(site, x, outputs, { ...options, compressed: true }, name);
  }
  const w = compressed(site, `${name}.weight`, [outputs, inputs], normal(deviation));
  return site.graph.apply(linear, [x, w], {}, name);
}

/**
 * A k x k convolution as one that treats each channel by itself, with the stride, then a compressed 1 x 1 (Gray,
 * Crowley, Storkey, arXiv:1906.00859); 1 x 1 without stride is the compressed one alone.
 */
export const separable =
  (point: Pointwise): Substitute =>
  (site, x, outputs, window, name) => {
    const { kernel, stride } = window;
    const single = [...kernel, ...stride].every((n) => n === 1);
    if (single) return point(site, x, outputs, name);
    const groups = channelsOf(site, x);
    const deviation = Math.sqrt(1 / (kernel[0] * kernel[1]));
    const options = { ...window, groups, deviation, compressed: false };
    const wide = plainConv(site, x, groups, options, `${name}.window`);
    return point(site, wide, outputs, name);
  };
