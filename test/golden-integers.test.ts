/**
 * @file The integers of the int8 MLPerf Tiny models and of single operators are TensorFlow Lite's,
 * bit for bit. The golden hashes are outputs of its built-in kernels on seeded inputs
 * (bench/peers/tflite-agreement.ts writes them).
 */
import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { test } from "node:test";
import { importTflite } from "../src/formats/tflite/index.ts";
import { interpret } from "../src/graph/interpret.ts";
import { bytesOf, elementCount } from "../src/tensor/tensor.ts";
import { hashBytes } from "../src/util/math.ts";
import { caseFeeds, GOLDEN_MODELS, randomSamples } from "./support/golden.ts";
import { tfliteCases } from "./support/tflite-cases.ts";

const MODELS = new URL("../../shared/data/mlperf-tiny/models/", import.meta.url);
const readGolden = (name: string): unknown =>
  JSON.parse(readFileSync(new URL(`./golden/${name}`, import.meta.url), "utf8"));
const golden = readGolden("tflite-int8.json") as Record<string, { samples: number; hash: string }>;
const goldenOps = readGolden("tflite-ops.json") as Record<string, string>;

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

test("operators with integer results equal TensorFlow Lite's", () => {
  const names = new Set(Object.keys(goldenOps));
  tfliteCases.forEach(({ name, bytes }, i) => {
    if (!names.delete(name)) return;
    const { graph } = importTflite(bytes);
    const outs = caseFeeds(graph, i).flatMap((feeds) => interpret(graph, feeds).map(bytesOf));
    assert.equal(hashBytes(new Uint8Array(Buffer.concat(outs))), goldenOps[name], name);
  });
  assert.deepEqual([...names], [], "every golden case still exists");
});
