/** @file Where examples come from: one interface over Parquet, image folders, npy/npz, IDX and WAV. */
import type { Tensor } from "../tensor/tensor.ts";

/** Pixels, row by row, channels innermost, 8 bits a channel. */
export interface ImageData8 {
  readonly kind: "image";
  readonly width: number;
  readonly height: number;
  readonly channels: 1 | 3 | 4;
  readonly data: Uint8Array;
}

/** Samples in [-1, 1], one channel. */
export interface AudioData {
  readonly kind: "audio";
  readonly sampleRate: number;
  readonly samples: Float32Array;
}

/** Elements with a dtype and a shape of their own. */
export interface ArrayData {
  readonly kind: "array";
  readonly tensor: Tensor;
}

/** Raw bytes whose meaning the preprocessing gives (`dtype`, `scale`, `zeroPoint`). */
export interface BytesData {
  readonly kind: "bytes";
  readonly data: Uint8Array;
}

export type ExampleData = ImageData8 | AudioData | ArrayData | BytesData;

export interface Example {
  /** Identifies the row for messages and for the check that calibration and evaluation do not overlap. */
  readonly id: string;
  readonly data: ExampleData;
  /** Class index; null when the source has no labels. */
  readonly label: number | null;
}

/** A finite, randomly accessible list of examples. */
export interface DataSource {
  /** For reports: file name and kind. */
  readonly description: string;
  readonly size: number;
  /** Class names when the source knows them. */
  readonly classes: readonly string[] | null;
  /** Examples of the rows, in the order given. */
  read(rows: readonly number[]): Promise<readonly Example[]>;
}
