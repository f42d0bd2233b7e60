/** @file The WebAssembly binary format: LEB128 numbers, sections and whole modules. Source: core spec, chapter 5. */

export type ValType = "i32" | "i64" | "f32" | "f64" | "v128";

export const VAL_TYPES: Readonly<Record<ValType, number>> = {
  i32: 0x7f,
  i64: 0x7e,
  f32: 0x7d,
  f64: 0x7c,
  v128: 0x7b,
};

export interface FuncType {
  readonly params: readonly ValType[];
  readonly results: readonly ValType[];
}

/** A growing byte buffer. */
export class ByteSink {
  private buffer = new Uint8Array(256);
  length = 0;

  private reserve(n: number): void {
    if (this.length + n <= this.buffer.length) return;
    const grown = new Uint8Array(Math.max(this.buffer.length * 2, this.length + n));
    grown.set(this.buffer.subarray(0, this.length));
    this.buffer = grown;
  }

  byte(value: number): this {
    this.reserve(1);
    this.buffer[this.length++] = value;
    return this;
  }

  bytes(values: ArrayLike<number>): this {
    this.reserve(values.length);
    this.buffer.set(values, this.length);
    this.length += values.length;
    return this;
  }

  /** Unsigned LEB128 of an integer in 0 .. 2^32-1. */
  leb(value: number): this {
    return this.bytes(leb(value));
  }

  /** UTF-8 text preceded by its byte length. */
  text(value: string): this {
    const utf8 = new TextEncoder().encode(value);
    return this.leb(utf8.length).bytes(utf8);
  }

  take(): Uint8Array {
    return this.buffer.slice(0, this.length);
  }
}

/** Unsigned LEB128 of an integer in 0 .. 2^32-1. */
export function leb(value: number): number[] {
  const out: number[] = [];
  let rest = value >>> 0;
  do {
    const low = rest & 127;
    rest >>>= 7;
    out.push(rest === 0 ? low : low | 128);
  } while (rest !== 0);
  return out;
}

/** Signed LEB128 of an i32 or i64; larger values wrap to 64 bits. */
export function sleb(value: number | bigint): number[] {
  let rest = typeof value === "bigint" ? BigInt.asIntN(64, value) : BigInt(value | 0);
  const out: number[] = [];
  for (;;) {
    const low = Number(rest & 127n);
    rest >>= 7n;
    if (rest === ((low & 64) !== 0 ? -1n : 0n)) {
      out.push(low);
      return out;
    }
    out.push(low | 128);
  }
}

/** Little-endian bytes of a float. */
export function floatBytes(value: number, size: 4 | 8): number[] {
  const view = new DataView(new ArrayBuffer(8));
  if (size === 4) view.setFloat32(0, value, true);
  else view.setFloat64(0, value, true);
  return Array.from(new Uint8Array(view.buffer, 0, size));
}

export const SECTION = {
  custom: 0,
  type: 1,
  import: 2,
  function: 3,
  memory: 5,
  global: 6,
  export: 7,
  code: 10,
  data: 11,
} as const;

export const MODULE_HEADER: readonly number[] = [0, 0x61, 0x73, 0x6d, 1, 0, 0, 0];

export function section(id: number, payload: Uint8Array): Uint8Array {
  return new ByteSink().byte(id).leb(payload.length).bytes(payload).take();
}

/** The items preceded by their count. */
export function vector(items: readonly ArrayLike<number>[]): Uint8Array {
  const sink = new ByteSink().leb(items.length);
  for (const item of items) sink.bytes(item);
  return sink.take();
}

/** Bytes preceded by their length: a function body, a string of bytes. */
export const sized = (bytes: ArrayLike<number>): Uint8Array =>
  new ByteSink().leb(bytes.length).bytes(bytes).take();

export function customSection(name: string, payload: Uint8Array): Uint8Array {
  return section(SECTION.custom, new ByteSink().text(name).bytes(payload).take());
}

export const typeSection = (types: readonly FuncType[]): Uint8Array =>
  section(
    SECTION.type,
    vector(
      types.map((t) => [
        0x60,
        ...leb(t.params.length),
        ...t.params.map((p) => VAL_TYPES[p]),
        ...leb(t.results.length),
        ...t.results.map((r) => VAL_TYPES[r]),
      ]),
    ),
  );

export const EXPORT_KIND = { function: 0, memory: 2, global: 3 } as const;

export interface Export {
  readonly name: string;
  readonly kind: keyof typeof EXPORT_KIND;
  readonly index: number;
}

export const exportSection = (exports: readonly Export[]): Uint8Array =>
  section(
    SECTION.export,
    vector(
      exports.map((e) => new ByteSink().text(e.name).byte(EXPORT_KIND[e.kind]).leb(e.index).take()),
    ),
  );

/** One active data segment of memory 0. */
export const dataSegment = (offset: number, bytes: Uint8Array): Uint8Array =>
  new ByteSink()
    .bytes([0, 0x41, ...sleb(offset), 0x0b])
    .leb(bytes.length)
    .bytes(bytes)
    .take();
