/**
 * @file The loops of pooling in NHWC: output positions, then blocks of channels, then the window's
 * taps. Padding is left out by loop bounds.
 */
import { affine, type KernelBuilder } from "../../kernel/build.ts";
import type { Expr } from "../../kernel/ir.ts";
import type { PoolPlan } from "../../ops/nn/pool.ts";
import {
  forEachImagePosition,
  type PlacedWindow,
  placeWindow,
  spatialOffset,
} from "../../ops/nn/window.ts";

/** A block of neighbouring channels at one output position. */
export interface Block {
  /** Channels in the block: 16, 4 or 1. */
  readonly width: number;
  /** Elements under the window. */
  readonly window: PlacedWindow;
  /** Output position per spatial axis. */
  readonly at: readonly Expr[];
  /** Index of the block's first result. */
  readonly to: Expr;
  /** Calls `body` with the index of the block's first element at each tap. */
  eachTap(body: (from: Expr) => void): void;
}

const WIDTHS = [16, 4, 1];

/** Calls `body` for every block; the widths used are those the channels need. */
export function forEachBlock(
  k: KernelBuilder,
  { x, y, window }: PoolPlan,
  body: (block: Block) => void,
): void {
  forEachImagePosition(k, y, (n, at) => {
    const image = k.let("image", affine([n, x.batchStride]));
    const row = k.let("to", affine([n, y.batchStride], spatialOffset(at, y)));
    const place = placeWindow(k, window, x.size, y.size, at);
    let done = 0;
    for (const width of WIDTHS) {
      const end = y.channels - ((y.channels - done) % width);
      k.forParallel(
        "c",
        done,
        end,
        (c) => {
          const base = k.let("x", affine(image, c));
          body({
            width,
            window: place,
            at,
            to: k.let("y", affine(row, c)),
            eachTap: (tap) =>
              place.each((_, p) => tap(k.let("from", affine(base, spatialOffset(p, x))))),
          });
        },
        { step: width },
      );
      done = end;
    }
  });
}
