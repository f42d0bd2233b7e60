import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { loadModel } from "../src/pipeline.ts";
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
