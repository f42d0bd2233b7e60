/** @file ONNX Runtime as an engine of `tersor bench` and of the benchmarks, where it is installed. */
import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { join } from "node:path";
import { pathToFileURL } from "node:url";
import { type Graph, nameOf } from "../src/graph/graph.ts";
import type { DType } from "../src/tensor/dtype.ts";
import type { Tensor } from "../src/tensor/tensor.ts";
import { UserError } from "../src/util/errors.ts";

export type OrtName = "onnxruntime-web" | "onnxruntime-node";

interface OrtSession {
  readonly outputNames: readonly string[];
  run(
    feeds: Readonly<Record<string, unknown>>,
  ): Promise<Readonly<Record<string, { readonly data: ArrayLike<number> }>>>;
  release(): Promise<void>;
}

/** The part of onnxruntime's interface that is used. */
interface OnnxRuntime {
  readonly env: {
    wasm?: { numThreads?: number };
    logLevel?: string;
    versions?: { common?: string };
  };
  readonly Tensor: new (type: string, data: unknown, dims: readonly number[]) => unknown;
  readonly InferenceSession: { create(model: Uint8Array, options: object): Promise<OrtSession> };
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

/** A model in ONNX Runtime with its inputs. */
export interface OrtModel {
  readonly version: string;
  /** One inference; the data of each output, in the model's order. */
  run(): Promise<readonly ArrayLike<number>[]>;
  release(): Promise<void>;
}

/** `onnx`: a file of the graph. `threads`: of onnxruntime-web, the first call in a process decides. */
export async function loadOnnxRuntime(
  name: OrtName,
  graph: Graph,
  onnx: Uint8Array,
  feeds: readonly Tensor[],
  threads: number,
): Promise<OrtModel> {
  const ort = await importPackage(name);
  ort.env.logLevel = "error";
  if (ort.env.wasm !== undefined) ort.env.wasm.numThreads = threads;
  const options =
    name === "onnxruntime-web"
      ? { executionProviders: ["wasm"] }
      : { intraOpNumThreads: threads, interOpNumThreads: 1 };
  try {
    const session = await ort.InferenceSession.create(onnx, { ...options, logSeverityLevel: 3 });
    const named = Object.fromEntries(
      graph.inputs.map((v, i) => {
        const { type, data } = feeds[i]!;
        return [nameOf(graph, v), new ort.Tensor(ORT_TYPES[type.dtype], data, type.shape)];
      }),
    );
    const run = async () => {
      const results = await session.run(named);
      return session.outputNames.map((output) => results[output]!.data);
    };
    await run();
    return { version: ort.env.versions?.common ?? "", run, release: () => session.release() };
  } catch (error) {
    const reason = (error instanceof Error ? error.message : String(error)).split("\n")[0];
    throw new UserError("E_UNSUPPORTED", `${name} cannot run the model: ${reason}`);
  }
}
