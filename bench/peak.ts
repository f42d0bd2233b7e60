/** @file The fused multiply-adds a core can do at best: independent chains in registers, no memory. */
import { fma, KernelBuilder } from "../src/kernel/build.ts";
import type { Kernel, KType } from "../src/kernel/ir.ts";
import type { Program } from "../src/kernel/program.ts";

/** Enough to hide the latency of one behind the others, few enough for 15 registers. */
const CHAINS = 12;
const STEPS = 20_000;

/** sums[c] = sums[c] * factor + step, STEPS times. */
function chains(lanes: number): Kernel {
  const k = new KernelBuilder("peak");
  const type = `f32x${lanes}` as KType;
  const start = k.buffer("start", "f32", (CHAINS + 2) * lanes, "in");
  const end = k.buffer("end", "f32", CHAINS * lanes, "out");
  const factor = k.reg("factor", k.load(start, CHAINS * lanes, type));
  const step = k.reg("step", k.load(start, (CHAINS + 1) * lanes, type));
  const sums = Array.from({ length: CHAINS }, (_, c) =>
    k.reg(`sum${c}`, k.load(start, c * lanes, type)),
  );
  k.for("i", 0, STEPS, () => {
    for (const sum of sums) k.set(sum, fma(sum, factor, step));
  });
  sums.forEach((sum, c) => {
    k.store(end, c * lanes, sum);
  });
  return k.build();
}

/** A program of the chains alone. */
export function peakProgram(lanes: number): Program {
  const kernel = chains(lanes);
  const [inCount, outCount] = [(CHAINS + 2) * lanes, CHAINS * lanes];
  const [x, y] = [64, 64 + 4 * inCount];
  const memoryBytes = y + 4 * outCount;
  return {
    name: "peak",
    kernels: [kernel],
    constants: [],
    init: [],
    steps: [{ kernel: 0, bases: [x, y], args: [], label: "peak" }],
    inputs: [{ name: "start", type: { dtype: "f32", shape: [inCount] }, offset: x }],
    outputs: [{ name: "end", type: { dtype: "f32", shape: [outCount] }, offset: y }],
    memoryBytes,
    arenaBytes: memoryBytes - x,
    meta: {},
  };
}

/** Floating-point operations of one run. */
export const peakFlops = (lanes: number): number => 2 * lanes * CHAINS * STEPS;
