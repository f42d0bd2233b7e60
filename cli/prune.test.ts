import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { gzipSync } from "node:zlib";
import { loadModel, toOnnx } from "../src/pipeline.ts";
import type { StoredPair } from "../src/report/pruning-types.ts";
import { Net } from "../src/train/net.ts";
import { tersor } from "../test/support/cli.ts";
import { modelFolder, smallClassifier } from "../test/support/models.ts";
import { runOrt, seededFeeds } from "../test/support/whole-models.ts";
import { amountOf, methodOf } from "./prune-options.ts";

test("prune removes channels, writes the model and says what changed", async () => {
  const folder = modelFolder();
  const out = join(folder, "out");
  const args = ["prune", join(folder, "model.onnx"), "--out", out];
  const run = await tersor([...args, "--method", "l1", "--ratio", "0.5", "--json"]);
  assert.equal(run.code, 0, run.stderr);
  const said = JSON.parse(run.stdout);
  assert.equal(said.removed, 0.5);
  assert.deepEqual(said.layers[0].channels, [8, 4]);
  assert.ok(said.macs[1] < said.macs[0] && said.onnxBytes[1] < said.onnxBytes[0]);
  const bytes = readFileSync(join(out, "model.onnx"));
  const [y] = await runOrt(bytes, seededFeeds(loadModel(bytes).graph, 1));
  assert.equal(y?.length, 4);
  const never = await tersor([...args, "--method", "l1", "--target", "macs=1"]);
  assert.equal(never.code, 2, never.stderr);
});

test("what the result takes on disk; the file without zeros computes the same", async () => {
  const folder = modelFolder();
  const path = join(folder, "wide.onnx");
  const net = new Net("wide", { seed: 3 });
  const x = net.input("x", [1, 8, 8, 3]);
  const h = net.relu(net.conv2d(x, 32, "conv", { bias: true }));
  const bytes = toOnnx(net.build(net.linear(net.flatten(h), 10, "head"), "y"));
  writeFileSync(path, bytes);
  const out = join(folder, "sparse");
  const args = ["prune", path, "--method", "lamp", "--ratio", "0.9", "--out", out, "--json"];
  const run = await tersor(args);
  assert.equal(run.code, 0, run.stderr);
  const { stored, written, onnxBytes } = JSON.parse(run.stdout);
  const kinds = ["ONNX", "ONNX without zeros", "WebAssembly"];
  assert.deepEqual(
    stored.map((s: StoredPair) => s.what),
    kinds,
  );
  assert.deepEqual(onnxBytes, stored[0].raw);
  assert.ok(written.includes(join(out, "model-sparse.onnx")));
  const [whole, sparse] = ["model.onnx", "model-sparse.onnx"].map((f) =>
    readFileSync(join(out, f)),
  );
  assert.deepEqual([whole!.length, sparse!.length], [stored[0].raw[1], stored[1].raw[1]]);
  assert.equal(gzipSync(sparse!, { level: 9 }).length, stored[1].gzip[1]);
  assert.equal(readFileSync(join(out, "model.wasm")).length, stored[2].raw[1]);
  assert.ok(3 * sparse!.length < whole!.length && 3 * stored[2].raw[1] < stored[2].raw[0]);
  const feeds = seededFeeds(loadModel(whole!).graph, 1);
  assert.deepEqual(await runOrt(sparse!, feeds), await runOrt(whole!, feeds));
  const dense = await tersor(["prune", path, "--method", "l1", "--ratio", "0.5", "--out", out]);
  assert.match(dense.stdout, /on disk +bytes +gzip\n *ONNX +8[\d.]+ kB/);
});

test("amounts and methods that cannot be are refused with the next step", () => {
  const { graph } = loadModel(smallClassifier());
  assert.deepEqual(amountOf({ ratio: 0.5 }, graph), { ratio: 0.5 });
  assert.deepEqual(amountOf({ target: "macs=3M" }, graph), { macs: 3e6 });
  assert.deepEqual(amountOf({ target: "bytes=100KB" }, graph), { bytes: 1e5 });
  assert.deepEqual(amountOf({ target: "latency=2ms" }, graph), { latencyMs: 2 });
  assert.deepEqual(amountOf({ target: "bytes=50%" }, graph), { bytes: (72 + 32) * 2 });
  assert.throws(() => amountOf({ ratio: 2 }, graph), /from 0 to 1/);
  assert.throws(() => amountOf({ target: "macs=many" }, graph), /is no target/);
  assert.throws(() => amountOf({ ratio: 0.5, target: "macs=50%" }, graph), /two ways/);
  assert.throws(() => methodOf("fisher"), /training data/);
  assert.throws(() => methodOf("snip"), /snip takes gradients .* training data/);
  assert.throws(() => methodOf("movement-layer"), /found by training/);
  assert.throws(() => methodOf("zeros"), /no method 'zeros'/);
  assert.throws(() => methodOf("l3"), /no method 'l3'/);
  assert.deepEqual(methodOf("nm=2:4"), { kind: "nm", n: 2, m: 4 });
});
