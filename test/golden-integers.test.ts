/**
 * @file The integers of the int8 MLPerf Tiny models are TensorFlow Lite's, bit for bit. The golden hashes
 * are outputs of its built-in kernels on seeded inputs (bench/peers/tflite-agreement.ts writes them).
 */
import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { test } from "node:test";
import { importTflite } from "../src/formats/tflite/index.ts";
import { interpret } from "../src/graph/interpret.ts";
import { bytesOf, elementCount } from "../src/tensor/tensor.ts";
import { hashBytes } from "../src/util/math.ts";
import { GOLDEN_MODELS, randomSamples } from "./support/golden.ts";

const MODELS = new URL("../../shared/data/mlperf-tiny/models/", import.meta.url);
const golden: Record<string, { samples: number; hash: string }> = JSON.parse(
  readFileSync(new URL("./golden/tflite-int8.json", import.meta.url), "utf8"),
);

for (const model of GOLDEN_MODELS) {
  test(`${model.file}: integers equal TensorFlow Lite's`, (t) => {
    const file = new URL(model.file, MODELS);
    if (!existsSync(file)) {
      t.diagnostic(`left out: ${file.pathname} is not there`);
      return;
    }
    const { graph } = importTflite(readFileSync(file));
    const type = graph.values.get(graph.inputs[0]!)!.type;
    const samples = randomSamples(model.seed, model.samples, elementCount(type.shape));
    const outs = samples.map((data) => bytesOf(interpret(graph, [{ type, data }])[0]!));
    const want = golden[model.key]!;
    assert.equal(samples.length, want.samples);
    assert.equal(hashBytes(new Uint8Array(Buffer.concat(outs))), want.hash);
  });
}
