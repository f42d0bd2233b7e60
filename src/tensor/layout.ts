/**
 * @file Physical layouts of a value in memory. A value's type is logical; where a layout other than "plain"
 * applies, its last axis (the channels of NHWC) is moved.
 */
import { ceilDiv } from "../util/math.ts";
import type { Shape, TensorType } from "./tensor.ts";

/**
 * "plain": row-major as the type says. "nchw": the last axis moved behind the first. "nchw8c": as "nchw" in
 * blocks of eight channels, [N, ceil(C / 8), ..., 8], the last block filled up with zeros.
 */
export type Layout = "plain" | "nchw" | "nchw8c";

export const LAYOUTS: readonly Layout[] = ["plain", "nchw", "nchw8c"];

/** Channels of a block of "nchw8c". */
export const CHANNEL_BLOCK = 8;

/** Layouts other than "plain" need a first axis, a last one and something between them. */
export const hasLayouts = (shape: Shape): boolean => shape.length >= 3;

/** The shape of the memory that holds a value of the (logical) shape in the layout. */
export function physicalShape(shape: Shape, layout: Layout): Shape {
  if (layout === "plain") return shape;
  const channels = shape.at(-1)!;
  const spatial = shape.slice(1, -1);
  return layout === "nchw"
    ? [shape[0]!, channels, ...spatial]
    : [shape[0]!, ceilDiv(channels, CHANNEL_BLOCK), ...spatial, CHANNEL_BLOCK];
}

/** The type of the memory that holds a value in the layout. Quantisation per axis does not move. */
export const physicalType = (type: TensorType, layout: Layout): TensorType => ({
  ...type,
  shape: physicalShape(type.shape, layout),
});

/** Whether both layouts of a shape have every element at the same place. */
export function sameOrder(shape: Shape, a: Layout, b: Layout): boolean {
  if (a === b) return true;
  const pixels = shape.slice(1, -1).reduce((n, d) => n * d, 1);
  const channels = shape.at(-1)!;
  const block = (l: Layout): number => (l === "nchw8c" ? CHANNEL_BLOCK : l === "nchw" ? 1 : 0);
  const plainLike = (l: Layout): boolean =>
    l === "plain" ||
    (l === "nchw" && (pixels === 1 || channels === 1)) ||
    (l === "nchw8c" &&
      (channels === CHANNEL_BLOCK || (pixels === 1 && channels % CHANNEL_BLOCK === 0)));
  return (plainLike(a) && plainLike(b)) || block(a) === block(b);
}
