import assert from "node:assert/strict";
import { test } from "node:test";
import { runConformance } from "./conformance.ts";

const EXPECTED = 1500;

test("the ONNX node tests pass in the interpreter", async (t) => {
  const report = await runConformance({ engine: "interpreter" });
  if (report === null) {
    return t.diagnostic("skipped: no onnx-backend-tests.tar.gz in the shared data");
  }
  assert.deepEqual(report.failures, []);
  assert.ok(report.interpreter.pass >= EXPECTED, `${report.interpreter.pass} pass`);
});

for (const filter of ["test_averagepool", "test_reduce_sum_", "test_layer_norm", "test_gru"]) {
  test(`${filter}* pass compiled`, async (t) => {
    const report = await runConformance({ engine: "wasm", filter });
    if (report === null) {
      return t.diagnostic("skipped: no onnx-backend-tests.tar.gz in the shared data");
    }
    assert.deepEqual(report.failures, []);
  });
}

for (const filter of ["test_conv", "test_softmax", "test_concat", "test_matmul"]) {
  test(`${filter}* give the same bytes on two threads`, async (t) => {
    const report = await runConformance({ engine: "wasm", filter, threads: 2 });
    if (report === null) {
      return t.diagnostic("skipped: no onnx-backend-tests.tar.gz in the shared data");
    }
    assert.deepEqual(report.failures, []);
  });
}
