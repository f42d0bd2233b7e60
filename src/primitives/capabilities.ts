/** @file What kernels are written for: register width and count of a target, and its fast products. */

export interface Capabilities {
  /** Names the target in profiles and reports. */
  readonly name: string;
  /** Width of a vector register that kernels may use, in bytes. */
  readonly vectorBytes: 16 | 32 | 64;
  /** Vector registers a kernel can hold at once. */
  readonly registers: number;
  /** Multiply and add are one instruction. */
  readonly fma: boolean;
  /** Vectors written in adjacent pairs are joined into registers of twice the width. */
  readonly pairs: boolean;
}

/** V8 on x64 gives kernels 15 of 16 registers. */
export const WASM: Capabilities = {
  name: "wasm",
  vectorBytes: 16,
  registers: 15,
  fma: true,
  pairs: false,
};
