import assert from "node:assert/strict";
import { rmSync } from "node:fs";
import { join } from "node:path";
import { after, suite, test } from "node:test";
import { nativeTarget } from "../src/native/index.ts";
import { type CliResult, tersor } from "../test/support/cli.ts";
import { modelFolder } from "../test/support/models.ts";

const folder = modelFolder();
after(() => rmSync(folder, { recursive: true, force: true }));
const ENV = { TERSOR_CACHE: join(folder, "cache") };
const run = (...args: string[]): Promise<CliResult> => tersor(args, folder, ENV);
const missing = await nativeTarget().then(
  () => null,
  (error: Error) => error.message,
);

const values = ({ code, stdout, stderr }: CliResult): number[] => {
  assert.equal(code, 0, stderr);
  return (JSON.parse(stdout) as { outputs: { values: number[] }[] }).outputs[0]!.values;
};

suite("--target native", { concurrency: 2 }, () => {
  test("run, bench and compare", async (t) => {
    if (missing !== null) return t.diagnostic(`skipped: ${missing}`);
    const native = await run("run", "model.onnx", "--target", "native", "--json");
    assert.match(native.stdout, /"engine":"native /);
    const want = values(await run("run", "model.onnx", "--engine", "interpreter", "--json"));
    values(native).forEach((x, i) => assert.ok(Math.abs(x - want[i]!) < 1e-5));
    const settings = ["--target", "native", "--threads", "2", "--seconds", "0.05", "--json"];
    const bench = await run("bench", "model.onnx", ...settings);
    const { results } = JSON.parse(bench.stdout) as { results: Record<string, unknown>[] };
    assert.deepEqual(
      results.map((r) => [r["engine"], r["threads"]]),
      [["native", 2]],
    );
    const limits = ["--target", "native", "--tolerance", "1e-4"];
    const compared = await run("compare", "model.onnx", ...limits);
    assert.equal(compared.code, 0, compared.stdout);
    assert.match(compared.stdout, /native/);
  });

  test("without a compiler the model runs as WebAssembly, and a remark says so", async () => {
    const args = ["run", "model.onnx", "--target", "native", "--json"];
    const result = await tersor(args, folder, { ...ENV, CC: "/no/cc" });
    assert.match(result.stderr, /^no target native: .*; going on with WebAssembly\n$/);
    assert.match(result.stdout, /"engine":"wasm /);
    assert.equal(values(result).length, 4);
  });
});
