/** @file What kernels are written for: register width and count of a target, and its fast products. */

export interface Capabilities {
  /** Names the target in profiles and reports. */
  readonly name: string;
  /** Width of a vector register that kernels may use, in bytes. */
  readonly vectorBytes: 16 | 32 | 64;
  /** Vector registers a kernel can hold at once. */
  readonly registers: number;
  /** Multiply and add are one instruction: on all engines of the target, on some (kernel forms), on none. */
  readonly fma: "all" | "some" | "none";
  /** Exact sums of four 8-bit products are one instruction: as for fma. */
  readonly dot8: "all" | "some" | "none";
  /**
   * Constants that are mostly zeros are stored without them and written out when a model is loaded: a small file for
   * more memory. Otherwise kernels read constants where they are stored.
   */
  readonly unpacks: boolean;
}

/** V8 on x64 gives kernels 15 of 16 registers. */
export const WASM: Capabilities = {
  name: "wasm",
  vectorBytes: 16,
  registers: 15,
  fma: "some",
  dot8: "some",
  unpacks: true,
};

/**
 * V8 with its re-vectoriser: the back end writes vectors of 32 bytes as adjacent pairs, which V8 joins. Other
 * engines run the same module, slower than one made for WASM.
 */
export const WASM256: Capabilities = { ...WASM, name: "wasm256", vectorBytes: 32 };

/** C for a processor, as src/targets/c/cpu.ts describes it. Portable C may meet one without fused multiply-add. */
export const capsOfCpu = (cpu: {
  readonly name: string;
  readonly vectorBytes: Capabilities["vectorBytes"];
  readonly registers: number;
  readonly dot8: boolean;
}): Capabilities => ({
  name: `c-${cpu.name}`,
  vectorBytes: cpu.vectorBytes,
  registers: cpu.registers,
  fma: cpu.name === "portable" ? "some" : "all",
  dot8: cpu.dot8 ? "all" : "none",
  unpacks: false,
});
