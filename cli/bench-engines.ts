/** @file The engines that `tersor bench` and the benchmarks time, behind one interface: one entry each. */
import { type Graph, typeOf } from "../src/graph/graph.ts";
import { interpret } from "../src/graph/interpret.ts";
import { cleanGraph, compile, toOnnx } from "../src/pipeline.ts";
import type { Session } from "../src/runtime/session.ts";
import type { Tensor } from "../src/tensor/tensor.ts";
import { loadOnnxRuntime, type OrtName } from "./onnxruntime.ts";
import { openTarget, type TargetName } from "./target.ts";

/** What an engine is given to run. */
export interface EngineInput {
  readonly graph: Graph;
  /** The model as an ONNX file; absent: our own export is made. */
  readonly onnx?: Uint8Array;
  readonly feeds: readonly Tensor[];
  readonly threads: number;
}

/** A model loaded into an engine. */
export interface Loaded {
  /** Instruction variant or version, for the table. */
  readonly detail: string;
  /** All memory of the engine's model as planned; null when the engine does not tell. */
  readonly peakBytes: number | null;
  /** One inference, inputs and outputs copied; the elements of each output. */
  run(): readonly ArrayLike<unknown>[] | Promise<readonly ArrayLike<unknown>[]>;
  close(): void | Promise<void>;
}

export interface Engine {
  /** How many threads it can be told to use. */
  readonly maxThreads: number;
  load(input: EngineInput): Promise<Loaded>;
}

const dataOf = (tensors: readonly Tensor[]): readonly ArrayLike<unknown>[] =>
  tensors.map((t) => t.data as ArrayLike<unknown>);

/** A session of ours as an engine. */
const driven = (session: Session, peakBytes: number, feeds: readonly Tensor[]): Loaded => ({
  detail: session.note === undefined ? session.variant : `${session.variant}; ${session.note}`,
  peakBytes,
  run: () => dataOf(session.run(feeds)),
  close: () => session.close(),
});

/** Compiles for a target and opens a session there. */
const compiled =
  (target: TargetName) =>
  async ({ graph, feeds, threads }: EngineInput): Promise<Loaded> => {
    const { caps, open } = await openTarget(target);
    const { program } = compile(cleanGraph(graph), { caps });
    return driven(await open(program, threads), program.memoryBytes, feeds);
  };

async function loadInterpreter({ graph, feeds }: EngineInput): Promise<Loaded> {
  const run = () => dataOf(interpret(graph, feeds));
  return { detail: "reference", peakBytes: null, run, close: () => {} };
}

const onnxRuntime = (name: OrtName): Engine => ({
  maxThreads: 64,
  load: async ({ graph, onnx, feeds, threads }) => {
    const bytes = onnx ?? toOnnx(cleanGraph(graph));
    const { version, run, release } = await loadOnnxRuntime(name, graph, bytes, feeds, threads);
    return { detail: version, peakBytes: null, run, close: release };
  },
});

const TABLE = {
  tersor: { maxThreads: 256, load: compiled("wasm") },
  "tersor-256": { maxThreads: 256, load: compiled("wasm256") },
  native: { maxThreads: 256, load: compiled("native") },
  interpreter: { maxThreads: 1, load: loadInterpreter },
  "onnxruntime-web": onnxRuntime("onnxruntime-web"),
  "onnxruntime-node": onnxRuntime("onnxruntime-node"),
} satisfies Record<string, Engine>;

export type EngineName = keyof typeof TABLE;

/** Every engine by the name that `--engine` takes. */
export const ENGINES: Readonly<Record<EngineName, Engine>> = TABLE;

/** "int8", "f32" or "mixed": what the multiplying layers compute on. */
export function computeType(graph: Graph): string {
  const types = graph.nodes
    .filter((n) => n.op.cost !== undefined)
    .map((n) => typeOf(graph, n.ins[0]!))
    .map((t) => (t.quant === undefined ? t.dtype : t.dtype === "u8" ? "uint8" : "int8"));
  const distinct = [...new Set(types)];
  return distinct.length === 0 ? "f32" : distinct.length === 1 ? distinct[0]! : "mixed";
}
