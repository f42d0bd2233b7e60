/**
 * @file Where a program's memory lies in C: constants that only kernels read stay in the const tables; all
 * else becomes one arena without gaps. Overlaps between buffers are kept.
 */
import type { Call, Port, Program, Segment } from "../../kernel/program.ts";
import { sizeOf } from "../../tensor/dtype.ts";
import { byteSize } from "../../tensor/tensor.ts";
import { invariant } from "../../util/errors.ts";
import { alignUp } from "../../util/math.ts";
import { writtenBuffers } from "./kernel.ts";

/** A place: in a constant segment, or in the arena. */
export type Place =
  | { readonly segment: number; readonly offset: number }
  | { readonly segment: null; readonly offset: number };

export interface Layout {
  /** The place of `bytes` bytes at a program address. */
  place(address: number, bytes: number): Place;
  readonly arenaBytes: number;
  /** Segments used in place or copied. */
  readonly used: readonly number[];
  /** Segments that init copies into the arena, because kernels write to them. */
  readonly copied: readonly { readonly segment: number; readonly offset: number }[];
}

interface Stretch {
  readonly begin: number;
  readonly end: number;
}

interface Use extends Stretch {
  readonly written: boolean;
}

/** Byte ranges of the buffers of a call, in order. */
export function callUses(program: Program, call: Call): readonly Use[] {
  const kernel = program.kernels[call.kernel];
  invariant(kernel !== undefined, () => `program ${program.name}: no kernel ${call.kernel}`);
  const written = writtenBuffers(kernel);
  return kernel.buffers.map((b, i) => {
    const begin = call.bases[i]!;
    return { begin, end: begin + b.size * sizeOf(b.dtype), written: written.has(b.name) };
  });
}

const portUse = (p: Port, written: boolean): Use => ({
  begin: p.offset,
  end: p.offset + byteSize(p.type),
  written,
});

const overlap = (a: Stretch, b: Stretch): boolean => a.begin < b.end && b.begin < a.end;
const segmentRange = (s: Segment): Stretch => ({ begin: s.offset, end: s.offset + s.bytes.length });
const inside = (a: Stretch, b: Stretch): boolean => a.begin >= b.begin && a.end <= b.end;

/** Overlapping or touching ranges joined, in order. */
function joined(ranges: readonly Stretch[]): Stretch[] {
  const out: Stretch[] = [];
  for (const r of [...ranges].sort((a, b) => a.begin - b.begin)) {
    const last = out.at(-1);
    if (last !== undefined && r.begin <= last.end) {
      out[out.length - 1] = { begin: last.begin, end: Math.max(last.end, r.end) };
    } else out.push(r);
  }
  return out;
}

/** Segments that cannot stay where they are: written to, or only part of what a buffer covers. */
function movedSegments(program: Program, uses: readonly Use[]): Set<number> {
  const moved = new Set<number>();
  for (;;) {
    const arena = uses.filter(
      (u) =>
        u.written || !program.constants.some((s, i) => !moved.has(i) && inside(u, segmentRange(s))),
    );
    const more = program.constants.flatMap((s, i) =>
      !moved.has(i) && arena.some((u) => overlap(u, segmentRange(s))) ? [i] : [],
    );
    if (more.length === 0) return moved;
    for (const i of more) moved.add(i);
  }
}

/** `align`: a power of two, at least 16; places keep what alignment their addresses have up to it. */
export function planLayout(program: Program, align = 16): Layout {
  const uses = [
    ...[...program.init, ...program.steps].flatMap((c) => callUses(program, c)),
    ...program.inputs.map((p) => portUse(p, true)),
    ...program.outputs.map((p) => portUse(p, false)),
    ...(program.state ?? []).map((p) => portUse(p, true)),
  ].filter((u) => u.end > u.begin);
  const moved = movedSegments(program, uses);
  const fixed = program.constants.flatMap((s, i) =>
    moved.has(i) || s.bytes.length === 0 ? [] : [{ ...segmentRange(s), segment: i }],
  );
  const holder = (u: Stretch): (typeof fixed)[number] | undefined =>
    fixed.find((s) => inside(u, s));
  const stretches = joined([
    ...uses.filter((u) => holder(u) === undefined),
    ...[...moved].map((i) => segmentRange(program.constants[i]!)),
  ]);
  const starts: number[] = [];
  let arenaBytes = 0;
  for (const s of stretches) {
    starts.push(arenaBytes + (s.begin % align));
    arenaBytes = alignUp(arenaBytes + (s.begin % align) + (s.end - s.begin), align);
  }
  const inArena = (u: Stretch): number => {
    const i = stretches.findIndex((s) => inside(u, s));
    return i < 0 ? 0 : starts[i]! + u.begin - stretches[i]!.begin;
  };
  const used = fixed.filter((f) => uses.some((u) => inside(u, f))).map((f) => f.segment);
  return {
    place: (address, bytes) => {
      const u = { begin: address, end: address + bytes };
      const home = bytes === 0 ? undefined : holder(u);
      if (home !== undefined) return { segment: home.segment, offset: address - home.begin };
      return { segment: null, offset: inArena(u) };
    },
    arenaBytes: Math.max(arenaBytes, align),
    used: [...used, ...moved].sort((a, b) => a - b),
    copied: [...moved].map((i) => ({
      segment: i,
      offset: inArena(segmentRange(program.constants[i]!)),
    })),
  };
}
