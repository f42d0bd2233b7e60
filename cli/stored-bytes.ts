/** @file What a model takes on disk, as it is and compressed for transport. */
import { gzipSync } from "node:zlib";
import type { Graph } from "../src/graph/graph.ts";
import type { Program } from "../src/kernel/program.ts";
import { toOnnx } from "../src/pipeline.ts";
import { emitModule } from "../src/targets/wasm/module.ts";

/** One file of a model. */
export interface StoredBytes {
  readonly what: "ONNX" | "ONNX without zeros" | "WebAssembly";
  readonly raw: number;
  /** After gzip -9. */
  readonly gzip: number;
}

/** The clean graph as ONNX, with and without its zeros, and the program compiled from it as a module. */
export function storedBytes(graph: Graph, program: Program): readonly StoredBytes[] {
  const files = [
    ["ONNX", toOnnx(graph)],
    ["ONNX without zeros", toOnnx(graph, { sparse: "auto" })],
    ["WebAssembly", emitModule(program).wasm],
  ] as const;
  return files.map(([what, bytes]) => ({
    what,
    raw: bytes.length,
    gzip: gzipSync(bytes, { level: 9 }).length,
  }));
}
