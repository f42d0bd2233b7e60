/** @file Imported models are trained from their weights: all that is float, batch normalisation that was folded stays so. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { type Found, ppOcr, tinyModel } from "../../bench/models/files.ts";
import { transformer } from "../../bench/models/transformer.ts";
import { type Graph, isOp } from "../../src/graph/graph.ts";
import { sigmoid } from "../../src/ops/elementwise/sigmoid.ts";
import { elementCount } from "../../src/tensor/tensor.ts";
import { crossEntropy, meanSquaredError } from "../../src/train/losses.ts";
import { logitsOf } from "../../src/train/network.ts";
import { adam } from "../../src/train/optimizers.ts";
import { parametersOf } from "../../src/train/parameters.ts";
import { type LossInput, type StepOptions, trainingStep } from "../../src/train/step.ts";
import { createTrainer } from "../../src/train/trainer.ts";
import { withBatch } from "../../src/train/with-batch.ts";
import { makeRng } from "../../src/util/rng.ts";

/** Trained parameters of each, and the rows of a batch. */
const MODELS: readonly {
  readonly name: string;
  readonly read: () => Found;
  readonly parameters: number;
  readonly rows: number;
}[] = [
  {
    name: "the auto-encoder",
    read: () => tinyModel("ad_autoencoder_float.tflite"),
    parameters: 20,
    rows: 3,
  },
  { name: "ResNet-8", read: () => tinyModel("ic_resnet8_float.tflite"), parameters: 20, rows: 2 },
  { name: "DS-CNN", read: () => tinyModel("kws_dscnn_float.tflite"), parameters: 20, rows: 2 },
  {
    name: "MobileNetV1",
    read: () => tinyModel("vww_mobilenetv1_float.tflite"),
    parameters: 56,
    rows: 2,
  },
  {
    name: "PP-OCR's classifier",
    read: () => ppOcr("ch_ppocr_mobile_v2.0_cls_infer.onnx", [1, 3, 48, 192]),
    parameters: 108,
    rows: 2,
  },
  {
    name: "PP-OCR's detector",
    read: () => ppOcr("ch_PP-OCRv4_det_infer.onnx", [1, 3, 64, 64]),
    parameters: 120,
    rows: 1,
  },
  { name: "the transformer", read: () => ({ graph: transformer() }), parameters: 64, rows: 1 },
];

const RATE = 1e-6;
const STEPS = 3;

/** Classes for what classifies; else one number everywhere. */
function loss({ g, student, outputs, input }: LossInput) {
  const logits = logitsOf(student);
  const { shape } = g.typeOf(logits);
  if (shape.length === 2 && shape[1]! < 100) return crossEntropy(g, logits, input("target", shape));
  // Behind a sigmoid that is sure of itself nothing can be learned.
  const { graph } = student;
  const last = graph.nodes.find((n) => n.outs.includes(graph.outputs[0]!))!;
  const y = isOp(last, sigmoid) ? student.at(last.ins[0]!) : Object.values(outputs)[0]!;
  return meanSquaredError(g, y, input("target", g.typeOf(y).shape));
}

async function train(model: Graph, options: Partial<StepOptions> = {}) {
  const optimizer = adam();
  const step = trainingStep(model, { optimizer, loss, ...options });
  const trainer = await createTrainer(model, step, optimizer);
  const rng = makeRng(5);
  const feeds: Record<string, Float32Array> = {};
  const own = new Set([...step.state.map((s) => s.name), ...step.scalars]);
  for (const v of step.graph.inputs) {
    const { name, type } = step.graph.values.get(v)!;
    if (own.has(name)) continue;
    const count = elementCount(type.shape);
    const classes = type.shape.at(-1)!;
    const draw =
      name === "target" ? (_: unknown, i: number) => Number(i % classes === 1) : () => rng.normal();
    feeds[name] = Float32Array.from({ length: count }, draw);
  }
  const losses = Array.from({ length: STEPS }, () => trainer.step(feeds, RATE).loss);
  const trained = trainer.model();
  const state = trainer.state();
  trainer.close();
  return { step, losses, trained, state };
}

for (const { name, read, parameters, rows } of MODELS) {
  test(`${name} is trained from its weights`, async (t) => {
    const found = read();
    if ("missing" in found) return t.diagnostic(`not tested: ${found.missing}`);
    const model = withBatch(found.graph, rows);
    const { step, losses, trained } = await train(model);
    assert.equal(step.trained.length, parameters);
    losses.forEach((l, i) => {
      assert.ok(Number.isFinite(l) && (i === 0 || l < losses[i - 1]!), `${losses}`);
    });
    assert.deepEqual(
      trained.nodes.map((n) => n.op.name),
      model.nodes.map((n) => n.op.name),
    );
  });
}

test("parameters are frozen by name", async (t) => {
  const found = tinyModel("ic_resnet8_float.tflite");
  if ("missing" in found) return t.diagnostic(`not tested: ${found.missing}`);
  const names = [...parametersOf(found.graph).values()];
  const last = names.at(-1)!;
  const { step, state, trained } = await train(found.graph, { trains: (n) => n === last });
  assert.deepEqual(step.trained, [last]);
  assert.deepEqual([...state.keys()], [last, `${last}:first`, `${last}:second`]);
  const changed = [...parametersOf(trained)].filter(
    ([v]) => trained.constants.get(v)!.data !== found.graph.constants.get(v)!.data,
  );
  assert.deepEqual(
    changed.map(([, n]) => n),
    [last],
  );
  assert.throws(() => trainingStep(found.graph, { optimizer: adam(), loss, trains: () => false }), {
    code: "E_ARGUMENT",
  });
});
