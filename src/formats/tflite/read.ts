/**
 * @file Decodes a TensorFlow Lite file into plain objects; nothing is interpreted or copied yet.
 */
import { type Diagnostic, throwDiagnostics, UserError } from "../../util/errors.ts";
import { checkLimit, LIMITS } from "../limits.ts";
import { BUILTIN_OPERATORS, CUSTOM_OPERATOR } from "./builtins.ts";
import { type Decoded, FlatReader, type Span } from "./flat.ts";
import {
  BUFFER,
  FILE_IDENTIFIER,
  METADATA,
  MODEL,
  OPERATOR,
  OPERATOR_CODE,
  QUANTIZATION,
  SCHEMA_VERSION,
  SUBGRAPH,
  TENSOR,
  TENSOR_TYPES,
} from "./schema.ts";

export interface TfliteTensor {
  readonly name: string;
  readonly shape: readonly number[];
  /** The shape with -1 for dimensions unknown at conversion; empty when all are known. */
  readonly shapeSignature: readonly number[];
  /** TensorType by name. */
  readonly type: string;
  /** Constant data in the file; null for activations. */
  readonly data: Span | null;
  readonly quantization: Decoded<typeof QUANTIZATION> | null;
  readonly isVariable: boolean;
  readonly isSparse: boolean;
  readonly isExternal: boolean;
}

export interface TfliteOperator {
  /** Built-in operator name, or the custom code. */
  readonly name: string;
  readonly isCustom: boolean;
  readonly inputs: readonly number[];
  readonly outputs: readonly number[];
  /** Number in the BuiltinOptions union; 0: none. */
  readonly optionsType: number;
  /** Position of the option table, 0 when absent. */
  readonly optionsAt: number;
  readonly customOptions: Span | null;
}

export interface TfliteModel {
  readonly reader: FlatReader;
  readonly description: string;
  /** The main subgraph. */
  readonly name: string;
  readonly tensors: readonly TfliteTensor[];
  readonly inputs: readonly number[];
  readonly outputs: readonly number[];
  readonly operators: readonly TfliteOperator[];
  readonly subgraphCount: number;
  /** Text metadata by name. */
  readonly metadata: Readonly<Record<string, string>>;
}

export const isTflite = (bytes: Uint8Array): boolean =>
  bytes.length >= 8 && String.fromCharCode(...bytes.subarray(4, 8)) === FILE_IDENTIFIER;

/** Decodes the main subgraph. Throws UserError (E_FORMAT, E_LIMIT) for anything malformed. */
export function readTflite(bytes: Uint8Array): TfliteModel {
  const reader = new FlatReader(bytes);
  const model = reader.decode(reader.root(FILE_IDENTIFIER), MODEL);
  if (model.version !== SCHEMA_VERSION) {
    throw new UserError("E_FORMAT", `schema version ${model.version}, expected ${SCHEMA_VERSION}`);
  }
  const main = model.subgraphs[0];
  if (main === undefined) throw new UserError("E_FORMAT", "the file holds no graph");
  const graph = reader.decode(main, SUBGRAPH);
  checkLimit("tensors", graph.tensors.length, LIMITS.tensors);
  checkLimit("operators", graph.operators.length, LIMITS.nodes);
  checkLimit("buffers", model.buffers.length, LIMITS.tensors);
  const buffers = model.buffers.map((at) => readBuffer(reader, at));
  const codes = model.operatorCodes.map((at) => readCode(reader, at));
  const tensors = graph.tensors.map((at) => readTensor(reader, at, buffers));
  const operators = graph.operators.map((at) => readOperator(reader, at, codes));
  checkReferences(tensors.length, graph, operators);
  const metadata = readMetadata(reader, model.metadata, buffers);
  const { name, inputs, outputs } = graph;
  const subgraphCount = model.subgraphs.length;
  const { description } = model;
  return {
    reader,
    description,
    name,
    tensors,
    inputs,
    outputs,
    operators,
    subgraphCount,
    metadata,
  };
}

function readBuffer(reader: FlatReader, at: number): Span | null {
  const { data, offset, size } = reader.decode(at, BUFFER);
  if (offset > 1) {
    reader.view({ offset, length: size });
    return { offset, length: size };
  }
  return data !== null && data.length > 0 ? data : null;
}

function readTensor(
  reader: FlatReader,
  at: number,
  buffers: readonly (Span | null)[],
): TfliteTensor {
  const t = reader.decode(at, TENSOR);
  if (t.buffer >= buffers.length && t.buffer !== 0) {
    throw new UserError("E_FORMAT", `tensor '${t.name}': buffer ${t.buffer} does not exist`);
  }
  return {
    name: t.name,
    shape: t.shape,
    shapeSignature: t.shapeSignature,
    type: TENSOR_TYPES[t.type] ?? `type ${t.type}`,
    data: t.buffer === 0 ? null : (buffers[t.buffer] ?? null),
    quantization: t.quantization === 0 ? null : reader.decode(t.quantization, QUANTIZATION),
    isVariable: t.isVariable,
    isSparse: t.sparsity !== 0,
    isExternal: t.externalBuffer !== 0,
  };
}

interface Code {
  readonly name: string;
  readonly isCustom: boolean;
}

function readCode(reader: FlatReader, at: number): Code {
  const c = reader.decode(at, OPERATOR_CODE);
  const code = Math.max(c.deprecatedBuiltinCode, c.builtinCode);
  if (code === CUSTOM_OPERATOR) return { name: c.customCode || "CUSTOM", isCustom: true };
  return { name: BUILTIN_OPERATORS[code] ?? `operator ${code}`, isCustom: false };
}

function readOperator(reader: FlatReader, at: number, codes: readonly Code[]): TfliteOperator {
  const op = reader.decode(at, OPERATOR);
  const code = codes[op.opcodeIndex];
  if (code === undefined) {
    throw new UserError("E_FORMAT", `operator code ${op.opcodeIndex} does not exist`);
  }
  const large = { offset: op.largeCustomOptionsOffset, length: op.largeCustomOptionsSize };
  return {
    ...code,
    inputs: op.inputs,
    outputs: op.outputs,
    optionsType: op.builtinOptionsType,
    optionsAt: op.builtinOptions,
    customOptions: large.offset > 1 ? large : op.customOptions,
  };
}

/** Every tensor number exists; no tensor is produced twice. */
function checkReferences(
  count: number,
  graph: Decoded<typeof SUBGRAPH>,
  operators: readonly TfliteOperator[],
): void {
  const problems: Diagnostic[] = [];
  const report = (message: string, where: string): void => {
    if (problems.length < 20) problems.push({ code: "E_FORMAT", message, where });
  };
  const known = (index: number): boolean => index >= 0 && index < count;
  const producer = new Map<number, string>();
  const define = (index: number, where: string): void => {
    if (!known(index)) report(`tensor ${index} does not exist`, where);
    else if (producer.has(index))
      report(`tensor ${index} is also defined by ${producer.get(index)}`, where);
    else producer.set(index, where);
  };
  for (const t of graph.inputs) define(t, "graph inputs");
  operators.forEach((op, i) => {
    const where = `operator ${i} (${op.name})`;
    for (const t of op.inputs)
      if (t !== -1 && !known(t)) report(`tensor ${t} does not exist`, where);
    for (const t of op.outputs) if (t !== -1) define(t, where);
  });
  for (const t of graph.outputs)
    if (!known(t)) report(`tensor ${t} does not exist`, "graph outputs");
  throwDiagnostics(problems, "damaged file:");
}

function readMetadata(
  reader: FlatReader,
  tables: readonly number[],
  buffers: readonly (Span | null)[],
): Record<string, string> {
  const out: Record<string, string> = {};
  for (const at of tables) {
    const { name, buffer } = reader.decode(at, METADATA);
    const data = buffers[buffer];
    if (name === "min_runtime_version" && data) {
      const text = new TextDecoder().decode(reader.view(data).subarray(0, 64));
      out["minRuntimeVersion"] = text.replace(/\0.*$/s, "");
    }
  }
  return out;
}
