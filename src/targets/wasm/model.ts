/** @file A running model as its user sees it, in Node and in browsers. */

/** A model input or output. f16 and bf16 elements are Uint16Array bits; bool is a Uint8Array of 0 and 1. */
export interface ModelPort {
  readonly name: string;
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly quant?: {
    readonly scale: readonly number[];
    readonly zeroPoint: readonly number[];
    readonly axis: number | null;
  };
  /** Number of elements. */
  readonly length: number;
}

export type ModelArray =
  | Float32Array
  | Float64Array
  | Int8Array
  | Uint8Array
  | Uint8ClampedArray
  | Int16Array
  | Uint16Array
  | Int32Array
  | Uint32Array
  | BigInt64Array
  | BigUint64Array;

export type ModelFeeds = Readonly<Record<string, ModelArray>> | readonly ModelArray[];

export interface ModelInstance {
  /** "base", "fma" or "dot8": which instructions the engine allowed. */
  readonly variant: string;
  /** How many threads compute; 1 where there can be no more, `note` then says why. */
  readonly threads: number;
  readonly note?: string;
  readonly memory: WebAssembly.Memory;
  readonly inputs: readonly ModelPort[];
  readonly outputs: readonly ModelPort[];
  /** Number of steps of one inference. */
  readonly steps: number;
  /** Runs one step on the memory as it is. */
  readonly step: (index: number) => void;
  /** Runs all steps on the memory as it is. */
  readonly execute: () => void;
  /** Copies inputs into memory. */
  readonly write: (feeds: ModelFeeds) => void;
  /** Copies outputs into new arrays, or into those given. */
  readonly read: (into?: Readonly<Record<string, ModelArray>>) => Record<string, ModelArray>;
  /** Ends the other threads; the model cannot be used any more. */
  readonly close: () => void;
  /** write, execute, read. */
  readonly run: (
    feeds: ModelFeeds,
    into?: Readonly<Record<string, ModelArray>>,
  ) => Record<string, ModelArray>;
}
