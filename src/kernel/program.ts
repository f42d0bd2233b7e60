/**
 * @file The plan: ordered kernel calls over one memory, with every address fixed. What runtimes execute
 * and targets emit. Addresses are byte offsets into one linear memory; buffers are 16-byte aligned.
 */
import type { TensorType } from "../tensor/tensor.ts";
import type { Kernel } from "./ir.ts";

/** Constant bytes placed in memory before anything runs. */
export interface Segment {
  readonly name: string;
  readonly offset: number;
  readonly bytes: Uint8Array;
}

/** One kernel call: a base address per buffer of the kernel and a value per scalar argument. */
export interface Call {
  /** Index into Program.kernels. */
  readonly kernel: number;
  readonly bases: readonly number[];
  /** A number, or "flip": the engine's dot8 mask (0 or 0x80808080, see Expr dot8). */
  readonly args: readonly (number | "flip")[];
  /** The layer this call computes, for profiles and reports. */
  readonly label: string;
}

/** A model input or output and where it lies in memory. */
export interface Port {
  readonly name: string;
  readonly type: TensorType;
  readonly offset: number;
}

export interface Program {
  readonly name: string;
  readonly kernels: readonly Kernel[];
  readonly constants: readonly Segment[];
  /** Runs once after loading (unpacks stored weights); must be idempotent. */
  readonly init: readonly Call[];
  /** One inference. */
  readonly steps: readonly Call[];
  readonly inputs: readonly Port[];
  readonly outputs: readonly Port[];
  /** Memory that lasts from one run to the next, in place of the inputs and outputs that stand for it. */
  readonly state?: readonly Port[];
  /** All memory the program touches, constants included. */
  readonly memoryBytes: number;
  /** The part shared by activations and scratch: the planned peak. */
  readonly arenaBytes: number;
  readonly meta: Readonly<Record<string, string>>;
}
