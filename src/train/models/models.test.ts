/** @file Sizes of the models against published ones, and that each learns. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { importOnnx } from "../../formats/onnx/import.ts";
import { type Graph, typeOf } from "../../graph/graph.ts";
import { interpret } from "../../graph/interpret.ts";
import { toOnnx } from "../../pipeline.ts";
import { elementCount, tensorOf, toNumbers } from "../../tensor/tensor.ts";
import { UserError } from "../../util/errors.ts";
import { makeRng } from "../../util/rng.ts";
import { constantly, glorot, kaiming, truncatedNormal } from "../initial.ts";
import { crossEntropy } from "../losses.ts";
import { Net } from "../net.ts";
import { adam } from "../optimizers.ts";
import { parametersOf } from "../parameters.ts";
import { trainingStep } from "../step.ts";
import { createTrainer } from "../trainer.ts";
import { lenet5 } from "./lenet5.ts";
import { mlp } from "./mlp.ts";
import { mobilenetV2 } from "./mobilenet-v2.ts";
import { resnet8 } from "./resnet8.ts";
import { transformer } from "./transformer.ts";
import { wideResnet } from "./wide-resnet.ts";

/** Weights of convolutions, two per channel of a batch normalisation, fully connected layers with their biases. */
const parameterCount = (graph: Graph): number =>
  [...parametersOf(graph).keys()].reduce((sum, v) => sum + elementCount(typeOf(graph, v).shape), 0);

const macs = (graph: Graph): number =>
  graph.nodes.reduce((sum, { op, ins, outs, attrs }) => {
    const types = (values: typeof ins) => values.map((v) => typeOf(graph, v));
    return sum + (op.cost?.(types(ins), attrs, types(outs)).macs ?? 0);
  }, 0);

const WRN: readonly (readonly [number, number, number, number])[] = [
  [40, 2, 2_243_546, 327_599_360],
  [16, 2, 691_674, 101_106_944],
  [40, 1, 563_930, 83_280_512],
  [16, 1, 175_066, 26_657_408],
  [28, 10, 36_479_194, 5_243_328_768],
  [10, 2, 303_706, 44_483_840],
  [10, 1, 77_850, 12_501_632],
];

for (const [depth, width, parameters, work] of WRN) {
  test(`WRN-${depth}-${width} has the published size`, () => {
    const graph = wideResnet({ depth, width });
    assert.equal(parameterCount(graph), parameters);
    assert.equal(macs(graph), work);
  });
}

test("MobileNetV2, LeNet-5 and the perceptron have their known sizes", () => {
  const large = mobilenetV2({ side: 224, classes: 1000 });
  assert.equal(parameterCount(large), 3_504_872);
  assert.equal(macs(large), 300_774_272);
  const half = mobilenetV2({ side: 224, classes: 1000, width: 0.5 });
  assert.equal(parameterCount(half), 1_968_680);
  const last = (g: Graph) => typeOf(g, g.nodes.find((n) => n.name === "last")!.outs[0]!).shape;
  assert.deepEqual(last(mobilenetV2({ width: 0.25 })), [1, 4, 4, 1280]);
  assert.deepEqual(last(large), [1, 7, 7, 1280]);
  assert.equal(parameterCount(lenet5()), 61_706);
  assert.equal(parameterCount(mlp()), 784 * 128 + 128 + 128 * 64 + 64 + 64 * 10 + 10);
});

const BATCH = 4;
const CLASSES = 4;

function batchOf(graph: Graph) {
  const rng = makeRng(21);
  const image = graph.inputs[0]!;
  const { name, type } = graph.values.get(image)!;
  const target = new Float32Array(BATCH * CLASSES);
  for (let r = 0; r < BATCH; r++) target[r * CLASSES + (r % CLASSES)] = 1;
  const data = Float32Array.from({ length: elementCount(type.shape) }, () => rng.normal());
  return { [name]: data, target };
}

const size = { batch: BATCH, classes: CLASSES };
const LEARNERS: readonly (readonly [string, Graph])[] = [
  ["mlp", mlp({ ...size, inputs: 30, hidden: [16] })],
  ["mobilenet-v2", mobilenetV2({ ...size, width: 0.1, side: 16 })],
  ["transformer on sequences", transformer({ ...size, tokens: 6, features: 5, width: 16 })],
  ["transformer on pictures", transformer({ ...size, side: 8, patch: 4, width: 16, layers: 1 })],
];

for (const [name, model] of LEARNERS) {
  test(`${name} learns a batch by heart, and is exported`, async () => {
    const optimizer = adam();
    const step = trainingStep(model, {
      optimizer,
      loss: ({ g, outputs, input }) =>
        crossEntropy(g, outputs["logits"]!, input("target", [BATCH, CLASSES])),
    });
    assert.equal(step.trained.length, parametersOf(model).size);
    const trainer = await createTrainer(model, step, optimizer);
    const feeds = batchOf(model);
    const losses = Array.from({ length: 20 }, () => trainer.step(feeds, 0.01).loss);
    assert.ok(losses.at(-1)! < losses[0]! / 3, `${losses}`);
    const trained = trainer.model();
    trainer.close();
    const { type, name: input } = trained.values.get(trained.inputs[0]!)!;
    const run = (g: Graph): number[] =>
      toNumbers(interpret(g, [{ type, data: feeds[input]! }])[0]!);
    const again = run(importOnnx(toOnnx(trained)).graph);
    run(trained).forEach((x, i) => {
      assert.ok(Math.abs(x - again[i]!) < 1e-4 * Math.max(1, Math.abs(x)));
    });
  });
}

test("embeddings are learned from their indices", async () => {
  const net = new Net("words");
  const words = net.graph.input("words", { dtype: "i32", shape: [2, 3] });
  const model = net.build(net.linear(net.flatten(net.embedding(words, 7, 4, "table")), 2, "head"));
  const optimizer = adam();
  const step = trainingStep(model, {
    optimizer,
    loss: ({ g, outputs, input }) => crossEntropy(g, outputs["logits"]!, input("target", [2, 2])),
  });
  const trainer = await createTrainer(model, step, optimizer);
  const feeds = { words: Int32Array.of(1, 5, 5, 2, 0, 1), target: Float32Array.of(1, 0, 0, 1) };
  const before = trainer.state().get("table.weight")!;
  const losses = Array.from({ length: 30 }, () => trainer.step(feeds, 0.01).loss);
  const after = trainer.state().get("table.weight")!;
  const moved = [0, 1, 2, 3, 4, 5, 6].filter((row) => before[row * 4] !== after[row * 4]);
  trainer.close();
  assert.ok(losses.at(-1)! < losses[0]! / 2);
  assert.deepEqual(moved, [0, 1, 2, 5]);
});

test("initial weights have the spread they promise", () => {
  const shape = [64, 3, 3, 32];
  const draw = (init: ReturnType<typeof glorot>): number[] => {
    const next = init(shape, makeRng(4));
    return Array.from({ length: 20_000 }, () => next());
  };
  const deviation = (xs: readonly number[]): number =>
    Math.sqrt(xs.reduce((sum, x) => sum + x * x, 0) / xs.length);
  const near = (got: number, want: number): void => assert.ok(Math.abs(got / want - 1) < 0.03);
  near(deviation(draw(kaiming("in"))), Math.sqrt(2 / 288));
  near(deviation(draw(kaiming("out"))), Math.sqrt(2 / 576));
  near(deviation(draw(glorot())), Math.sqrt(2 / (288 + 576)));
  const cut = draw(truncatedNormal(0.5));
  assert.ok(Math.max(...cut.map(Math.abs)) <= 1);
  near(deviation(cut), 0.5 * 0.8796);
  assert.ok(draw(constantly(3)).every((x) => x === 3));
  const net = new Net("given", { init: constantly(2) });
  net.conv2d(net.input("x", [1, 4, 4, 1]), 2, "conv", { bias: true });
  const constants = [...net.graph.build().constants.values()].map(toNumbers);
  assert.deepEqual(constants, [new Array(18).fill(2), [0, 0]]);
});

test("separable convolutions, and heads that do not divide", () => {
  const net = new Net("separable");
  const x = net.input("x", [1, 4, 4, 3]);
  const graph = net.build(net.separable(x, 8, "s", { stride: 2 }));
  assert.deepEqual([...parametersOf(graph).values()], ["s.depthwise.weight", "s.pointwise.weight"]);
  const ones = tensorOf("f32", [1, 4, 4, 3], new Float32Array(48).fill(1));
  assert.deepEqual(interpret(graph, [ones])[0]!.type.shape, [1, 2, 2, 8]);
  const odd = { tokens: 2, features: 3, width: 10, heads: 3 };
  assert.throws(() => transformer(odd), UserError);
  assert.throws(() => transformer({ side: 9, patch: 4 }), UserError);
  // Weights of convolutions 76,720, biases at the shortcuts 96, the head 650, normalisations 480.
  assert.equal(parameterCount(resnet8()), 77_946);
});
