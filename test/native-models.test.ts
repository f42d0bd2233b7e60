/** @file Whole models as native code: results near WebAssembly's, the same bits by any number of threads. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { createNativeSession, nativeTarget } from "../src/native/index.ts";
import { cleanGraph, compile, loadModel } from "../src/pipeline.ts";
import { createSession } from "../src/runtime/session.ts";
import { emitC } from "../src/targets/c/emit.ts";
import { bytesOf } from "../src/tensor/tensor.ts";
import { mlperfTiny, ocrModel, seededFeeds, worstOutput } from "./support/whole-models.ts";

const cache = mkdtempSync(join(tmpdir(), "tersor-native-"));
after(() => rmSync(cache, { recursive: true, force: true }));

const MODELS = [
  ["ch_PP-OCRv4_det_infer.onnx", { x: [1, 3, 320, 320] }],
  ["ch_ppocr_mobile_v2.0_cls_infer.onnx", { x: [1, 3, 48, 192] }],
  ["vww_mobilenetv1_int8.tflite", {}],
] as const;

for (const [file, shapes] of MODELS) {
  test(`${file} as native code`, async (t) => {
    const target = await nativeTarget().catch((error: Error) => error.message);
    if (typeof target === "string") return t.diagnostic(`skipped: ${target}`);
    const bytes = file.endsWith("onnx") ? ocrModel(file) : mlperfTiny(file);
    if (bytes === null) return t.diagnostic("skipped: the model is absent");
    const graph = cleanGraph(loadModel(bytes, { shapes }).graph);
    const feeds = seededFeeds(graph, 1);
    const wasm = await createSession(compile(graph).program);
    const want = wasm.run(feeds);
    const { program } = compile(graph, { caps: target.caps });
    const env = { ...process.env, TERSOR_CACHE: cache };
    let first: readonly Uint8Array[] | null = null;
    for (const threads of [1, 2, 3]) {
      const session = await createNativeSession(program, { threads, env });
      const got = session.run(feeds);
      const limit = file.endsWith("int8.tflite") ? 0 : 1e-4;
      assert.ok(worstOutput(got, want, "relative") <= limit, `${threads} threads`);
      first ??= got.map(bytesOf);
      for (let i = 0; i < 5; i++) {
        assert.deepEqual(session.run(feeds).map(bytesOf), first, `${threads} threads`);
      }
      session.close();
    }
    wasm.close();
  });
}

test("kernels spread over files are the same functions", (t) => {
  const bytes = ocrModel("ch_ppocr_mobile_v2.0_cls_infer.onnx");
  if (bytes === null) return t.diagnostic("skipped: the model is absent");
  const graph = cleanGraph(loadModel(bytes, { shapes: { x: [1, 3, 48, 192] } }).graph);
  const { program } = compile(graph);
  const texts = (files: number): string[] =>
    [...emitC(program, { files, weights: "file" }).files]
      .filter(([name]) => name.endsWith(".c"))
      .map(([, text]) => String(text));
  const bodies = (all: readonly string[]): string[] =>
    all.flatMap((text) => [...text.matchAll(/void (run_\w+)\([^;{]*\) \{\n/g)].map((m) => m[1]!));
  const [one, two] = [texts(1), texts(2)];
  assert.equal(one.length, 1);
  assert.equal(two.length, 3);
  assert.deepEqual(bodies(two).sort(), bodies(one).sort());
  assert.equal(bodies(two.slice(0, 1)).length, 0, "the first file has the entries only");
});
