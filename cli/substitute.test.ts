import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { loadModel } from "../src/pipeline.ts";
import { tersor } from "../test/support/cli.ts";
import { modelFolder } from "../test/support/models.ts";
import { runOrt, seededFeeds } from "../test/support/whole-models.ts";

test("substitute writes a model that is smaller and loads, and says what changed", async () => {
  const folder = modelFolder();
  const out = join(folder, "out");
  const args = ["substitute", join(folder, "model.onnx"), "--out", out, "--block"];
  const run = await tersor([...args, "DW", "--layers", "c*v", "--json"]);
  assert.equal(run.code, 0, run.stderr);
  const said = JSON.parse(run.stdout);
  // One input: 9 weights of the window and 8 behind it, of 72; 32 of the head.
  assert.deepEqual(said.params, [104, 49]);
  assert.equal(said.layers[0].name, "conv");
  assert.deepEqual([said.layers[0].before.params, said.layers[0].after.params], [72, 17]);
  assert.ok(said.layers[0].error > 0 && said.layers[0].error < 1);
  const bytes = readFileSync(join(out, "model.onnx"));
  const [y] = await runOrt(bytes, seededFeeds(loadModel(bytes).graph, 1));
  assert.equal(y?.length, 4);
  const wrong = await tersor([...args, "DW", "--layers", "dense*"]);
  assert.equal(wrong.code, 1);
  assert.match(wrong.stderr, /no dense convolution fits 'dense\*'/);
});
