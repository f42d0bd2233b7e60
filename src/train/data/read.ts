/** @file Decodes a source of data once, into memory. */
import { resizeImage, toChannels } from "../../data/image.ts";
import { type Preprocess, preprocess } from "../../data/preprocess.ts";
import type { AudioData, DataSource, Example, ImageData8 } from "../../data/source.ts";
import { tensorType } from "../../tensor/tensor.ts";
import { UserError } from "../../util/errors.ts";
import { product } from "../../util/math.ts";
import { type ExampleSet, joined, type PictureSet, type SoundSet, sharedBytes } from "./sets.ts";

export interface ReadOptions {
  /** Rows to read, in this order; default all. */
  readonly rows?: readonly number[];
  /** Pictures: [height, width] to stretch to; default: all have the size of the first. */
  readonly size?: readonly [number, number];
  /** Pictures: default those of the first, without alpha. */
  readonly channels?: 1 | 3;
  /** Number of classes; default: what the source knows, or the highest label and one. */
  readonly classes?: number;
  /** Arrays and raw bytes: what their elements mean. */
  readonly preprocess?: Preprocess;
  /** Arrays and raw bytes: the shape of one example; default: the array's own. */
  readonly shape?: readonly number[];
  readonly onProgress?: (done: number, total: number) => void;
}

/** Examples decoded at a time. */
const CHUNK = 256;

type Place = (example: Example, i: number) => void;

type Common = Pick<ExampleSet, "count" | "classes" | "labels">;

interface Filling {
  readonly place: Place;
  readonly finish: (common: Common) => ExampleSet;
}

/**
 * The examples of a source as a set: pictures, sounds, or arrays. Byte arrays [h, w] and [h, w, 1 or 3], as in IDX
 * files, are pictures. Throws UserError naming the first example that does not fit the others.
 */
export async function readSet(source: DataSource, options: ReadOptions = {}): Promise<ExampleSet> {
  const rows = options.rows ?? Array.from({ length: source.size }, (_, i) => i);
  const count = rows.length;
  if (count === 0)
    throw new UserError("E_DATA", "there are no examples", { where: source.description });
  const labels = new Int32Array(sharedBytes(4 * count));
  let filling: Filling | undefined;
  let labelled = 0;
  for (let from = 0; from < count; from += CHUNK) {
    for (const [k, example] of (await source.read(rows.slice(from, from + CHUNK))).entries()) {
      filling ??= fillingFor(example, count, options);
      filling.place(example, from + k);
      if (example.label === null) continue;
      labels[from + k] = example.label;
      labelled++;
    }
    options.onProgress?.(Math.min(from + CHUNK, count), count);
  }
  if (labelled !== 0 && labelled !== count) {
    throw new UserError("E_DATA", `${count - labelled} of ${count} examples have no label`, {
      where: source.description,
    });
  }
  const known = options.classes ?? source.classes?.length;
  const classes = labelled === 0 ? 0 : (known ?? labels.reduce((a, b) => Math.max(a, b)) + 1);
  return filling!.finish({ count, classes, labels: labelled === 0 ? new Int32Array(0) : labels });
}

function fillingFor(first: Example, count: number, options: ReadOptions): Filling {
  if (pictureOf(first) !== null) return pictures(first, count, options);
  if (first.data.kind === "audio") return sounds(first.data, count);
  return arrays(first, count, options);
}

/** The example as a picture; null when it is none. */
function pictureOf({ data }: Example): ImageData8 | null {
  if (data.kind === "image") return data;
  if (data.kind !== "array" || data.tensor.type.dtype !== "u8") return null;
  const [height, width, channels = 1, ...more] = data.tensor.type.shape;
  if (width === undefined || more.length > 0 || (channels !== 1 && channels !== 3)) return null;
  return { kind: "image", height: height!, width, channels, data: data.tensor.data as Uint8Array };
}

const misfit = (example: Example, expected: string, got: string, hint: string): UserError =>
  new UserError("E_DATA", `expected ${expected}, got ${got}`, { where: example.id, hint });

function pictures(first: Example, count: number, options: ReadOptions): Filling {
  const sample = pictureOf(first)!;
  const channels = options.channels ?? (sample.channels === 1 ? 1 : 3);
  const [height, width] = options.size ?? [sample.height, sample.width];
  const size = height * width * channels;
  const pixels = new Uint8Array(sharedBytes(count * size));
  return {
    place: (example, i) => {
      const image = pictureOf(example);
      if (image === null) {
        throw misfit(example, "a picture", example.data.kind, "the first example is a picture");
      }
      if (options.size === undefined && (image.height !== height || image.width !== width)) {
        const got = `${image.width} x ${image.height}`;
        throw misfit(example, `${width} x ${height} pixels`, got, "give a size to stretch to");
      }
      pixels.set(resizeImage(toChannels(image, channels), height, width).data, i * size);
    },
    finish: (common) => ({ ...common, height, width, channels, pixels }),
  };
}

function sounds({ sampleRate }: AudioData, count: number): Filling {
  const found = new Array<Float32Array>(count);
  return {
    place: (example, i) => {
      const { data } = example;
      if (data.kind !== "audio") {
        throw misfit(example, "a sound", data.kind, "the first example is a sound");
      }
      if (data.sampleRate !== sampleRate) {
        const hint = "bring all sounds to one rate";
        throw misfit(example, `${sampleRate} samples a second`, `${data.sampleRate}`, hint);
      }
      found[i] = data.samples;
    },
    finish: (common) => ({ ...common, sampleRate, ...joined(found) }),
  };
}

function arrays(first: Example, count: number, options: ReadOptions): Filling {
  const { data } = first;
  const shape = options.shape ?? (data.kind === "array" ? data.tensor.type.shape : undefined);
  if (shape === undefined) {
    throw new UserError("E_DATA", "raw bytes have no shape", {
      where: first.id,
      hint: "give the shape of an example, and in `preprocess` its element type",
    });
  }
  const input = tensorType("f32", shape);
  const size = product(shape);
  const values = new Float32Array(sharedBytes(4 * count * size));
  return {
    place: (example, i) => {
      if (example.data.kind !== "array" && example.data.kind !== "bytes") {
        throw misfit(example, "an array", example.data.kind, "the first example is an array");
      }
      values.set(
        preprocess(example, input, options.preprocess ?? {}).data as Float32Array,
        i * size,
      );
    },
    finish: (common) => ({ ...common, shape, values }),
  };
}

/** A source of pictures. Throws UserError when it holds something else. */
export async function readPictures(
  source: DataSource,
  options: ReadOptions = {},
): Promise<PictureSet> {
  const set = await readSet(source, options);
  if ("pixels" in set) return set;
  throw new UserError("E_DATA", "expected pictures", { where: source.description });
}

/** A source of sounds. Throws UserError when it holds something else. */
export async function readSounds(source: DataSource, options: ReadOptions = {}): Promise<SoundSet> {
  const set = await readSet(source, options);
  if ("samples" in set) return set;
  throw new UserError("E_DATA", "expected sounds", { where: source.description });
}
