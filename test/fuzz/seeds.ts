/**
 * @file What the format fuzzer starts from: small models of each operator, and the shared files if
 * present.
 */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { importOnnx, readModel } from "../../src/formats/onnx/import.ts";
import { MODEL, type ModelProto } from "../../src/formats/onnx/proto.ts";
import { encodeMessage } from "../../src/formats/onnx/wire.ts";
import { importTflite, tfliteOperators } from "../../src/formats/tflite/index.ts";
import type { Graph } from "../../src/graph/graph.ts";
import { verifyGraph } from "../../src/graph/verify.ts";
import type { Rng } from "../../src/util/rng.ts";
import { readCases } from "../onnx/archive.ts";
import { tfliteCases } from "../support/tflite-cases.ts";
import { type WriteModel, writeTflite } from "../support/tflite-writer.ts";
import { mutateBytes, mutateTree } from "./mutate.ts";
import { smallOnnxModels } from "./small-onnx.ts";

export interface Format {
  readonly seeds: number;
  /** The bytes of one case. */
  make(rng: Rng): Uint8Array;
  /** Reads a file and checks the graph. */
  load(bytes: Uint8Array): Graph;
}

const SMALL = 60_000;

function verified(graph: Graph): Graph {
  verifyGraph(graph);
  return graph;
}

function tflite(): Format {
  const folder = fileURLToPath(
    new URL("../../../shared/data/mlperf-tiny/models/", import.meta.url),
  );
  const files = existsSync(folder) ? readdirSync(folder).map((f) => readFileSync(folder + f)) : [];
  const small = files.filter((f) => f.length < SMALL).map((f) => new Uint8Array(f));
  const seeds = [...tfliteCases.map((c) => c.bytes), ...small];
  const words = [...tfliteOperators(), "CUSTOM_OP", "", "INT8", "FLOAT32", "STRING", "t0", "t1"];
  return {
    seeds: seeds.length,
    make: (rng) => {
      const seed = seeds[rng.int(seeds.length)]!;
      if (rng.int(2) === 0) return mutateBytes(rng, seed, seeds[rng.int(seeds.length)]!);
      return rewritten(rng, tfliteCases[rng.int(tfliteCases.length)]!.model, words) ?? seed;
    },
    load: (bytes) => verified(importTflite(bytes).graph),
  };
}

/** The file of a damaged model, or null where the damage cannot be written. */
function rewritten(rng: Rng, model: WriteModel, words: readonly string[]): Uint8Array | null {
  try {
    return writeTflite(mutateTree(rng, model, words));
  } catch {
    return null;
  }
}

function onnx(): Format {
  const archived = (readCases() ?? []).map((c) => c.model).filter((m) => m.length < SMALL);
  const seeds = [...smallOnnxModels(), ...archived.map((m) => m.slice())];
  const protos = seeds.map((s) => readModel(s));
  const words = [...new Set(protos.flatMap((p) => p.graph?.node.map((n) => n.opType) ?? []))];
  words.push("", "x", "y", "NoSuchOp", "ai.onnx.ml");
  return {
    seeds: seeds.length,
    make: (rng) => {
      const k = rng.int(seeds.length);
      if (rng.int(2) === 0) return mutateBytes(rng, seeds[k]!, seeds[rng.int(seeds.length)]!);
      return reencoded(rng, protos[k]!, words) ?? seeds[k]!;
    },
    load: (bytes) => verified(importOnnx(bytes).graph),
  };
}

function reencoded(rng: Rng, proto: ModelProto, words: readonly string[]): Uint8Array | null {
  try {
    return encodeMessage(MODEL, mutateTree(rng, proto, words));
  } catch {
    return null;
  }
}

export const FORMATS: Readonly<Record<string, () => Format>> = { tflite, onnx };
