/** @file The loader's part that takes modules apart and puts them together; under the rules of loader.ts. */
import type { Loader } from "./loader.ts";

/** A position in the bytes being read. */
export interface Cursor {
  readonly bytes: Uint8Array;
  at: number;
}

export type Range = readonly [begin: number, end: number];

export interface Sections {
  /** Payloads of custom sections by name. */
  readonly custom: ReadonlyMap<string, Range>;
  /** All other sections, whole. */
  readonly kept: readonly Range[];
  readonly code: Range;
  readonly data?: Range;
}

/** Reads an unsigned LEB128 number. */
function leb(c: Cursor): number {
  let value = 0;
  for (let shift = 0; ; shift += 7) {
    const byte = c.bytes[c.at++] as number;
    value += (byte & 127) * 2 ** shift;
    if (byte < 128) return value;
  }
}

/** Bytes preceded by their length, the length included. */
function sized(l: Loader, c: Cursor): Uint8Array {
  const start = c.at;
  const size = l.leb(c);
  c.at += size;
  return c.bytes.subarray(start, c.at);
}

function join(pieces: readonly ArrayLike<number>[]): Uint8Array<ArrayBuffer> {
  const out = new Uint8Array(pieces.reduce((sum, p) => sum + p.length, 0));
  let to = 0;
  for (const piece of pieces) {
    out.set(piece, to);
    to += piece.length;
  }
  return out;
}

function sections(l: Loader, wasm: Uint8Array): Sections {
  const custom = new Map<string, Range>();
  const kept: Range[] = [];
  let code: Range = [0, 0];
  let data: Range | undefined;
  const c = { bytes: wasm, at: 8 };
  while (c.at < wasm.length) {
    const start = c.at;
    const id = wasm[c.at++];
    const size = l.leb(c);
    const end = c.at + size;
    if (id === 0) {
      const length = l.leb(c);
      const name = new TextDecoder().decode(wasm.subarray(c.at, c.at + length));
      custom.set(name, [c.at + length, end]);
    } else {
      const section: Range = [start, end];
      if (id === 10) code = section;
      if (id === 11) data = section;
      kept.push(section);
    }
    c.at = end;
  }
  return { custom, kept, code, ...(data && { data }) };
}

/** The module with the function bodies of `patches`: [count, (index, body)...]. */
function patch(
  l: Loader,
  wasm: Uint8Array,
  { kept, code }: Sections,
  patches: Range,
): Uint8Array<ArrayBuffer> {
  const bodies = new Map<number, Uint8Array>();
  const c = { bytes: wasm, at: patches[0] };
  for (let n = l.leb(c); n > 0; n--) bodies.set(l.leb(c), l.sized(l, c));
  c.at = code[0] + 1;
  l.leb(c);
  const countAt = c.at;
  const count = l.leb(c);
  const parts = [wasm.subarray(countAt, c.at)];
  for (let i = 0; i < count; i++) {
    const original = l.sized(l, c);
    parts.push(bodies.get(i) ?? original);
  }
  const size = parts.reduce((sum, p) => sum + p.length, 0);
  const header = [10];
  for (let rest = size; ; rest >>>= 7) {
    header.push(rest < 128 ? rest : (rest & 127) | 128);
    if (rest < 128) break;
  }
  const section = [header, ...parts];
  return l.join([
    wasm.subarray(0, 8),
    ...kept.flatMap((range) => (range === code ? section : [wasm.subarray(...range)])),
  ]);
}

export const MODULE_BYTES = { leb, sized, join, sections, patch };
