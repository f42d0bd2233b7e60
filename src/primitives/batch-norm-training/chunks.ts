/**
 * @file What training's batch normalisation and its gradient share: pixels are cut into chunks that stay in the L1
 * cache; each leaves two numbers a channel, which are added in the order of the chunks, so that any number of
 * threads gives the same bytes.
 */
import { affine, constant, type KernelBuilder, min, mul, sub } from "../../kernel/build.ts";
import type { Expr, KType } from "../../kernel/ir.ts";
import { type ChannelSplit, channelSplit, type Layout } from "../../ops/nn/spatial.ts";
import type { TensorType } from "../../tensor/tensor.ts";
import { ceilDiv } from "../../util/math.ts";
import type { Capabilities } from "../capabilities.ts";

/** Floats of a chunk. */
const CHUNK = 3072;

export interface Chunks {
  readonly pixels: number;
  readonly channels: number;
  /** Pixels of a chunk; the last one may have fewer. */
  readonly size: number;
  readonly count: number;
  readonly lanes: number;
}

/** Pixels with neighbouring channels, or null: another layout or type. */
export function chunksOf(x: TensorType, layout: Layout, caps: Capabilities): Chunks | null {
  if (x.dtype !== "f32") return null;
  const s: ChannelSplit = channelSplit(layout, x.shape);
  if (s.inner !== 1 || s.count === 0) return null;
  const size = Math.max(8, Math.floor(CHUNK / s.channels));
  return {
    pixels: s.count,
    channels: s.channels,
    size,
    count: ceilDiv(s.count, size),
    lanes: caps.vectorBytes / 4,
  };
}

/** Elements of the numbers that the chunks leave: [chunk][2][channel]. */
export const partialCount = (c: Chunks): number => 2 * c.count * c.channels;

/** Where number 0 or 1 of a channel of a chunk lies. */
export const partialAt = (c: Chunks, chunk: Expr, which: 0 | 1, channel: Expr): Expr =>
  affine([chunk, 2 * c.channels], which * c.channels, channel);

/** Calls `body` for each group of channels, vectors first, with the register type of the group. */
export function forEachChannels(
  k: KernelBuilder,
  { channels, lanes }: Pick<Chunks, "channels" | "lanes">,
  body: (channel: Expr, type: KType) => void,
): void {
  let from = 0;
  for (let width = lanes; width >= 4; width /= 2) {
    const to = from + (channels - from - ((channels - from) % width));
    k.for("c", from, to, (c) => body(c, `f32x${width}`), { step: width });
    from = to;
  }
  k.for("c", from, channels, (c) => body(c, "f32"));
}

/** Calls `body` for each chunk: its number, first pixel and count of pixels. */
export function forEachChunk(
  k: KernelBuilder,
  c: Chunks,
  body: (chunk: Expr, first: Expr, count: Expr) => void,
): void {
  k.for(
    "chunk",
    0,
    c.count,
    (chunk) => {
      const first = k.let("first", mul(chunk, c.size));
      const count =
        c.pixels % c.size === 0
          ? constant("i32", c.size)
          : k.let("count", min(sub(c.pixels, first), c.size));
      body(chunk, first, count);
    },
    { tag: "outline", parallel: true },
  );
}

/** A number for every lane. */
export const fill = (type: KType, value: number): Expr => constant(type, value);

/** Work areas: written by one step, read by the next. */
export const work = (id: string, count: number) =>
  ({ kind: "work", id, bytes: 4 * count }) as const;
