/** @file What a finished training run writes: the model as ONNX and as an artefact. */
import { type Graph, nameOf, typeOf } from "../src/graph/graph.ts";
import { cleanGraph, compile, toOnnx } from "../src/pipeline.ts";
import { writeArtefact } from "../src/targets/wasm/artefact.ts";
import type { QuantizeConfig } from "../src/train/config.ts";
import { withBatch } from "../src/train/with-batch.ts";
import { UserError } from "../src/util/errors.ts";
import { writeFiles } from "./files.ts";
import type { Io } from "./io.ts";
import { integerModel } from "./train-quantise.ts";

/** The model for so many rows; as it was trained where it depends on their number. */
function forRows(model: Graph, rows: number, io: Io): Graph {
  try {
    return withBatch(model, rows);
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    const [input] = model.inputs;
    const shape =
      input === undefined ? "" : ` ${nameOf(model, input)} [${typeOf(model, input).shape}]`;
    io.note(`note: the model stays as it was trained,${shape}: ${error.message}`);
    return model;
  }
}

/** model.onnx and the artefact of a model as it is. */
export function modelFiles(model: Graph): Map<string, Uint8Array | string> {
  const files = new Map<string, Uint8Array | string>([["model.onnx", toOnnx(model)]]);
  const { program } = compile(cleanGraph(model));
  for (const [name, content] of writeArtefact(program).files) files.set(name, content);
  return files;
}

/** Writes model.onnx, model.wasm, model.js and model.d.ts, of integers after quantisation; returns paths by name. */
export function writeResults(
  out: string,
  { model, rows }: { readonly model: Graph; readonly rows: number },
  quantize: QuantizeConfig | undefined,
  io: Io,
): Record<string, string> {
  const float = forRows(model, rows, io);
  const files = modelFiles(quantize === undefined ? float : integerModel(float, quantize));
  const paths = writeFiles(out, files);
  return Object.fromEntries([...files.keys()].map((name, i) => [name, paths[i]!]));
}
