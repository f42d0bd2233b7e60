import assert from "node:assert/strict";
import { test } from "node:test";
import { findCompiler } from "../../src/native/index.ts";
import { bestCpu } from "../../src/targets/c/cpu.ts";
import { CC } from "../support/c-run.ts";
import { runConformanceC } from "./conformance-c.ts";

const EXPECTED = 500;

test(`${EXPECTED} ONNX node tests pass as C for this machine, by one thread and by two`, async (t) => {
  if (CC === null) return t.diagnostic("skipped: no C compiler");
  const cpu = bestCpu(findCompiler().macros).name;
  const report = await runConformanceC({ share: 0.36, cpu });
  if (report === null) {
    return t.diagnostic("skipped: no onnx-backend-tests.tar.gz in the shared data");
  }
  t.diagnostic(`${report.pass} pass, ${report.skip} fold to constants, for ${cpu}`);
  assert.deepEqual(report.failures, []);
  assert.ok(report.pass >= EXPECTED, `${report.pass} pass`);
});
