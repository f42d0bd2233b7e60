/**
 * @file Writes small TensorFlow Lite files for tests and fuzzing, from the same field lists the
 * reader uses. Every table, options included, is data.
 */
import { Builder } from "flatbuffers";
import { BUILTIN_OPERATORS, CUSTOM_OPERATOR } from "../../src/formats/tflite/builtins.ts";
import type { Fields } from "../../src/formats/tflite/flat.ts";
import {
  BUFFER,
  FILE_IDENTIFIER,
  MODEL,
  OPERATOR,
  OPERATOR_CODE,
  type OptionTable,
  QUANTIZATION,
  SCHEMA_VERSION,
  SUBGRAPH,
  TENSOR,
  TENSOR_TYPES,
} from "../../src/formats/tflite/schema.ts";
import type { TypedArray } from "../../src/tensor/dtype.ts";

export interface WriteTensor {
  readonly name: string;
  readonly shape: readonly number[];
  /** TensorType by name; default FLOAT32. */
  readonly type?: (typeof TENSOR_TYPES)[number];
  /** Constant data; absent: an activation. */
  readonly data?: TypedArray;
  readonly scale?: readonly number[];
  readonly zeroPoint?: readonly number[];
  readonly axis?: number;
  readonly shapeSignature?: readonly number[];
  readonly isVariable?: boolean;
}

type FieldValue = number | boolean | string | readonly number[] | Uint8Array;

export interface WriteOperator {
  /** Built-in operator name, or a custom code. */
  readonly op: string;
  /** Numbers of tensors; -1: left out. */
  readonly inputs: readonly number[];
  readonly outputs: readonly number[];
  readonly options?: OptionTable;
  readonly values?: Readonly<Record<string, FieldValue>>;
  readonly custom?: Uint8Array;
}

export interface WriteModel {
  readonly tensors: readonly WriteTensor[];
  readonly operators: readonly WriteOperator[];
  readonly inputs: readonly number[];
  readonly outputs: readonly number[];
}

/** The bytes of a model file. */
export function writeTflite(model: WriteModel): Uint8Array {
  const b = new Builder(1024);
  const data = [undefined, ...model.tensors.map((t) => t.data)];
  const buffers = data.map((d) => table(b, BUFFER, d === undefined ? {} : { data: bytes(d) }));
  const tensors = model.tensors.map((t, i) => writeTensor(b, t, i + 1));
  const codes = [...new Set(model.operators.map((op) => op.op))];
  const operatorCodes = codes.map((name) => writeCode(b, name));
  const operators = model.operators.map((op) => writeOperator(b, op, codes.indexOf(op.op)));
  const { inputs, outputs } = model;
  const main = table(b, SUBGRAPH, { tensors, inputs, outputs, operators, name: "main" });
  const root = table(b, MODEL, {
    version: SCHEMA_VERSION,
    operatorCodes,
    subgraphs: [main],
    description: "synthetic",
    buffers,
  });
  b.finish(root, FILE_IDENTIFIER);
  return b.asUint8Array().slice();
}

const bytes = (d: TypedArray): Uint8Array => new Uint8Array(d.buffer, d.byteOffset, d.byteLength);

function writeTensor(b: Builder, t: WriteTensor, buffer: number): number {
  const { scale, zeroPoint, axis } = t;
  const quantization =
    scale === undefined
      ? undefined
      : table(b, QUANTIZATION, {
          scale,
          zeroPoint: zeroPoint ?? scale.map(() => 0),
          quantizedDimension: axis ?? 0,
        });
  return table(b, TENSOR, {
    shape: t.shape,
    type: TENSOR_TYPES.indexOf(t.type ?? "FLOAT32"),
    buffer,
    name: t.name,
    ...(quantization === undefined ? {} : { quantization }),
    ...(t.isVariable === undefined ? {} : { isVariable: t.isVariable }),
    ...(t.shapeSignature === undefined ? {} : { shapeSignature: t.shapeSignature }),
  });
}

function writeCode(b: Builder, name: string): number {
  const code = BUILTIN_OPERATORS.indexOf(name);
  if (code < 0) {
    const custom = { deprecatedBuiltinCode: CUSTOM_OPERATOR, builtinCode: CUSTOM_OPERATOR };
    return table(b, OPERATOR_CODE, { ...custom, customCode: name });
  }
  return table(b, OPERATOR_CODE, {
    deprecatedBuiltinCode: Math.min(code, 127),
    builtinCode: code,
    version: 1,
  });
}

function writeOperator(b: Builder, op: WriteOperator, opcodeIndex: number): number {
  const options =
    op.options === undefined
      ? {}
      : {
          builtinOptionsType: op.options.type,
          builtinOptions: table(b, op.options.fields, op.values ?? {}),
        };
  const custom = op.custom === undefined ? {} : { customOptions: op.custom };
  const { inputs, outputs } = op;
  return table(b, OPERATOR, { opcodeIndex, inputs, outputs, ...options, ...custom });
}

/** Writes a table; children (strings, vectors, tables) come first, as the format demands. */
function table<F extends Fields>(
  b: Builder,
  fields: F,
  values: { readonly [K in keyof F]?: FieldValue },
): number {
  const present = Object.entries(values) as [keyof F & string, FieldValue][];
  const ready = present.map(([name, v]) => [fields[name]!, child(b, fields[name]![1], v)] as const);
  b.startObject(Math.max(0, ...Object.values(fields).map(([id]) => id)) + 1);
  for (const [[id, kind], v] of ready) {
    if (kind === "bool" || kind === "i8" || kind === "u8") b.addFieldInt8(id, v, Number.NaN);
    else if (kind === "i32" || kind === "u32") b.addFieldInt32(id, v, Number.NaN);
    else if (kind === "u64") b.addFieldInt64(id, BigInt(v), -1n);
    else if (kind === "f32") b.addFieldFloat32(id, v, Number.NaN);
    else b.addFieldOffset(id, v, 0);
  }
  return b.endObject();
}

/** The scalar itself, or the offset of what is written for the field. */
function child(b: Builder, kind: string, v: FieldValue): number {
  if (typeof v === "string") return b.createString(v);
  if (typeof v === "boolean") return Number(v);
  if (typeof v === "number") return v;
  if (v instanceof Uint8Array) {
    b.startVector(1, v.length, 16);
    for (let i = v.length - 1; i >= 0; i--) b.addInt8(v[i]!);
    return b.endVector();
  }
  const size = kind === "i64[]" ? 8 : 4;
  b.startVector(size, v.length, size);
  for (let i = v.length - 1; i >= 0; i--) {
    if (kind === "table[]") b.addOffset(v[i]!);
    else if (kind === "f32[]") b.addFloat32(v[i]!);
    else if (kind === "i64[]") b.addInt64(BigInt(v[i]!));
    else b.addInt32(v[i]!);
  }
  return b.endVector();
}
