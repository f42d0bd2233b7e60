/**
 * @file Geometry of operators that slide a window over 1 to 3 spatial axes. Both layouts and every
 * rank are brought to one form, three spatial axes walked by strides, so that each operator has one
 * code path.
 */

import { strides } from "../../tensor/shape.ts";
import type { Shape, TensorType } from "../../tensor/tensor.ts";
import { UserError } from "../../util/errors.ts";
import { product } from "../../util/math.ts";

/** nchw: [N, C, spatial…]; nhwc: [N, spatial…, C]. */
export type Layout = "nchw" | "nhwc";

/** Attributes every sliding window has; lists have one entry per spatial axis. */
export interface WindowAttrs {
  readonly layout: Layout;
  readonly stride: readonly number[];
  readonly padBegin: readonly number[];
  readonly padEnd: readonly number[];
}

export const channelAxis = (layout: Layout, rank: number): number =>
  layout === "nchw" ? 1 : rank - 1;

/** The spatial part of a shape. */
export const spatialOf = (layout: Layout, shape: Shape): number[] =>
  layout === "nchw" ? shape.slice(2) : shape.slice(1, -1);

/** The shape of a batch, channel count and spatial sizes. */
export const spatialShape = (
  layout: Layout,
  batch: number,
  channels: number,
  spatial: readonly number[],
): number[] => (layout === "nchw" ? [batch, channels, ...spatial] : [batch, ...spatial, channels]);

/** Refuses tensors without 1 to 3 spatial axes. */
export function checkSpatialRank(x: TensorType): number {
  const rank = x.shape.length - 2;
  if (rank < 1 || rank > 3) {
    throw new UserError(
      "E_SHAPE",
      `expected an input of rank 3 to 5 (1 to 3 spatial axes), got shape [${x.shape}]`,
    );
  }
  return rank;
}

/** Refuses lists that are not one integer >= `least` per spatial axis. */
export function checkPerAxis(
  name: string,
  list: readonly number[],
  rank: number,
  least: number,
): void {
  if (list.length !== rank || list.some((v) => !Number.isInteger(v) || v < least)) {
    throw new UserError(
      "E_MODEL",
      `attribute ${name} must hold ${rank} integers >= ${least}, got [${list}]`,
    );
  }
}

/**
 * Output positions of a window along one axis; `ceil` also counts a last window that is cut off.
 */
export function windowCount(
  size: number,
  kernel: number,
  stride: number,
  dilation: number,
  padBegin: number,
  padEnd: number,
  ceil = false,
): number {
  const reach = (kernel - 1) * dilation + 1;
  const span = size + padBegin + padEnd - reach;
  if (span < 0) {
    throw new UserError(
      "E_SHAPE",
      `a window of ${reach} does not fit into ${size} elements padded by ${padBegin}, ${padEnd}`,
    );
  }
  if (!ceil) return Math.floor(span / stride) + 1;
  const count = Math.ceil(span / stride) + 1;
  // A window may not start in the end padding.
  return (count - 1) * stride >= size + padBegin ? count - 1 : count;
}

/** A tensor of batch, channels and three spatial axes, with the element stride of each. */
export interface Grid {
  readonly batch: number;
  readonly channels: number;
  readonly size: Triple;
  readonly batchStride: number;
  readonly channelStride: number;
  readonly stride: Triple;
}

/** A tensor as [outer, channels, inner]. */
export interface ChannelSplit {
  readonly outer: number;
  readonly channels: number;
  readonly inner: number;
  /** Elements of a channel. */
  readonly count: number;
}

export function channelSplit(layout: Layout, shape: readonly number[]): ChannelSplit {
  const c = channelAxis(layout, shape.length);
  const [outer, inner] = [product(shape.slice(0, c)), product(shape.slice(c + 1))];
  return { outer, channels: shape[c]!, inner, count: outer * inner };
}

export type Triple = readonly [number, number, number];

/** Puts `fill` in front of a list of at most three. */
export function triple(list: readonly number[], fill: number): Triple {
  const full = [...new Array<number>(3 - list.length).fill(fill), ...list];
  return [full[0]!, full[1]!, full[2]!];
}

/** Walks a tensor (or a weight, whose axis 0 then plays the batch) of the given layout. */
export function gridOf(layout: Layout, shape: Shape): Grid {
  const s = strides(shape);
  const c = channelAxis(layout, shape.length);
  return {
    batch: shape[0]!,
    channels: shape[c]!,
    size: triple(spatialOf(layout, shape), 1),
    batchStride: s[0]!,
    channelStride: s[c]!,
    stride: triple(spatialOf(layout, s), 0),
  };
}

/** How a window moves, three axes long. */
export interface Window {
  readonly kernel: Triple;
  readonly stride: Triple;
  readonly dilation: Triple;
  readonly pad: Triple;
}

export const windowOf = (
  kernel: readonly number[],
  attrs: Pick<WindowAttrs, "stride" | "padBegin">,
  dilation: readonly number[] | undefined,
): Window => ({
  kernel: triple(kernel, 1),
  stride: triple(attrs.stride, 1),
  dilation: triple(dilation ?? kernel.map(() => 1), 1),
  pad: triple(attrs.padBegin, 0),
});

/**
 * How a permutation of all axes changes the layout: the new layout and, for each new spatial axis,
 * the old one. Null when batch or channels would land where no layout has them.
 */
export function permuteLayout(
  layout: Layout,
  perm: readonly number[],
): { readonly layout: Layout; readonly order: readonly number[] } | null {
  const rank = perm.length;
  const channel = channelAxis(layout, rank);
  if (perm[0] !== 0) return null;
  const at = perm.indexOf(channel);
  const to: Layout | null =
    at === channel ? layout : at === 1 ? "nchw" : at === rank - 1 ? "nhwc" : null;
  if (to === null) return null;
  const first = layout === "nchw" ? 2 : 1;
  return { layout: to, order: spatialOf(to, perm).map((p) => p - first) };
}

/** Attributes with the per-axis lists named in `lists` reordered, for Op.permute. */
export function permuteWindow<A extends { readonly layout: Layout }>(
  attrs: A,
  perm: readonly number[],
  lists: readonly (keyof A)[],
): A | null {
  const p = permuteLayout(attrs.layout, perm);
  if (p === null) return null;
  const out: Record<PropertyKey, unknown> = { ...attrs, layout: p.layout };
  for (const key of lists) {
    const list = attrs[key] as readonly number[] | undefined;
    if (list !== undefined) out[key] = p.order.map((i) => list[i]!);
  }
  return out as A;
}

/**
 * Letters of the spatial axes for Op.axes: input, window and output ones; carried axes share a
 * letter.
 */
export function axisLetters(
  layout: Layout,
  batch: string,
  channel: string,
  spatial: string,
): string {
  return layout === "nchw" ? batch + channel + spatial : batch + spatial + channel;
}
