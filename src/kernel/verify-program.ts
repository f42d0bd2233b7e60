/** @file Checks that a program is well formed: kernels, addresses, constants, ports. */
import { sizeOf } from "../tensor/dtype.ts";
import { byteSize } from "../tensor/tensor.ts";
import { InternalError } from "../util/errors.ts";
import type { Call, Program } from "./program.ts";
import { verifyKernel } from "./verify.ts";

interface Range {
  readonly what: string;
  readonly start: number;
  readonly end: number;
}

const overlaps = (a: Range, b: Range): boolean => a.start < b.end && b.start < a.end;

/**
 * Throws InternalError unless every kernel verifies, every range lies inside memory, segments, ports and
 * buffers are 16-byte aligned, constants do not overlap each other, and nothing that a kernel
 * writes overlaps a constant.
 */
export function verifyProgram(program: Program): void {
  const fail = (message: string): never => {
    throw new InternalError(`program ${program.name}: ${message}`);
  };
  const range = (what: string, start: number, bytes: number): Range => {
    if (!Number.isInteger(start) || start < 0 || start + bytes > program.memoryBytes) {
      fail(`${what} at ${start}, ${bytes} bytes, leaves memory (${program.memoryBytes} bytes)`);
    }
    if (start % 16 !== 0) fail(`${what} at ${start} is not aligned to 16`);
    return { what, start, end: start + bytes };
  };
  for (const k of program.kernels) verifyKernel(k);
  if (program.arenaBytes > program.memoryBytes) fail("the arena is larger than memory");
  const constants = program.constants
    .map((s) => range(`constant ${s.name}`, s.offset, s.bytes.length))
    .sort((a, b) => a.start - b.start);
  constants.forEach((c, i) => {
    const next = constants[i + 1];
    if (next !== undefined && overlaps(c, next)) fail(`${c.what} overlaps ${next.what}`);
  });
  const writes = (r: Range): void => {
    const hit = constants.find((c) => overlaps(c, r));
    if (hit !== undefined) fail(`${r.what} overlaps ${hit.what}`);
  };
  for (const p of program.inputs) writes(range(`input ${p.name}`, p.offset, byteSize(p.type)));
  for (const p of program.outputs) range(`output ${p.name}`, p.offset, byteSize(p.type));
  const check = (c: Call): void => {
    const kernel = program.kernels[c.kernel] ?? fail(`${c.label}: no kernel ${c.kernel}`);
    if (c.bases.length !== kernel.buffers.length || c.args.length !== kernel.args.length) {
      fail(`${c.label}: ${c.bases.length} addresses and ${c.args.length} arguments`);
    }
    kernel.buffers.forEach((b, i) => {
      const r = range(`${c.label}: ${b.name}`, c.bases[i]!, b.size * sizeOf(b.dtype));
      if (b.role === "out" || b.role === "work") writes(r);
    });
  };
  for (const c of [...program.init, ...program.steps]) check(c);
}
