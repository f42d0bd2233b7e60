import assert from "node:assert/strict";
import { test } from "node:test";
import { findCompiler } from "../../src/native/index.ts";
import { bestCpu } from "../../src/targets/c/cpu.ts";
import { CC } from "../support/c-run.ts";
import { runSanitized } from "./sanitize.ts";

test("the MLPerf Tiny and PP-OCR models are clean under sanitizers", async (t) => {
  if (CC === null) return t.diagnostic("skipped: no C compiler");
  const cpu = bestCpu(findCompiler().macros).name;
  const results = await runSanitized(cpu);
  t.diagnostic(`${results.length} models for ${cpu}`);
  if (results.length < 10) t.diagnostic("some skipped: the shared data or PP-OCR is absent");
  for (const { name, difference } of results) {
    if (difference !== null) assert.ok(difference <= 1e-4, `${name} differs by ${difference}`);
  }
});
