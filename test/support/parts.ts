/** @file Checks what `parallel` promises: a kernel computed in parts, in any order, gives the same bytes. */
import assert from "node:assert/strict";
import { type InterpretOptions, interpretKernel } from "../../src/kernel/interpret.ts";
import { FLIP } from "../../src/kernel/interpret-program.ts";
import type { Kernel } from "../../src/kernel/ir.ts";
import type { Program } from "../../src/kernel/program.ts";
import { parallelTrips, splitKernel } from "../../src/kernel/split.ts";
import { verifyKernel } from "../../src/kernel/verify.ts";
import { sizeOf } from "../../src/tensor/dtype.ts";
import { makeRng } from "../../src/util/rng.ts";

/** More parts than this are not tried: they take long and show nothing new. */
const MOST_PARTS = 12;

/** Few parts backwards, many in a random order. */
function orderOf(parts: number): number[] {
  const order = Array.from({ length: parts }, (_, i) => parts - 1 - i);
  if (parts <= 3) return order;
  const rng = makeRng(parts);
  for (let i = parts - 1; i > 0; i--) {
    const j = rng.int(i + 1);
    [order[i], order[j]] = [order[j]!, order[i]!];
  }
  return order;
}

/** Fills the scratch of a kernel with bytes that no computation would leave there. */
function poison(kernel: Kernel, bytes: Uint8Array, bases: readonly number[], value: number): void {
  kernel.buffers.forEach((b, i) => {
    if (b.role === "work") bytes.fill(value, bases[i]!, bases[i]! + b.size * sizeOf(b.dtype));
  });
}

/**
 * Asserts that the parts of a kernel, each with undefined scratch, turn memory `before` into what the
 * whole kernel made of it, `after`; scratch is not compared. Gives the number of ways tried.
 */
export function assertPartsAgree(
  kernel: Kernel,
  before: ArrayBuffer,
  after: ArrayBuffer,
  bases: readonly number[],
  args: readonly (number | bigint)[] = [],
  options: InterpretOptions = {},
): number {
  const split = splitKernel(kernel);
  if (split === null) return 0;
  verifyKernel(split);
  const want = new Uint8Array(after.slice(0));
  poison(kernel, want, bases, 0);
  const counts = new Set([2, 3, Math.min(MOST_PARTS, parallelTrips(kernel) + 1)]);
  let tried = 0;
  for (const parts of counts) {
    const order = orderOf(parts);
    const memory = before.slice(0);
    const bytes = new Uint8Array(memory);
    order.forEach((part, turn) => {
      poison(kernel, bytes, bases, 0x7f - turn);
      interpretKernel(split, memory, bases, [...args, part, parts], options);
    });
    poison(kernel, bytes, bases, 0);
    assert.deepEqual(bytes, want, `${kernel.name} in ${parts} parts, order ${order}`);
    tried++;
  }
  return tried;
}

/** Checks every call of a program; `memory` has the constants and inputs. Gives the number of calls split. */
export function assertProgramPartsAgree(
  program: Program,
  memory: ArrayBuffer,
  options: InterpretOptions = {},
): number {
  let split = 0;
  for (const call of [...program.init, ...program.steps]) {
    const kernel = program.kernels[call.kernel]!;
    const flips = kernel.forms?.dot8 === undefined || options.variant === "dot8";
    const mask = flips ? FLIP[options.dot8 ?? "signed"] : 0;
    const args = call.args.map((a) => (a === "flip" ? mask : a));
    const before = memory.slice(0);
    interpretKernel(kernel, memory, call.bases, args, options);
    if (assertPartsAgree(kernel, before, memory, call.bases, args, options) > 0) split++;
  }
  return split;
}
