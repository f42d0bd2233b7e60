/** @file Runs one ONNX backend test case: import, interpret, compile, compare. */
import {
  ImportError,
  importOnnx,
  type OnnxImportOptions,
  readModel,
} from "../../src/formats/onnx/import.ts";
import { TENSOR } from "../../src/formats/onnx/proto.ts";
import { tensorOfProto } from "../../src/formats/onnx/tensors.ts";
import { decodeMessage } from "../../src/formats/onnx/wire.ts";
import type { Graph } from "../../src/graph/graph.ts";
import { interpret } from "../../src/graph/interpret.ts";
import type { Tensor } from "../../src/tensor/tensor.ts";
import type { Case, DataSet } from "./archive.ts";
import { difference } from "./compare.ts";
import { absoluteTolerance } from "./skip.ts";

export type Outcome =
  | { readonly kind: "pass" }
  | { readonly kind: "skip"; readonly reason: string }
  | { readonly kind: "fail"; readonly reason: string };

/** Runs a graph somewhere: results in order of the outputs. */
export type Engine = (graph: Graph, feeds: readonly Tensor[]) => Promise<readonly Tensor[]>;

export const PASS: Outcome = { kind: "pass" };

const readTensor = (bytes: Uint8Array): Tensor =>
  tensorOfProto(decodeMessage(TENSOR, bytes, "data"), undefined);

/** Names of the model's inputs that have no initialiser, in order: the data files follow it. */
function inputNames(model: Uint8Array): readonly string[] {
  const graph = readModel(model).graph!;
  const other = graph.input.find((i) => i.type?.tensorType === undefined);
  if (other !== undefined) throw new Error(`input '${other.name}' is not a tensor`);
  return graph.input.map((i) => i.name);
}

/**
 * Imports with as few inputs frozen as possible: what the importer says must be constant is frozen to
 * the test's data, until it is satisfied.
 */
export function importFreezing(
  model: Uint8Array,
  data: ReadonlyMap<string, Tensor>,
): { readonly graph: Graph; readonly frozen: ReadonlySet<string> } {
  const shapes = Object.fromEntries([...data].map(([name, t]) => [name, t.type.shape]));
  const frozen = new Set<string>();
  for (;;) {
    const free = Object.fromEntries(Object.entries(shapes).filter(([n]) => !frozen.has(n)));
    const fix = Object.fromEntries([...frozen].map((n) => [n, data.get(n)!]));
    const options: OnnxImportOptions = { shapes: free, fix };
    try {
      return { graph: importOnnx(model, options).graph, frozen };
    } catch (error) {
      const more = error instanceof ImportError ? error.freeze.filter((n) => !frozen.has(n)) : [];
      if (more.length === 0) throw error;
      for (const name of more) frozen.add(name);
    }
  }
}

const message = (error: unknown): string =>
  error instanceof Error
    ? `${error.name === "Error" ? "" : `${error.name}: `}${error.message.replace(/\s+/g, " ")}`
    : `${error}`;

/** Results of each engine on all data sets of a case. */
export async function runCase(
  test: Case,
  engine: Engine | null,
): Promise<{ readonly interpreter: Outcome; readonly wasm: Outcome }> {
  let wasm: Outcome = { kind: "skip", reason: "no compiler" };
  try {
    const names = inputNames(test.model);
    const atol = absoluteTolerance(test.name);
    for (const set of test.dataSets) {
      const { graph, feeds, expected } = prepare(test.model, names, set);
      const bad = mismatch(interpret(graph, feeds), expected, graph, atol);
      if (bad !== null) {
        const outcome: Outcome = { kind: "fail", reason: bad };
        return { interpreter: outcome, wasm: engine === null ? wasm : outcome };
      }
      if (engine !== null) wasm = await runCompiled(graph, feeds, expected, engine, atol);
      if (wasm.kind === "fail") break;
    }
    return { interpreter: PASS, wasm };
  } catch (error) {
    const outcome: Outcome = { kind: "fail", reason: message(error) };
    return { interpreter: outcome, wasm: engine === null ? wasm : outcome };
  }
}

function prepare(
  model: Uint8Array,
  names: readonly string[],
  set: DataSet,
): { graph: Graph; feeds: readonly Tensor[]; expected: readonly Tensor[] } {
  const data = new Map(set.inputs.map((bytes, i) => [names[i]!, readTensor(bytes)]));
  const { graph } = importFreezing(model, data);
  const feeds = graph.inputs.map((v) => data.get(graph.values.get(v)!.name)!);
  return { graph, feeds, expected: set.outputs.map(readTensor) };
}

function mismatch(
  got: readonly Tensor[],
  expected: readonly Tensor[],
  graph: Graph,
  atol: number,
): string | null {
  if (got.length !== expected.length) return `${got.length} results, expected ${expected.length}`;
  for (let i = 0; i < got.length; i++) {
    const bad = difference(got[i]!, expected[i]!, atol);
    if (bad !== null) return `output '${graph.outputNames[i]}': ${bad}`;
  }
  return null;
}

async function runCompiled(
  graph: Graph,
  feeds: readonly Tensor[],
  expected: readonly Tensor[],
  engine: Engine,
  atol: number,
): Promise<Outcome> {
  if (graph.nodes.length === 0) return { kind: "skip", reason: "folds to constants" };
  try {
    const bad = mismatch(await engine(graph, feeds), expected, graph, atol);
    return bad === null ? PASS : { kind: "fail", reason: bad };
  } catch (error) {
    return { kind: "fail", reason: message(error) };
  }
}
