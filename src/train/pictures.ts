/**
 * @file Batches of pictures for training: shuffled, cropped, mirrored, cut out, normalised. What happens in a step
 * depends on the seed and the number of the step alone, so that a run can go on from anywhere.
 */
import { UserError } from "../util/errors.ts";
import { makeRng, type Rng } from "../util/rng.ts";

/** Pictures of one size as bytes [count, height, width, channels], and the class of each. */
export interface PictureSet {
  readonly count: number;
  readonly height: number;
  readonly width: number;
  readonly channels: number;
  readonly classes: number;
  readonly pixels: Uint8Array;
  readonly labels: ArrayLike<number>;
}

export interface AugmentOptions {
  /** Shifts each way by up to this many pixels, with black borders; default 0. */
  readonly shift?: number;
  /** Mirrors every other picture; default false. */
  readonly mirror?: boolean;
  /** Side of a square set to the mean (Cutout, arXiv:1708.04552); default 0: none. */
  readonly cutout?: number;
}

export interface BatchOptions extends AugmentOptions {
  readonly batch: number;
  readonly seed: number;
  /** Per channel, of values from 0 to 1; default 0 and 1. */
  readonly mean?: readonly number[];
  readonly std?: readonly number[];
  /** Share of a target that is spread over all classes; default 0. */
  readonly smoothing?: number;
}

export interface PictureBatch {
  /** [batch, height, width, channels]. */
  readonly image: Float32Array<ArrayBuffer>;
  /** [batch, classes]. */
  readonly target: Float32Array<ArrayBuffer>;
  readonly labels: readonly number[];
}

/** A generator for one purpose: different purposes and numbers give unrelated sequences. */
const rngFor = (seed: number, purpose: number, n: number): Rng =>
  makeRng(Math.imul(seed ^ (purpose * 0x9e3779b9), 0x85ebca6b) ^ Math.imul(n + 1, 0xc2b2ae35));

const ORDER = 1;
const AUGMENT = 2;

/** Batches of an epoch, those left over at its end dropped. */
export function batchesPerEpoch(set: PictureSet, batch: number): number {
  const count = Math.floor(set.count / batch);
  if (count > 0) return count;
  throw new UserError("E_DATA", `${set.count} pictures do not fill a batch of ${batch}`);
}

/** Makes the batch of each step, in arrays that it uses again. */
export function pictureBatches(
  set: PictureSet,
  options: BatchOptions,
): (step: number) => PictureBatch {
  const { batch, seed, smoothing = 0 } = options;
  const perEpoch = batchesPerEpoch(set, batch);
  const size = set.height * set.width * set.channels;
  const image = new Float32Array(batch * size);
  const target = new Float32Array(batch * set.classes);
  const tables = levels(set.channels, options);
  let epoch = -1;
  let order = new Int32Array(0);
  return (step) => {
    const now = Math.floor(step / perEpoch);
    if (now !== epoch) {
      order = rngFor(seed, ORDER, now).permutation(set.count) as Int32Array<ArrayBuffer>;
      epoch = now;
    }
    const rng = rngFor(seed, AUGMENT, step);
    const first = (step % perEpoch) * batch;
    target.fill(smoothing / set.classes);
    const labels: number[] = [];
    for (let i = 0; i < batch; i++) {
      const row = order[first + i]!;
      const label = set.labels[row]!;
      labels.push(label);
      target[i * set.classes + label] = 1 - smoothing + smoothing / set.classes;
      const to = image.subarray(i * size, (i + 1) * size);
      place(set, row, to, tables, rng, options);
    }
    return { image, target, labels };
  };
}

/** The normalised value of every byte, per channel. */
function levels(
  channels: number,
  { mean, std }: Pick<BatchOptions, "mean" | "std">,
): readonly Float32Array[] {
  return Array.from({ length: channels }, (_, c) =>
    Float32Array.from(
      { length: 256 },
      (_v, byte) => (byte / 255 - (mean?.[c] ?? 0)) / (std?.[c] ?? 1),
    ),
  );
}

/** One picture, shifted and mirrored, as reals. */
function place(
  set: PictureSet,
  row: number,
  to: Float32Array,
  tables: readonly Float32Array[],
  rng: Rng,
  { shift = 0, mirror = false, cutout = 0 }: AugmentOptions,
): void {
  const { height, width, channels, pixels } = set;
  const dy = shift === 0 ? 0 : rng.int(2 * shift + 1) - shift;
  const dx = shift === 0 ? 0 : rng.int(2 * shift + 1) - shift;
  const flipped = mirror && rng.int(2) === 1;
  const from = row * height * width * channels;
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const sy = y + dy;
      const sx = (flipped ? width - 1 - x : x) + dx;
      const inside = sy >= 0 && sy < height && sx >= 0 && sx < width;
      for (let c = 0; c < channels; c++) {
        const byte = inside ? pixels[from + (sy * width + sx) * channels + c]! : 0;
        to[(y * width + x) * channels + c] = tables[c]![byte]!;
      }
    }
  }
  if (cutout > 0) cut(set, to, rng.int(height), rng.int(width), cutout);
}

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

/** All pictures in order, unchanged but normalised, in batches; the last one is filled up with the first rows. */
export function* evaluationBatches(
  set: PictureSet,
  { batch, mean, std }: Pick<BatchOptions, "batch" | "mean" | "std">,
): Generator<{ readonly image: Float32Array<ArrayBuffer>; readonly labels: readonly number[] }> {
  const size = set.height * set.width * set.channels;
  const given = { ...(mean && { mean }), ...(std && { std }) };
  const tables = levels(set.channels, given);
  const rng = makeRng(0);
  for (let first = 0; first < set.count; first += batch) {
    const image = new Float32Array(batch * size);
    const labels: number[] = [];
    for (let i = 0; i < batch; i++) {
      const row = first + i < set.count ? first + i : i;
      if (first + i < set.count) labels.push(set.labels[row]!);
      place(set, row, image.subarray(i * size, (i + 1) * size), tables, rng, {});
    }
    yield { image, labels };
  }
}
