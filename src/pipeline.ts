/**
 * @file The whole way of a model, readable aloud: file -> graph -> clean graph -> target graph -> program ->
 * artefact. The only file that names all stages in order.
 */
import { exportOnnx, type OnnxExportOptions } from "./formats/onnx/export.ts";
import { importOnnx } from "./formats/onnx/import.ts";
import type { ExternalData } from "./formats/onnx/tensors.ts";
import { importTflite, isTflite } from "./formats/tflite/index.ts";
import type { Graph } from "./graph/graph.ts";
import {
  cleanup,
  expandWeights,
  type RunPassesOptions,
  runPasses,
  toExchange,
  toTarget,
  trainable,
} from "./passes/index.ts";
import { type CompileResult, compileGraph } from "./plan/compile.ts";
import type { StatePair } from "./plan/state.ts";
import { type Capabilities, WASM } from "./primitives/capabilities.ts";
import { primitives } from "./primitives/index.ts";
import { type CostModel, coefficientsFor, costModel } from "./select/costs.ts";
import { type SizeLimits, withinLimits } from "./select/limits.ts";
import type { Pin } from "./select/pins.ts";
import { type DeviceProfile, measuredTimes } from "./select/profile.ts";
import {
  type Explanation,
  type Optimum,
  type SelectOptions,
  selectOptimal,
} from "./select/select.ts";
import { candidateSizes } from "./select/sizes.ts";
import { emitModule } from "./targets/wasm/module.ts";
import type { Tensor } from "./tensor/tensor.ts";
import { type Diagnostic, invariant, UserError } from "./util/errors.ts";

export interface LoadOptions {
  /** Shapes of inputs by name: binds what the model leaves open. */
  readonly shapes?: Readonly<Record<string, readonly number[]>>;
  /** Inputs frozen to constants, by name. */
  readonly fix?: Readonly<Record<string, Tensor>>;
  /** Reads weights that lie beside an ONNX file; given by the Node entry point. */
  readonly externalData?: ExternalData;
  /** Name of the graph; default: the one in the file. */
  readonly name?: string;
}

export type ModelFormat = "onnx" | "tflite";

export interface LoadedModel {
  readonly graph: Graph;
  readonly format: ModelFormat;
  /** Notes on choices made for the user. */
  readonly diagnostics: readonly Diagnostic[];
}

/** Imports a model file of any known format. Throws UserError when it cannot be taken. */
export function loadModel(bytes: Uint8Array, options: LoadOptions = {}): LoadedModel {
  if (bytes.length === 0) {
    throw new UserError("E_FORMAT", "the file is empty", { hint: "give an .onnx or .tflite file" });
  }
  if (isTflite(bytes)) return { ...importTflite(bytes, options), format: "tflite" };
  return { ...importOnnx(bytes, options), format: "onnx" };
}

/** The portable clean-up: same meaning, fewer nodes; can be exported. */
export const cleanGraph = (graph: Graph, options: RunPassesOptions = {}): Graph =>
  runPasses(graph, cleanup, options);

/** An imported model to be trained on: batch normalisations that the file still has stay. */
export const trainableGraph = (graph: Graph): Graph => runPasses(graph, trainable);

/** What compiled code starts from: fused, one layout, every quantised operator with a kernel. */
export const targetGraph = (graph: Graph, options: RunPassesOptions = {}): Graph =>
  runPasses(graph, toTarget, options);

export interface CompileModelOptions extends RunPassesOptions {
  /** What kernels are written for; default: WebAssembly. */
  readonly caps?: Capabilities;
  /** Times measured on this machine; default: those of the fitted cost model. */
  readonly profile?: DeviceProfile;
  /** Candidates fixed for layers, by name. */
  readonly pins?: readonly Pin[];
  /** What the plan may take at most; code is that of the WebAssembly module. */
  readonly limits?: SizeLimits;
  /** What one run leaves for the next, by the names of inputs and outputs. */
  readonly state?: readonly StatePair[];
}

export interface CompiledModel extends CompileResult {
  /** Predicted time of an inference, in nanoseconds. */
  readonly predictedNs: number;
  /** What times were predicted by. */
  readonly costs: CostModel;
  /** Why each layer is computed as it is. Solves the selection again for every layer. */
  readonly explain: () => Explanation;
}

/** Clean graph to program: the fastest selection of primitives, as far as the cost model knows. */
export function compile(graph: Graph, options: CompileModelOptions = {}): CompiledModel {
  const target = targetGraph(graph, options);
  const { limits } = options;
  if (limits === undefined) return compileAt(target, options);
  const sizesOf = candidateSizes();
  return withinLimits(limits, ({ memory, code }) => {
    const compiled = compileAt(target, options, (node, candidate) => {
      const sizes = sizesOf(node, candidate);
      return memory * sizes.memory + code * sizes.code;
    });
    const { program, predictedNs: ns } = compiled;
    const { codeBytes } = emitModule(program);
    return { ...compiled, ns, memoryBytes: program.memoryBytes, codeBytes };
  });
}

const costsFor = ({ caps = WASM, profile }: CompileModelOptions): CostModel =>
  costModel(profile && measuredTimes(profile.entries), coefficientsFor(caps.name));

function compileAt(
  target: Graph,
  options: CompileModelOptions,
  surcharge?: SelectOptions["surcharge"],
): CompiledModel {
  const { caps = WASM, pins = [] } = options;
  const costs = costsFor(options);
  const priced = surcharge === undefined ? {} : { surcharge };
  const chosen: { optimum?: Optimum } = {};
  const compiled = compileGraph(target, {
    primitives,
    caps,
    ...(options.state && { state: options.state }),
    select: (network) => {
      chosen.optimum = selectOptimal(network, { costs, pins, ...priced });
      return chosen.optimum.selection;
    },
  });
  const { optimum } = chosen;
  invariant(optimum !== undefined, () => "the plan was made without a selection");
  const { predictedNs, explain } = optimum;
  return { ...compiled, predictedNs, costs, explain };
}

export interface ToOnnxOptions extends OnnxExportOptions {
  /**
   * "dense": weights made of smaller ones (hashed, factors, ACDC) are written out. Default: as nodes and functions of the
   * model that compute them from what is stored (readers need operator set 21 and functions).
   */
  readonly weights?: "dense";
}

/** The bytes of an ONNX file of the graph, in the layout of ONNX (NCHW) wherever operators have one. */
export function toOnnx(graph: Graph, options: ToOnnxOptions = {}): Uint8Array {
  const { weights, ...rest } = options;
  const given = weights === "dense" ? runPasses(graph, [expandWeights]) : graph;
  return exportOnnx(runPasses(given, toExchange), rest);
}
