/** @file A few of the kills of test/train/kill.ts. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { killRuns } from "./kill.ts";

test("a run that is killed at random moments ends with the same bits", async (t) => {
  const summary = await killRuns({
    ...{ kills: 5, seed: 3, epochs: 4, workers: 1, threads: 1 },
    print: (line) => t.diagnostic(line),
  });
  assert.ok(summary.kills >= 5 && summary.resumed > 0, JSON.stringify(summary));
});
