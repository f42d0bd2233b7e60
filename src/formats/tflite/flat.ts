/**
 * @file Bounds-checked reading of FlatBuffers: tables are decoded into plain objects from field
 * lists kept as data. The `flatbuffers` runtime does not check offsets, so each read is checked
 * here first.
 */
import { ByteBuffer } from "flatbuffers";
import { UserError } from "../../util/errors.ts";
import { checkLimit, LIMITS } from "../limits.ts";

/** A stretch of the file. */
export interface Span {
  readonly offset: number;
  readonly length: number;
}

interface KindTypes {
  readonly bool: boolean;
  readonly i8: number;
  readonly u8: number;
  readonly i32: number;
  readonly u32: number;
  readonly u64: number;
  readonly f32: number;
  readonly string: string;
  readonly "i32[]": readonly number[];
  readonly "i64[]": readonly number[];
  readonly "f32[]": readonly number[];
  readonly "u8[]": Span | null;
  /** Position of a table, 0 when absent; unions are read as this too. */
  readonly table: number;
  readonly "table[]": readonly number[];
}
export type Kind = keyof KindTypes;

/** Field id in the schema, kind, and the default of a scalar when it is not 0. */
export type Field = readonly [id: number, kind: Kind, fallback?: number];
export type Fields = Readonly<Record<string, Field>>;
/** The object a field list decodes to. */
export type Decoded<F extends Fields> = { readonly [K in keyof F]: KindTypes[F[K][1]] };

const SCALAR_SIZE = { bool: 1, i8: 1, u8: 1, i32: 4, u32: 4, u64: 8, f32: 4 } as const;
type Scalar = keyof typeof SCALAR_SIZE;
const isScalar = (kind: Kind): kind is Scalar => Object.hasOwn(SCALAR_SIZE, kind);

/**
 * Items a file may make us decode for each of its bytes: overlapping vectors must not multiply
 * work.
 */
const ITEMS_PER_BYTE = 4;
const utf8 = new TextDecoder("utf-8", { fatal: false });

export class FlatReader {
  readonly bytes: Uint8Array;
  private readonly bb: ByteBuffer;
  private budget: number;

  constructor(bytes: Uint8Array) {
    checkLimit("file size in bytes", bytes.length, LIMITS.fileBytes);
    this.bytes = bytes;
    this.bb = new ByteBuffer(bytes);
    this.budget = bytes.length * ITEMS_PER_BYTE + 1024;
  }

  /** The position of the root table. Throws E_FORMAT when the file identifier differs. */
  root(identifier: string): number {
    this.need(0, 8);
    const got = String.fromCharCode(...this.bytes.subarray(4, 8));
    if (got !== identifier) {
      throw new UserError(
        "E_FORMAT",
        `file identifier is ${JSON.stringify(got)}, not "${identifier}"`,
      );
    }
    return this.follow(0);
  }

  /**
   * Decodes the table at `at`; absent fields take their defaults. Position 0 is the empty table.
   */
  decode<F extends Fields>(at: number, fields: F): Decoded<F> {
    const out: Record<string, unknown> = {};
    const vtable = at === 0 ? null : this.vtable(at);
    for (const [name, field] of Object.entries(fields)) {
      const slot = vtable === null ? 0 : this.slot(vtable, field[0]);
      out[name] = this.value(slot === 0 ? 0 : at + slot, field);
    }
    return out as Decoded<F>;
  }

  /** The bytes of a span: a view of the file. */
  view(span: Span): Uint8Array {
    this.need(span.offset, span.length);
    return this.bytes.subarray(span.offset, span.offset + span.length);
  }

  private need(at: number, n: number): void {
    if (!(at >= 0 && n >= 0 && at + n <= this.bytes.length)) {
      throw new UserError(
        "E_FORMAT",
        `damaged file: ${n} bytes at ${at} are outside its ${this.bytes.length}`,
      );
    }
  }

  private spend(n: number): void {
    this.budget -= n;
    if (this.budget < 0) throw new UserError("E_FORMAT", "damaged file: its tables overlap");
  }

  private u32(at: number): number {
    this.need(at, 4);
    return this.bb.readUint32(at);
  }

  /** The position a forward offset at `at` points to. */
  private follow(at: number): number {
    const to = at + this.u32(at);
    this.need(to, 4);
    return to;
  }

  private vtable(table: number): Span {
    this.need(table, 4);
    this.spend(1);
    const offset = table - this.bb.readInt32(table);
    this.need(offset, 4);
    const length = this.bb.readUint16(offset);
    this.need(offset, length);
    return { offset, length };
  }

  private slot(vtable: Span, id: number): number {
    const at = 4 + 2 * id;
    return at + 2 <= vtable.length ? this.bb.readUint16(vtable.offset + at) : 0;
  }

  private value(at: number, [, kind, fallback = 0]: Field): unknown {
    if (isScalar(kind)) {
      const n = at === 0 ? fallback : this.scalar(at, kind);
      return kind === "bool" ? n !== 0 : n;
    }
    if (kind === "table") return at === 0 ? 0 : this.follow(at);
    if (kind === "string") return at === 0 ? "" : utf8.decode(this.view(this.span(at, 1)));
    if (kind === "u8[]") return at === 0 ? null : this.span(at, 1);
    if (at === 0) return [];
    const size = kind === "i64[]" ? 8 : 4;
    const { offset, length } = this.span(at, size);
    this.spend(length);
    const items = Array.from({ length }, (_, i) => offset + i * size);
    if (kind === "table[]") return items.map((p) => this.follow(p));
    if (kind === "f32[]") return items.map((p) => this.bb.readFloat32(p));
    if (kind === "i64[]") return items.map((p) => Number(this.bb.readInt64(p)));
    return items.map((p) => this.bb.readInt32(p));
  }

  private scalar(at: number, kind: Scalar): number {
    this.need(at, SCALAR_SIZE[kind]);
    if (kind === "i32") return this.bb.readInt32(at);
    if (kind === "u32") return this.bb.readUint32(at);
    if (kind === "u64") return Number(this.bb.readUint64(at));
    if (kind === "f32") return this.bb.readFloat32(at);
    return kind === "i8" ? this.bb.readInt8(at) : this.bb.readUint8(at);
  }

  /** Offset of the first element and the number of elements of the vector that `at` points to. */
  private span(at: number, elementSize: number): Span {
    const vector = this.follow(at);
    const length = this.bb.readUint32(vector);
    this.need(vector + 4, length * elementSize);
    return { offset: vector + 4, length };
  }
}
