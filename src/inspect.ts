/** @file Facts about a model: sizes, costs, operators, and what keeps it from being compiled. */
import { elementsOfWeights, macsOf } from "./graph/count.ts";
import { type Graph, nameOf, typeOf } from "./graph/graph.ts";
import { type Outline, outlineOf } from "./outline.ts";
import {
  cleanGraph,
  compile,
  type LoadedModel,
  type LoadOptions,
  loadModel,
  type ModelFormat,
} from "./pipeline.ts";
import { byteSize, type TensorType } from "./tensor/tensor.ts";
import { type Diagnostic, UserError } from "./util/errors.ts";

export interface PortInfo {
  readonly name: string;
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly scale?: number;
  readonly zeroPoint?: number;
}

export interface UnsupportedInfo {
  /** The operator's name in the file. */
  readonly op: string;
  readonly count: number;
  readonly nodes: readonly string[];
  /** Why, when the operator as such is known. */
  readonly reason: string;
}

/** Sizes and costs of a model that can be imported. */
export interface ModelFacts {
  readonly inputs: readonly PortInfo[];
  readonly outputs: readonly PortInfo[];
  /** Elements of all weights. */
  readonly params: number;
  /** Multiply-accumulates of one inference, of the model as imported. */
  readonly macs: number;
  /** The same after clean-up, which may remove channels that nothing reads. */
  readonly macsClean: number;
  /** Operators after clean-up. */
  readonly nodesClean: number;
  readonly weightBytes: number;
  readonly weightBytesByType: Readonly<Record<string, number>>;
  /** Planned memory for activations and scratch of the compiled model. */
  readonly peakActivationBytes: number;
}

export interface ModelInfo extends ModelFacts {
  readonly format: ModelFormat;
  readonly fileBytes: number;
  /** Operators in the file. */
  readonly nodes: number;
  /** How often each operator occurs in the file. */
  readonly ops: Readonly<Record<string, number>>;
  /** Empty: the model can be compiled. */
  readonly unsupported: readonly UnsupportedInfo[];
  /** Choices made for the user. */
  readonly notes: readonly Diagnostic[];
}

/** What is known of a model with unsupported operators. */
export type PartialModelInfo = { readonly [K in keyof ModelInfo]: ModelInfo[K] | null } & Pick<
  ModelInfo,
  "format" | "fileBytes" | "nodes" | "ops" | "unsupported" | "notes"
>;

const portInfo = (name: string, { dtype, shape, quant }: TensorType): PortInfo => ({
  name,
  dtype,
  shape,
  ...(quant === undefined || quant.axis !== null
    ? {}
    : { scale: quant.scale[0]!, zeroPoint: quant.zeroPoint[0]! }),
});

/** Sizes and costs of an imported model; compiles it to learn its memory. */
export function factsOf(graph: Graph): ModelFacts {
  const clean = cleanGraph(graph);
  const constants = [...graph.constants.values()].map((t) => t.type);
  const byType: Record<string, number> = {};
  for (const t of constants) byType[t.dtype] = (byType[t.dtype] ?? 0) + byteSize(t);
  return {
    inputs: graph.inputs.map((v) => portInfo(nameOf(graph, v), typeOf(graph, v))),
    outputs: graph.outputs.map((v, i) => portInfo(graph.outputNames[i]!, typeOf(graph, v))),
    params: elementsOfWeights(graph),
    macs: macsOf(graph),
    macsClean: macsOf(clean),
    nodesClean: clean.nodes.length,
    weightBytes: constants.reduce((n, t) => n + byteSize(t), 0),
    weightBytesByType: byType,
    peakActivationBytes: compile(clean).program.arenaBytes,
  };
}

const NO_FACTS = {
  inputs: null,
  outputs: null,
  params: null,
  macs: null,
  macsClean: null,
  nodesClean: null,
  weightBytes: null,
  weightBytesByType: null,
  peakActivationBytes: null,
} as const;

/**
 * Everything `tersor inspect` shows. A model with unsupported operators gives what is known of it and
 * the list of them; any other fault of the file is thrown as UserError.
 */
export function inspectModel(
  bytes: Uint8Array,
  options: LoadOptions = {},
): ModelInfo | PartialModelInfo {
  const outline = outlineOf(bytes);
  const ops: Record<string, number> = {};
  for (const { op } of outline.operators) ops[op] = (ops[op] ?? 0) + 1;
  const head = {
    format: outline.format,
    fileBytes: bytes.length,
    nodes: outline.operators.length,
    ops,
  };
  let loaded: LoadedModel;
  try {
    loaded = loadModel(bytes, options);
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    const unsupported = unsupportedOf(outline, error.diagnostics);
    if (unsupported.length === 0) throw error;
    return { ...head, ...NO_FACTS, unsupported, notes: [] };
  }
  return { ...head, ...factsOf(loaded.graph), unsupported: [], notes: loaded.diagnostics };
}

function unsupportedOf(outline: Outline, found: readonly Diagnostic[]): UnsupportedInfo[] {
  const groups = new Map<string, { op: string; nodes: string[]; reason: string }>();
  const add = (op: string, node: string, reason: string): void => {
    const key = `${op} ${reason}`;
    const group = groups.get(key) ?? { op, nodes: [], reason };
    group.nodes.push(node);
    groups.set(key, group);
  };
  for (const { op, name, known } of outline.operators) {
    if (!known) add(op, name, "unknown operator");
  }
  for (const { code, where = "", message } of found) {
    const label = /^(\S+) '(.*)'$/s.exec(where);
    if (code === "E_UNSUPPORTED" && label !== null) add(label[1]!, label[2]!, message);
  }
  return [...groups.values()].map((g) => ({ ...g, count: g.nodes.length }));
}
