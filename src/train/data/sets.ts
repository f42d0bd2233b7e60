/** @file Examples that are whole in memory, as batches take them: pictures, sounds, and arrays of one shape. */
import { UserError } from "../../util/errors.ts";

interface Labelled {
  readonly count: number;
  /** 0: the examples have no labels, and batches no targets. */
  readonly classes: number;
  /** The class of each example; empty without labels. */
  readonly labels: ArrayLike<number>;
}

/** Pictures of one size as bytes [count, height, width, channels]. */
export interface PictureSet extends Labelled {
  readonly height: number;
  readonly width: number;
  readonly channels: number;
  readonly pixels: Uint8Array;
}

/** Sounds of any length, one after the other; sound i is samples starts[i] to starts[i + 1]. */
export interface SoundSet extends Labelled {
  /** Samples a second. */
  readonly sampleRate: number;
  readonly starts: Int32Array;
  readonly samples: Float32Array;
}

/** Arrays of one shape: values [count, ...shape]. */
export interface ArraySet extends Labelled {
  readonly shape: readonly number[];
  readonly values: Float32Array;
}

export type ExampleSet = PictureSet | SoundSet | ArraySet;

/** The examples of these rows, in their order, as a set of their own. Throws UserError for a row there is not. */
export function subset<S extends ExampleSet>(set: S, rows: readonly number[]): S {
  const bad = rows.find((r) => !Number.isInteger(r) || r < 0 || r >= set.count);
  if (bad !== undefined) {
    throw new UserError("E_DATA", `no example ${bad}; the set has ${set.count}`, {
      hint: "rows count from 0",
    });
  }
  const labels = set.labels.length === 0 ? [] : rows.map((r) => set.labels[r]!);
  const common = { count: rows.length, labels: Int32Array.from(labels) };
  if ("pixels" in set) {
    const size = set.height * set.width * set.channels;
    return { ...set, ...common, pixels: taken(set.pixels, rows, size) };
  }
  if ("values" in set) {
    const size = set.shape.reduce((a, b) => a * b, 1);
    return { ...set, ...common, values: taken(set.values, rows, size) };
  }
  return { ...set, ...common, ...joined(rows.map((r) => soundOf(set, r))) };
}

function taken<T extends Uint8Array | Float32Array>(
  from: T,
  rows: readonly number[],
  size: number,
): T {
  const bytes = rows.length * size * from.BYTES_PER_ELEMENT;
  const Kind = from.constructor as new (buffer: ArrayBufferLike) => T;
  const to = new Kind(sharedBytes(bytes));
  rows.forEach((r, i) => to.set(from.subarray(r * size, (r + 1) * size), i * size));
  return to;
}

/** The samples of one sound, where they lie. */
export const soundOf = ({ samples, starts }: SoundSet, row: number): Float32Array =>
  samples.subarray(starts[row]!, starts[row + 1]!);

/** Sounds one after the other. */
export function joined(sounds: readonly Float32Array[]): Pick<SoundSet, "samples" | "starts"> {
  const starts = new Int32Array(sharedBytes(4 * (sounds.length + 1)));
  sounds.forEach((s, i) => {
    starts[i + 1] = starts[i]! + s.length;
  });
  const samples = new Float32Array(sharedBytes(4 * starts[sounds.length]!));
  sounds.forEach((s, i) => samples.set(s, starts[i]!));
  return { samples, starts };
}

/** Memory that workers can share, where there is such; zeros. */
export function sharedBytes(bytes: number): ArrayBufferLike {
  return typeof SharedArrayBuffer === "undefined"
    ? new ArrayBuffer(bytes)
    : new SharedArrayBuffer(bytes);
}

/** The same set in memory that workers share; what is there already is not copied. */
export function sharedSet<S extends ExampleSet>(set: S): S {
  const shared = <T extends Uint8Array | Float32Array | Int32Array>(from: T): T => {
    if (from.buffer instanceof SharedArrayBuffer) return from;
    const Kind = from.constructor as new (buffer: ArrayBufferLike) => T;
    const to = new Kind(new SharedArrayBuffer(from.byteLength));
    to.set(from);
    return to;
  };
  const labels = shared(Int32Array.from(set.labels));
  if ("pixels" in set) return { ...set, labels, pixels: shared(set.pixels) };
  if ("values" in set) return { ...set, labels, values: shared(set.values) };
  return { ...set, labels, samples: shared(set.samples), starts: shared(set.starts) };
}
