/**
 * @file Protocol Buffers driven by tables: one table per message says which field is what. Reading
 * takes views of the file, never copies of large data, and treats the file as hostile.
 */
import { BinaryReader, BinaryWriter, WireType } from "@bufbuild/protobuf/wire";
import { UserError } from "../../util/errors.ts";
import { checkLimit, LIMITS } from "../limits.ts";

/** The type of a field; a plural name is a repeated field, a capital one lands in a typed array. */
export type FieldType =
  | "int"
  | "optionalInt"
  | "float"
  | "string"
  | "bytes"
  | "ints"
  | "floats"
  | "strings"
  | "chunks"
  | "F32s"
  | "F64s"
  | "I32s"
  | "I64s"
  | "U64s";

export interface MessageField<T> {
  readonly no: number;
  readonly message: () => Schema<T>;
  readonly repeated: boolean;
}
export interface ScalarField {
  readonly no: number;
  readonly type: FieldType;
}
export type Field = ScalarField | MessageField<object>;

/** A message type: its fields by property name. */
export interface Schema<T> {
  readonly name: string;
  readonly fields: { readonly [K in keyof T]-?: Field };
}

type Numbers = Float32Array | Float64Array | Int32Array | BigInt64Array | BigUint64Array;
type NumberListType = "F32s" | "F64s" | "I32s" | "I64s" | "U64s";

const EMPTY: Readonly<Record<FieldType, () => unknown>> = {
  int: () => 0,
  optionalInt: () => undefined,
  float: () => 0,
  string: () => "",
  bytes: () => undefined,
  ints: () => [],
  floats: () => [],
  strings: () => [],
  chunks: () => [],
  F32s: () => undefined,
  F64s: () => undefined,
  I32s: () => undefined,
  I64s: () => undefined,
  U64s: () => undefined,
};

const malformed = (where: string, why: string): UserError =>
  new UserError("E_FORMAT", `${where}: not a valid message (${why})`, {
    where,
    hint: "the file is truncated, damaged or not ONNX",
  });

const fieldMaps = new WeakMap<object, Map<number, readonly [string, Field]>>();

function fieldsByNumber(schema: Schema<never>): Map<number, readonly [string, Field]> {
  let map = fieldMaps.get(schema);
  if (map === undefined) {
    const entries = Object.entries<Field>(schema.fields);
    map = new Map(entries.map(([name, field]) => [field.no, [name, field] as const]));
    fieldMaps.set(schema, map);
  }
  return map;
}

function emptyMessage(schema: Schema<never>): Record<string, unknown> {
  const out: Record<string, unknown> = {};
  for (const [name, field] of Object.entries<Field>(schema.fields)) {
    out[name] = "message" in field ? (field.repeated ? [] : undefined) : EMPTY[field.type]();
  }
  return out;
}

/** Decodes a message. Throws UserError E_FORMAT or E_LIMIT naming the place. */
export function decodeMessage<T>(
  schema: Schema<T>,
  bytes: Uint8Array,
  where: string,
  depth = 0,
): T {
  checkLimit("nesting of messages", depth, LIMITS.depth, where);
  const untyped = schema as unknown as Schema<never>;
  const out = emptyMessage(untyped);
  const byNumber = fieldsByNumber(untyped);
  const reader = new BinaryReader(bytes);
  try {
    while (reader.pos < reader.len) {
      const [no, wire] = reader.tag();
      const known = byNumber.get(no);
      if (known === undefined) reader.skip(wire, no);
      else readField(reader, wire, out, known[0], known[1], where, depth);
    }
  } catch (error) {
    if (error instanceof UserError) throw error;
    throw malformed(where, `${(error as Error).message} at byte ${reader.pos} of ${schema.name}`);
  }
  if (reader.pos > reader.len) throw malformed(where, `${schema.name} is truncated`);
  return out as T;
}

function readField(
  reader: BinaryReader,
  wire: WireType,
  out: Record<string, unknown>,
  name: string,
  field: Field,
  where: string,
  depth: number,
): void {
  const place = `${where}.${name}`;
  if ("message" in field) {
    expectWire(wire, WireType.LengthDelimited, place);
    const list = field.repeated ? (out[name] as unknown[]) : null;
    const inner = list === null ? place : `${place}[${list.length}]`;
    const value = decodeMessage(field.message(), reader.bytes(), inner, depth + 1);
    if (list === null) out[name] = value;
    else pushLimited(list, value, place);
    return;
  }
  switch (field.type) {
    case "int":
    case "optionalInt":
      expectWire(wire, WireType.Varint, place);
      out[name] = Number(reader.int64());
      return;
    case "float":
      expectWire(wire, WireType.Bit32, place);
      out[name] = readFloat(reader);
      return;
    case "string":
      out[name] = readString(reader, wire, place);
      return;
    case "bytes":
      expectWire(wire, WireType.LengthDelimited, place);
      out[name] = reader.bytes();
      return;
    case "strings":
      pushLimited(out[name] as string[], readString(reader, wire, place), place);
      return;
    case "chunks":
      expectWire(wire, WireType.LengthDelimited, place);
      pushLimited(out[name] as Uint8Array[], reader.bytes(), place);
      return;
    case "ints":
      for (const x of readNumbers(reader, wire, "I64s", place)) {
        pushLimited(out[name] as number[], Number(x), place);
      }
      return;
    case "floats":
      for (const x of readNumbers(reader, wire, "F32s", place)) {
        pushLimited(out[name] as number[], Number(x), place);
      }
      return;
    default:
      out[name] = joined(out[name], readNumbers(reader, wire, field.type, place), place);
  }
}

function expectWire(got: WireType, want: WireType, where: string): void {
  if (got !== want) throw malformed(where, `wire type ${got} instead of ${want}`);
}

function pushLimited<T>(list: T[], value: T, where: string): void {
  list.push(value);
  checkLimit("entries of a list", list.length, LIMITS.entries, where);
}

function readFloat(reader: BinaryReader): number {
  if (reader.pos + 4 > reader.len) throw new RangeError("premature EOF");
  return reader.float();
}

function readString(reader: BinaryReader, wire: WireType, where: string): string {
  expectWire(wire, WireType.LengthDelimited, where);
  const bytes = reader.bytes();
  checkLimit("bytes of a text", bytes.length, LIMITS.textBytes, where);
  return new TextDecoder().decode(bytes);
}

const FIXED = { F32s: 4, F64s: 8 } as const;

/** One packed run, or the single element of an unpacked field. */
function readNumbers(
  reader: BinaryReader,
  wire: WireType,
  type: NumberListType,
  where: string,
): Numbers {
  if (type === "F32s" || type === "F64s") {
    const size = FIXED[type];
    if (wire !== WireType.LengthDelimited) {
      expectWire(wire, size === 4 ? WireType.Bit32 : WireType.Bit64, where);
      if (reader.pos + size > reader.len) throw new RangeError("premature EOF");
      return size === 4 ? Float32Array.of(reader.float()) : Float64Array.of(reader.double());
    }
    const bytes = reader.bytes();
    if (bytes.length % size !== 0) throw malformed(where, "a number is cut off");
    const { buffer } = new Uint8Array(bytes);
    return size === 4 ? new Float32Array(buffer) : new Float64Array(buffer);
  }
  if (wire === WireType.LengthDelimited) return readVarints(reader.bytes(), type);
  expectWire(wire, WireType.Varint, where);
  return oneVarint(reader, type);
}

function oneVarint(reader: BinaryReader, type: NumberListType): Numbers {
  if (type === "I32s") return Int32Array.of(reader.int32());
  if (type === "I64s") return BigInt64Array.of(BigInt(reader.int64()));
  return BigUint64Array.of(BigInt(reader.uint64()));
}

function readVarints(bytes: Uint8Array, type: NumberListType): Numbers {
  const reader = new BinaryReader(bytes);
  let count = 0;
  for (const byte of bytes) if (byte < 0x80) count++;
  if (type === "I32s") {
    const out = new Int32Array(count);
    for (let i = 0; reader.pos < reader.len; i++) out[i] = reader.int32();
    return out;
  }
  const out = type === "I64s" ? new BigInt64Array(count) : new BigUint64Array(count);
  const next = type === "I64s" ? () => reader.int64() : () => reader.uint64();
  for (let i = 0; reader.pos < reader.len; i++) out[i] = BigInt(next());
  return out;
}

function joined(before: unknown, more: Numbers, where: string): Numbers {
  if (before === undefined) return more;
  const first = before as Numbers;
  checkLimit("unpacked numbers", first.length + more.length, LIMITS.entries, where);
  const ctor = more.constructor as new (n: number) => Numbers;
  const out = new ctor(first.length + more.length);
  (out as Float32Array).set(first as Float32Array);
  (out as Float32Array).set(more as Float32Array, first.length);
  return out;
}

/** A message to be encoded: any field may be left out, at any depth. */
export type Draft<T> = T extends ArrayBufferView | number | string | undefined
  ? T
  : T extends readonly (infer E)[]
    ? readonly Draft<E>[]
    : { readonly [K in keyof T]?: Draft<T[K]> };

/** Encodes a message; absent, zero and empty fields are left out, so equal messages give equal bytes. */
export function encodeMessage<T>(schema: Schema<T>, value: Draft<T>): Uint8Array {
  const writer = new BinaryWriter();
  writeMessage(writer, schema as unknown as Schema<never>, value as Record<string, unknown>);
  return writer.finish();
}

function writeMessage(
  writer: BinaryWriter,
  schema: Schema<never>,
  value: Readonly<Record<string, unknown>>,
): void {
  const fields = Object.entries<Field>(schema.fields).sort((a, b) => a[1].no - b[1].no);
  for (const [name, field] of fields) {
    const x = value[name];
    if (x === undefined) continue;
    if ("message" in field) {
      for (const item of (field.repeated ? x : [x]) as Record<string, unknown>[]) {
        writer.tag(field.no, WireType.LengthDelimited).fork();
        writeMessage(writer, field.message() as unknown as Schema<never>, item);
        writer.join();
      }
    } else writeScalar(writer, field, x);
  }
}

function writeScalar(writer: BinaryWriter, { no, type }: ScalarField, x: unknown): void {
  const open = (): BinaryWriter => writer.tag(no, WireType.LengthDelimited);
  switch (type) {
    case "int":
      if (x !== 0) writer.tag(no, WireType.Varint).int64(BigInt(x as number));
      return;
    case "optionalInt":
      writer.tag(no, WireType.Varint).int64(BigInt(x as number));
      return;
    case "float":
      writer.tag(no, WireType.Bit32).float(x as number);
      return;
    case "string":
      if (x !== "") open().string(x as string);
      return;
    case "bytes":
      open().bytes(x as Uint8Array);
      return;
    case "strings":
      for (const s of x as readonly string[]) open().string(s);
      return;
    case "chunks":
      for (const b of x as readonly Uint8Array[]) open().bytes(b);
      return;
    case "ints":
    case "I64s":
      if ((x as readonly number[]).length === 0) return;
      open().fork();
      for (const n of x as Iterable<number | bigint>) writer.int64(BigInt(n));
      writer.join();
      return;
    default:
      if ((x as readonly number[]).length === 0) return;
      open().fork();
      for (const n of x as readonly number[]) writer.float(n);
      writer.join();
  }
}
