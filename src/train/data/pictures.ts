/** @file One picture of a batch: bytes shifted, mirrored, normalised, cut out. */
import type { Rng } from "../../util/rng.ts";
import type { PictureSet } from "./sets.ts";

export interface PictureOptions {
  /** Per channel, of values from 0 to 1; default 0 and 1. */
  readonly mean?: readonly number[];
  readonly std?: readonly number[];
  /** Random crop: shifts each way by up to this many pixels, with black borders; default 0. */
  readonly shift?: number;
  /** Mirrors every other picture; default false. */
  readonly mirror?: boolean;
  /** Side of a square set to the mean (Cutout, arXiv:1708.04552); default 0: none. */
  readonly cutout?: number;
}

/** Writes an example to its place in a batch; without a generator as it is, but normalised. */
export type WriteRow = (row: number, to: Float32Array, rng: Rng | null) => void;

/** The normalised values of bytes: [byte * channels + channel]. */
function levels(channels: number, { mean, std }: PictureOptions): Float32Array {
  return Float32Array.from(
    { length: 256 * channels },
    (_, i) =>
      (Math.floor(i / channels) / 255 - (mean?.[i % channels] ?? 0)) / (std?.[i % channels] ?? 1),
  );
}

/** How pictures of the set come into a batch [batch, height, width, channels]. */
export function pictureWriter(set: PictureSet, options: PictureOptions): WriteRow {
  const { height, width, channels, pixels } = set;
  const { shift = 0, mirror = false, cutout = 0 } = options;
  const table = levels(channels, options);
  const black = table.subarray(0, channels);
  const size = height * width * channels;
  const step = (rng: Rng | null): number =>
    shift === 0 || rng === null ? 0 : rng.int(2 * shift + 1) - shift;
  return (row, to, rng) => {
    const dy = step(rng);
    const dx = step(rng);
    const flipped = mirror && rng !== null && rng.int(2) === 1;
    const line = (flipped ? reversedLine : straightLine)[channels === 3 ? 1 : 0];
    for (let y = 0; y < height; y++) {
      const at = y * width * channels;
      const sy = y + dy;
      if (sy < 0 || sy >= height) {
        blacken(to, at, width, black);
        continue;
      }
      const from = row * size + sy * width * channels;
      // Columns of the picture that are seen: first and one behind the last.
      const first = Math.max(0, dx);
      const end = Math.max(first, Math.min(width, width + dx));
      const before = flipped ? width + dx - end : first - dx;
      blacken(to, at, before, black);
      line(
        pixels,
        from + first * channels,
        end - first,
        channels,
        table,
        to,
        at + before * channels,
      );
      const behind = before + end - first;
      blacken(to, at + behind * channels, width - behind, black);
    }
    if (cutout > 0 && rng !== null) cut(set, to, rng.int(height), rng.int(width), cutout);
  };
}

type Line = (
  pixels: Uint8Array,
  from: number,
  count: number,
  channels: number,
  table: Float32Array,
  to: Float32Array,
  at: number,
) => void;

/** Any number of channels, and three. */
const straightLine: readonly [Line, Line] = [
  (pixels, from, count, channels, table, to, at) => {
    for (let i = 0; i < count * channels; i++) {
      to[at + i] = table[pixels[from + i]! * channels + (i % channels)]!;
    }
  },
  (pixels, from, count, _channels, table, to, at) => {
    for (let i = 0; i < 3 * count; i += 3) {
      to[at + i] = table[pixels[from + i]! * 3]!;
      to[at + i + 1] = table[pixels[from + i + 1]! * 3 + 1]!;
      to[at + i + 2] = table[pixels[from + i + 2]! * 3 + 2]!;
    }
  },
];

const reversedLine: readonly [Line, Line] = [
  (pixels, from, count, channels, table, to, at) => {
    for (let x = 0; x < count; x++) {
      const p = from + (count - 1 - x) * channels;
      for (let c = 0; c < channels; c++) {
        to[at + x * channels + c] = table[pixels[p + c]! * channels + c]!;
      }
    }
  },
  (pixels, from, count, _channels, table, to, at) => {
    let p = from + 3 * (count - 1);
    for (let i = 0; i < 3 * count; i += 3, p -= 3) {
      to[at + i] = table[pixels[p]! * 3]!;
      to[at + i + 1] = table[pixels[p + 1]! * 3 + 1]!;
      to[at + i + 2] = table[pixels[p + 2]! * 3 + 2]!;
    }
  },
];

function blacken(to: Float32Array, at: number, count: number, black: Float32Array): void {
  for (let x = 0; x < count; x++) to.set(black, at + x * black.length);
}

/** A square of the mean around a point; what lies outside the picture is left off. */
function cut(set: PictureSet, to: Float32Array, cy: number, cx: number, side: number): void {
  const half = side >> 1;
  for (let y = Math.max(0, cy - half); y < Math.min(set.height, cy - half + side); y++) {
    const from = Math.max(0, cx - half);
    const end = Math.min(set.width, cx - half + side);
    if (end > from) {
      to.fill(0, (y * set.width + from) * set.channels, (y * set.width + end) * set.channels);
    }
  }
}
