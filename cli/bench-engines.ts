/** @file The engines `tersor bench` can time, behind one interface; onnxruntime only where it is installed. */
import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { type Graph, nameOf, typeOf } from "../src/graph/graph.ts";
import { interpret } from "../src/graph/interpret.ts";
import { cleanGraph, compile, type LoadedModel, toOnnx } from "../src/pipeline.ts";
import { createSession } from "../src/runtime/session.ts";
import type { DType } from "../src/tensor/dtype.ts";
import type { Tensor } from "../src/tensor/tensor.ts";
import { UserError } from "../src/util/errors.ts";

export const ENGINES = ["tersor", "interpreter", "onnxruntime-web", "onnxruntime-node"] as const;
export type EngineName = (typeof ENGINES)[number];

/** A model loaded into an engine. */
export interface Loaded {
  readonly engine: EngineName;
  /** Instruction variant or version, for the table. */
  readonly detail: string;
  /** All memory of the engine's model; null when the engine does not tell. */
  readonly peakBytes: number | null;
  /** One inference, inputs and outputs copied. */
  run(): unknown;
}

/** "int8", "f32" or "mixed": what the multiplying layers compute on. */
export function computeType(graph: Graph): string {
  const types = graph.nodes
    .filter((n) => n.op.cost !== undefined)
    .map((n) => typeOf(graph, n.ins[0]!))
    .map((t) => (t.quant === undefined ? t.dtype : t.dtype === "u8" ? "uint8" : "int8"));
  const distinct = [...new Set(types)];
  return distinct.length === 0 ? "f32" : distinct.length === 1 ? distinct[0]! : "mixed";
}

/** Loads the model into the engine. `bytes`: the model file. */
export async function loadEngine(
  engine: EngineName,
  model: LoadedModel,
  bytes: Uint8Array,
  feeds: readonly Tensor[],
): Promise<Loaded> {
  const { graph } = model;
  if (engine === "interpreter") {
    return { engine, detail: "reference", peakBytes: null, run: () => interpret(graph, feeds) };
  }
  if (engine === "tersor") {
    const { program } = compile(cleanGraph(graph));
    const session = await createSession(program);
    const { variant: detail } = session;
    return { engine, detail, peakBytes: program.memoryBytes, run: () => session.run(feeds) };
  }
  const onnx = model.format === "onnx" ? bytes : toOnnx(cleanGraph(graph));
  return loadOnnxRuntime(engine, graph, onnx, feeds);
}

/** The part of onnxruntime's interface that is used. */
interface OnnxRuntime {
  readonly env: {
    wasm?: { numThreads?: number };
    logLevel?: string;
    versions?: { common?: string };
  };
  readonly Tensor: new (type: string, data: unknown, dims: readonly number[]) => unknown;
  readonly InferenceSession: {
    create(
      model: Uint8Array,
      options: object,
    ): Promise<{
      readonly inputNames: readonly string[];
      run(feeds: Readonly<Record<string, unknown>>): Promise<unknown>;
    }>;
  };
}

const ORT_TYPES: Readonly<Record<DType, string>> = {
  f32: "float32",
  f64: "float64",
  f16: "float16",
  bf16: "bfloat16",
  i8: "int8",
  u8: "uint8",
  i16: "int16",
  u16: "uint16",
  i32: "int32",
  u32: "uint32",
  i64: "int64",
  u64: "uint64",
  bool: "bool",
};

/** The package, from the user's folder or from beside tersor. */
async function importPackage(name: string): Promise<OnnxRuntime> {
  for (const from of [join(process.cwd(), "package.json"), import.meta.filename]) {
    try {
      const path = createRequire(from).resolve(name);
      if (!existsSync(path)) continue;
      const module = (await import(pathToFileURL(path).href)) as { default?: OnnxRuntime };
      return module.default ?? (module as unknown as OnnxRuntime);
    } catch {
      // Not installed there.
    }
  }
  throw new UserError("E_ARGUMENT", `${name} is not installed`, {
    where: "--engine",
    hint: `run npm install ${name}`,
  });
}

async function loadOnnxRuntime(
  engine: EngineName,
  graph: Graph,
  onnx: Uint8Array,
  feeds: readonly Tensor[],
): Promise<Loaded> {
  const ort = await importPackage(engine);
  ort.env.logLevel = "error";
  if (ort.env.wasm !== undefined) ort.env.wasm.numThreads = 1;
  const web = engine === "onnxruntime-web";
  const options = web
    ? { executionProviders: ["wasm"] }
    : { intraOpNumThreads: 1, interOpNumThreads: 1 };
  try {
    const session = await ort.InferenceSession.create(onnx, { ...options, logSeverityLevel: 3 });
    const named = Object.fromEntries(
      graph.inputs.map((v, i) => {
        const { type, data } = feeds[i]!;
        return [nameOf(graph, v), new ort.Tensor(ORT_TYPES[type.dtype], data, type.shape)];
      }),
    );
    await session.run(named);
    const detail = ort.env.versions?.common ?? "";
    return { engine, detail, peakBytes: null, run: () => session.run(named) };
  } catch (error) {
    const reason = (error instanceof Error ? error.message : String(error)).split("\n")[0];
    throw new UserError("E_UNSUPPORTED", `${engine} cannot run the model: ${reason}`);
  }
}
