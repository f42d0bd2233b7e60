/** @file The artefact of a network with early exits: its files, and that it stops where the cascade here stops. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { test } from "node:test";
import { pathToFileURL } from "node:url";
import {
  exitStages,
  NEVER,
  openCascade,
  withExits,
  writeExitArtefact,
} from "../../src/train/exits/index.ts";
import { makeRng } from "../../src/util/rng.ts";
import { smallResidual } from "../support/small-residual.ts";
import { writeFiles } from "../support/write-files.ts";

test("the artefact leaves at the exit that is confident enough, and skips the rest", async (t) => {
  const stages = exitStages(
    withExits(smallResidual({ seed: 2 }), { points: ["stem", "block1.sum"] }),
  );
  const options = { threshold: 0.2, confidence: "max" } as const;
  const files = writeExitArtefact(stages, options);
  assert.deepEqual([...files.keys()].sort().slice(0, 2), ["model.d.ts", "model.js"]);
  assert.deepEqual(writeExitArtefact(stages, options), files);
  const folder = writeFiles(t, files);
  const lib = await import(pathToFileURL(join(folder, "model.js")).href);
  assert.equal(lib.threshold, 0.2);
  assert.deepEqual(
    lib.macs,
    stages.list.map((s) => s.macs),
  );
  const model = await lib.load();
  const open = await openCascade(stages);
  const rng = makeRng(1);
  const taken = new Set<number>();
  for (let i = 0; i < 20; i++) {
    const image = Float32Array.from({ length: 784 }, () => 3 * rng.normal());
    const sure = open.run({ image }, NEVER);
    assert.equal(sure.exit, 2);
    const threshold = 0.1 + 0.03 * i;
    for (const at of [undefined, threshold, 0, NEVER]) {
      const want = open.run({ image }, at ?? 0.2);
      const got = model.run({ image }, at);
      assert.equal(got.exit, want.exit);
      assert.equal(got.confidence, want.confidence);
      assert.deepEqual(got.outputs.logits, want.outputs["logits"]);
      taken.add(got.exit);
    }
  }
  assert.deepEqual([...taken].sort(), [0, 1, 2]);
  assert.throws(
    () => model.run({ image: new Float32Array(3) }),
    /expected Float32Array of length 784/,
  );
  open.close();
});
