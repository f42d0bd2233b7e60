/**
 * @file Imports an ONNX model: binds shapes, walks the nodes, computes what is constant, inlines
 * functions and control flow, and reports everything unsupported at once.
 */
import { type Graph, GraphBuilder } from "../../graph/graph.ts";
import { eliminateDead } from "../../graph/rewrite.ts";
import {
  numberReader,
  numberWriter,
  type Tensor,
  type TensorType,
  tensorType,
  zeros,
} from "../../tensor/tensor.ts";
import { type Diagnostic, UserError } from "../../util/errors.ts";
import { checkLimit, LIMITS } from "../limits.ts";
import { malformed } from "./context.ts";
import { CONTROL } from "./control.ts";
import { Emitter } from "./emit.ts";
import { bindInputs } from "./inputs.ts";
import { IMPORTERS } from "./ops/index.ts";
import { type GraphProto, MODEL, type ModelProto, type ValueInfoProto } from "./proto.ts";
import { FAILED, lookUp, opsetVersions, type Scope } from "./scope.ts";
import { dtypeOf, type ExternalData } from "./tensors.ts";
import { Walker } from "./walk.ts";
import { decodeMessage } from "./wire.ts";

export { ImportError } from "./import-error.ts";

export interface OnnxImportOptions {
  /** Shapes of inputs, by name: bind what the model leaves open. */
  readonly shapes?: Readonly<Record<string, readonly number[]>>;
  /** Inputs frozen to constants, by name; converted to the input's dtype. */
  readonly fix?: Readonly<Record<string, Tensor>>;
  /** Reads a file beside the model (src/formats/onnx/external.ts). */
  readonly externalData?: ExternalData;
  /** The graph's name; default: the one in the file. */
  readonly name?: string;
}

export interface Imported {
  readonly graph: Graph;
  /** Notes: choices made for the user. */
  readonly diagnostics: readonly Diagnostic[];
}

/** Names of the supported operators; of other domains as "domain.Name". */
export const onnxOperators = (): readonly string[] =>
  [...Object.keys(IMPORTERS), ...CONTROL].sort();

/** Reads the message of a model file. Throws E_FORMAT or E_LIMIT. */
export function readModel(bytes: Uint8Array): ModelProto {
  checkLimit("bytes of the file", bytes.length, LIMITS.fileBytes);
  const model = decodeMessage(MODEL, bytes, "model");
  if (model.graph === undefined || model.opsetImport.length === 0) {
    throw new UserError("E_FORMAT", "not an ONNX model: it has no graph or no operator set", {
      hint: "check that the file is a complete .onnx file",
    });
  }
  return model;
}

/** Imports a model. Pure: reads nothing but the bytes and what `externalData` gives. */
export function importOnnx(bytes: Uint8Array, options: OnnxImportOptions = {}): Imported {
  const model = readModel(bytes);
  const proto = model.graph!;
  checkLimit("nodes", proto.node.length, LIMITS.nodes, "graph");
  checkLimit("initialisers", proto.initializer.length, LIMITS.tensors, "graph");
  const builder = new GraphBuilder(options.name ?? (proto.name || "model"));
  const emitter = new Emitter(builder);
  const scope: Scope = {
    parent: null,
    names: new Map(),
    opsets: opsetVersions(model.opsetImport),
    args: null,
    depth: 0,
  };
  const walker = new Walker(emitter, model.functions, options.externalData);
  const notes = defineInputs(proto, options, emitter, scope);
  walker.defineConstants(proto, scope);
  walker.walk(proto.node, scope);
  defineOutputs(proto, scope, builder);
  walker.throwProblems(builder.name);
  setMeta(model, builder);
  return { graph: eliminateDead(builder.build()), diagnostics: notes };
}

function defineInputs(
  proto: GraphProto,
  options: OnnxImportOptions,
  e: Emitter,
  scope: Scope,
): readonly Diagnostic[] {
  const constants = new Set(proto.initializer.map((t) => t.name));
  for (const t of proto.sparseInitializer) constants.add(t.values?.name ?? "");
  const fix = options.fix ?? {};
  const free = proto.input.filter((i) => !constants.has(i.name));
  const absent = Object.keys(fix).find((name) => !free.some((i) => i.name === name));
  if (absent !== undefined) {
    throw new UserError("E_ARGUMENT", `the model has no input '${absent}' to freeze`, {
      hint: `its inputs: ${free.map((i) => i.name).join(", ")}`,
    });
  }
  const open = free.filter((i) => fix[i.name] === undefined);
  const { types, notes } = bindInputs(open, options.shapes ?? {});
  for (const input of free) {
    const fixed = fix[input.name];
    const value =
      fixed === undefined
        ? e.input(input.name, types.get(input.name)!)
        : e.constant(frozen(input, fixed), input.name);
    scope.names.set(input.name, value);
  }
  return notes;
}

/** The tensor an input is frozen to, in the input's dtype. */
function frozen(input: ValueInfoProto, t: Tensor): Tensor {
  const where = `input '${input.name}'`;
  const type = input.type?.tensorType;
  if (type === undefined) {
    throw new UserError("E_UNSUPPORTED", "only tensors can be inputs", { where });
  }
  const dims = type.shape?.dim;
  const fits =
    dims === undefined ||
    (dims.length === t.type.shape.length &&
      dims.every((d, i) => d.value === undefined || d.value === t.type.shape[i]));
  if (!fits) {
    throw new UserError("E_DATA", `a tensor of shape [${t.type.shape}] does not fit`, { where });
  }
  return converted(t, tensorType(dtypeOf(type.elemType, where), t.type.shape));
}

function converted(t: Tensor, type: TensorType): Tensor {
  if (t.type.dtype === type.dtype) return { type, data: t.data };
  const out = zeros(type);
  const read = numberReader(t);
  const write = numberWriter(out);
  for (let i = 0; i < out.data.length; i++) write(i, read(i));
  return out;
}

function defineOutputs(proto: GraphProto, scope: Scope, builder: GraphBuilder): void {
  for (const output of proto.output) {
    const v = lookUp(scope, output.name);
    if (v === FAILED) continue;
    if (v === undefined) throw malformed(`nothing computes the output '${output.name}'`);
    builder.output(v, output.name);
  }
}

function setMeta(model: ModelProto, builder: GraphBuilder): void {
  for (const { key, value } of model.metadataProps) builder.meta[key] = value;
  const producer = `${model.producerName} ${model.producerVersion}`.trim();
  if (producer !== "") builder.meta["producer"] = producer;
  if (model.docString !== "") builder.meta["doc"] = model.docString;
}
