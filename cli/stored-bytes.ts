/** @file What a model takes on disk, as it is and compressed for transport. */
import { gzipSync } from "node:zlib";
import type { Graph } from "../src/graph/graph.ts";
import type { Program } from "../src/kernel/program.ts";
import { toOnnx } from "../src/pipeline.ts";
import type { StoredPair } from "../src/report/pruning-types.ts";
import { emitModule } from "../src/targets/wasm/module.ts";

/** One file of a model. */
export interface StoredBytes {
  readonly what: StoredPair["what"];
  readonly raw: number;
  /** After gzip -9. */
  readonly gzip: number;
}

/** The clean graph as ONNX, with and without its zeros, and the program compiled from it as a module. */
export function storedBytes(graph: Graph, program: Program): readonly StoredBytes[] {
  const whole = toOnnx(graph);
  const sparse = sparseOnnx(graph, whole);
  const gzip = (bytes: Uint8Array): number => gzipSync(bytes, { level: 9 }).length;
  const onnx = { raw: whole.length, gzip: gzip(whole) };
  const without = sparse === null ? onnx : { raw: sparse.length, gzip: gzip(sparse) };
  const { wasm } = emitModule(program);
  return [
    { what: "ONNX", ...onnx },
    { what: "ONNX without zeros", ...without },
    { what: "WebAssembly", raw: wasm.length, gzip: gzip(wasm) },
  ];
}

/** model.onnx of a clean graph, and model-sparse.onnx where that is asked for and smaller. */
export function onnxFiles(graph: Graph, sparse: boolean): Map<string, Uint8Array | string> {
  const whole = toOnnx(graph);
  const files = new Map<string, Uint8Array | string>([["model.onnx", whole]]);
  const without = sparse ? sparseOnnx(graph, whole) : null;
  if (without !== null) files.set("model-sparse.onnx", without);
  return files;
}

/** The ONNX file without zeros; null: it is the `whole` file, no tensor is smaller without its zeros. */
function sparseOnnx(graph: Graph, whole: Uint8Array): Uint8Array | null {
  const bytes = toOnnx(graph, { sparse: "auto" });
  return Buffer.compare(bytes, whole) === 0 ? null : bytes;
}

/** A model and what became of it, file by file. */
export const storedPairs = (
  before: readonly StoredBytes[],
  after: readonly StoredBytes[],
): readonly StoredPair[] =>
  before.map(({ what, raw, gzip }, i) => ({
    what,
    raw: [raw, after[i]!.raw],
    gzip: [gzip, after[i]!.gzip],
  }));
