/**
 * @file A program for several threads: which of its kernels are computed in parts, and where each thread
 * has its scratch. The rule is fixed, so that any number of threads gives the same bytes.
 */
import { sizeOf } from "../tensor/dtype.ts";
import { alignUp } from "../util/math.ts";
import { effortOf, worthSharing } from "./effort.ts";
import type { Kernel } from "./ir.ts";
import type { Call, Program } from "./program.ts";
import { splitKernel } from "./split.ts";

/** Offsets in a thread's scratch of the kernel's "work" buffers; null for other buffers. */
export type Scratch = readonly (number | null)[];

export interface SharedProgram {
  /** The program with shared kernels split; their calls compute the whole, part 0 of 1. */
  readonly program: Program;
  /** By kernel: null for one that a single thread runs. */
  readonly scratch: readonly (Scratch | null)[];
  /** Scratch of each thread, beyond the program's memory. */
  readonly scratchBytes: number;
}

/** Scratch of different threads keeps this distance, so that they do not share cache lines. */
const LINE = 128;

/** Operations of an inference, about a third of a millisecond, below which waking threads costs more than they save. */
const LEAST_PROGRAM = 4_000_000;

/** Whether an inference has enough work that threads can share. */
export function worthThreads(program: Program): boolean {
  const shared = program.kernels.map((k) => (worthSharing(k) ? effortOf(k) : 0));
  return program.steps.reduce((sum, c) => sum + shared[c.kernel]!, 0) >= LEAST_PROGRAM;
}

function scratchOf(kernel: Kernel): { readonly offsets: Scratch; readonly bytes: number } {
  let bytes = 0;
  const offsets = kernel.buffers.map((b) => {
    if (b.role !== "work") return null;
    const at = bytes;
    bytes += alignUp(b.size * sizeOf(b.dtype), LINE);
    return at;
  });
  return { offsets, bytes };
}

/**
 * The program for threads, or null when nothing in it is worth sharing. `all`: everything that can be
 * shared is, for tests.
 */
export function shareProgram(program: Program, all = false): SharedProgram | null {
  const splits = program.kernels.map((k) => (all || worthSharing(k) ? splitKernel(k) : null));
  if (all ? splits.every((k) => k === null) : !worthThreads(program)) return null;
  const whole = (c: Call): Call =>
    splits[c.kernel] === null ? c : { ...c, args: [...c.args, 0, 1] };
  const places = splits.map((k) => (k === null ? null : scratchOf(k)));
  return {
    program: {
      ...program,
      kernels: program.kernels.map((k, i) => splits[i] ?? k),
      init: program.init.map(whole),
      steps: program.steps.map(whole),
    },
    scratch: places.map((p) => p?.offsets ?? null),
    scratchBytes: Math.max(0, ...places.map((p) => p?.bytes ?? 0)),
  };
}
