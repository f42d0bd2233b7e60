/** @file Teacher and student in one step: points found by structure, the terms of the loss, no gradient to the teacher. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { importOnnx } from "../formats/onnx/import.ts";
import type { Graph } from "../graph/graph.ts";
import { interpret } from "../graph/interpret.ts";
import { cleanGraph, toOnnx } from "../pipeline.ts";
import { elementCount, type Tensor, tensorOf, tensorType, toNumbers } from "../tensor/tensor.ts";
import { makeRng } from "../util/rng.ts";
import { type DistilOptions, distil, pointPairs } from "./distil.ts";
import { resnet8 } from "./models/resnet8.ts";
import { wideResnet } from "./models/wide-resnet.ts";
import { Net } from "./net.ts";
import { sgd } from "./optimizers.ts";
import { attentionPoints } from "./points.ts";
import { trainingStep } from "./step.ts";
import { createTrainer } from "./trainer.ts";
import { withBatch } from "./with-batch.ts";

const places = (graph: Graph): string[] =>
  attentionPoints(graph).map((f) => `${f.name} ${f.height}x${f.width}x${f.channels} ${f.layout}`);

const network = (graph: Graph) => ({ graph, at: <V>(v: V): V => v });

/** Convolutions in pairs, each with normalisation and ReLU6's kind of activation, as MobileNet has them. */
function separable(batch: number): Graph {
  const net = new Net("separable", { seed: 5 });
  const unit = (x: ReturnType<Net["input"]>, channels: number, name: string, options = {}) =>
    net.relu(net.batchNorm(net.conv2d(x, channels, name, options), `${name}.norm`));
  let x = unit(net.input("image", [batch, 16, 16, 3]), 8, "stem", { stride: 2 });
  for (const [i, stride] of [1, 2, 1].entries()) {
    x = unit(x, 8, `dw${i}`, { stride, groups: 8 });
    x = unit(x, 8, `pw${i}`, { kernel: 1 });
  }
  return net.build(net.linear(net.globalPool(x), 10, "head"));
}

test("points are the last outputs of each resolution, in every kind of network", () => {
  const wrn = wideResnet({ depth: 16, width: 1 });
  assert.deepEqual(places(wrn), [
    "group1.block2 32x32x16 nhwc",
    "group2.block2 16x16x32 nhwc",
    "group3.block2 8x8x64 nhwc",
  ]);
  const byName = (v: string) => wrn.nodes.find((n) => n.name === v)!.op.name;
  assert.deepEqual(["group1.block2", "group3.block2"].map(byName), ["add", "add"]);
  const residual = attentionPoints(resnet8());
  assert.deepEqual(
    residual.map((f) => [f.height, f.channels]),
    [
      [32, 16],
      [16, 32],
      [8, 64],
    ],
  );
  const relus = residual.map((f) => resnet8().nodes.find((n) => n.outs[0] === f.value)!.op.name);
  assert.deepEqual(relus, ["relu", "relu", "relu"]);
  const mobile = separable(1);
  const found = attentionPoints(mobile);
  assert.deepEqual(
    found.map((f) => [f.height, f.channels]),
    [
      [8, 8],
      [4, 8],
    ],
  );
  const firstUse = mobile.nodes.find((n) => n.ins[0] === found[0]!.value)!;
  assert.equal(firstUse.name, "dw1");
});

test("cleaned and imported networks have the same points", () => {
  for (const graph of [wideResnet({ depth: 16, width: 1, side: 16 }), resnet8(), separable(1)]) {
    const want = attentionPoints(graph);
    const imported = importOnnx(toOnnx(graph)).graph;
    const rng = makeRng(3);
    const { type } = graph.values.get(graph.inputs[0]!)!;
    const data = Float32Array.from({ length: elementCount(type.shape) }, () => rng.normal());
    const image: Tensor = { type, data };
    const energy = (g: Graph): number[] =>
      interpret({ ...g, outputs: attentionPoints(g).map((f) => f.value) }, [image]).map((t) =>
        toNumbers(t).reduce((sum, v) => sum + v * v, 0),
      );
    const energies = energy(graph);
    for (const other of [cleanGraph(graph), imported, cleanGraph(imported)]) {
      assert.equal(attentionPoints(other).length, want.length);
      energy(other).forEach((e, i) => {
        assert.ok(Math.abs(e / energies[i]! - 1) < 1e-4, `point ${i} of ${graph.name}`);
      });
    }
  }
});

test("points that do not fit are refused, both sides named", () => {
  const student = network(wideResnet({ depth: 10, width: 1 }));
  const small = network(wideResnet({ depth: 10, width: 1, side: 16 }));
  assert.throws(
    () => pointPairs(student, small),
    /group1.block1' 32x32x16.*group1.block1' 16x16x16/,
  );
  assert.throws(() => pointPairs(student, student, ["nowhere"]), { code: "E_ARGUMENT" });
  assert.throws(() => pointPairs(student, student, ["head"]), { code: "E_SHAPE" });
  const pairs = pointPairs(student, student, [{ student: "stem", teacher: "group1.block1" }]);
  assert.equal(pairs[0]!.teacher.channels, 16);
});

const ROWS = 4;
const CLASSES = 10;

function feeds(): { image: Float32Array; target: Float32Array } {
  const rng = makeRng(11);
  const target = new Float32Array(ROWS * CLASSES);
  for (let r = 0; r < ROWS; r++) target[r * CLASSES + ((r * 3) % CLASSES)] = 1;
  return { image: Float32Array.from({ length: ROWS * 16 * 16 * 3 }, () => rng.normal()), target };
}

const net = (width: number, seed: number, batch = ROWS): Graph =>
  wideResnet({ depth: 10, width, seed, side: 16, batch });

async function losses(student: Graph, teacher: Graph | null, options: DistilOptions, steps = 1) {
  const optimizer = sgd();
  const step = trainingStep(student, {
    optimizer,
    loss: distil(options),
    ...(teacher !== null && { teacher }),
  });
  const trainer = await createTrainer(student, step, optimizer);
  const found = Array.from({ length: steps }, () => trainer.step(feeds(), 0.01).loss);
  const state = trainer.state();
  const model = trainer.model();
  trainer.close();
  return { losses: found, state, model, step };
}

test("the loss of a step is the weighted sum of its terms, computed by the interpreter", async () => {
  const [student, teacher] = [net(1, 1), net(2, 2, 1)];
  const { step, losses: got } = await losses(student, teacher, { alpha: 0.9, beta: 1000 });
  const initial = new Map(step.state.map((s) => [s.name, s.initial]));
  const { image, target } = feeds();
  const ins = step.graph.inputs.map((v): Tensor => {
    const { name, type } = step.graph.values.get(v)!;
    if (name === "image") return { type, data: image };
    if (name === "target") return { type, data: target };
    return initial.get(name) ?? tensorOf("f32", [], [0.01]);
  });
  const loss = step.graph.outputNames.indexOf("loss");
  const [oracle] = interpret({ ...step.graph, outputs: [step.graph.outputs[loss]!] }, ins);
  assert.ok(Math.abs(got[0]! / toNumbers(oracle!)[0]! - 1) < 1e-4);
  // Terms one by one.
  const one = async (o: DistilOptions): Promise<number> =>
    (await losses(student, teacher, o)).losses[0]!;
  const [ce, kd, at] = [await one({}), await one({ alpha: 1 }), await one({ beta: 1000 })];
  const want = 0.1 * ce + 0.9 * kd + (at - ce);
  assert.ok(Math.abs(got[0]! / want - 1) < 1e-5, `${got[0]}, expected ${want}`);
  assert.ok(at > ce * 1.01 && kd > 0);
});

test("a teacher is no state and stays as it is; the student learns from it", async () => {
  const [student, teacher] = [net(1, 1), net(2, 2)];
  const { step, losses: found } = await losses(student, teacher, { alpha: 0.5, beta: 100 }, 8);
  const plain = await losses(student, null, {});
  assert.deepEqual([...step.state.map((s) => s.name)], [...plain.step.state.map((s) => s.name)]);
  assert.ok(found.at(-1)! < found[0]!, `${found}`);
  // Running averages, not those of the batch: the folded teacher has no batch normalisation of a batch.
  const norms = step.graph.nodes.filter((n) => n.name.startsWith("teacher/"));
  assert.ok(norms.length > 10 && norms.every((n) => n.op.name !== "batch_norm_training"));
});

test("hints of other widths learn a regressor that stays behind", async () => {
  const [student, teacher] = [net(1, 1), net(2, 2)];
  const { losses: found, state, model, step } = await losses(student, teacher, { hint: 1 }, 6);
  assert.ok(found.at(-1)! < found[0]!, `${found}`);
  assert.ok(step.trained.includes("hint0.weight") && state.has("hint2.weight:momentum"));
  const first = step.state.find((s) => s.name === "hint0.weight")!.initial;
  assert.notDeepEqual([...state.get("hint0.weight")!], [...first.data]);
  assert.equal(model.constants.size, student.constants.size);
  assert.equal(model.nodes.length, student.nodes.length);
  const same = await losses(student, net(1, 7), { hint: 1 });
  assert.ok(!same.step.trained.includes("hint0.weight"));
});

test("a loss with a teacher's terms needs a teacher, of the student's inputs", async () => {
  await assert.rejects(losses(net(1, 1), null, { alpha: 0.9 }), { code: "E_ARGUMENT" });
  const large = wideResnet({ depth: 10, width: 1, batch: ROWS });
  await assert.rejects(losses(net(1, 1), large, { alpha: 0.9 }), { code: "E_SHAPE" });
  const flat = { beta: 1, points: ["head"] };
  await assert.rejects(losses(net(1, 1), net(1, 2), flat), { code: "E_SHAPE" });
});

test("another number of rows changes nothing else", () => {
  const graph = net(1, 4, 1);
  const wide = withBatch(graph, 3);
  const rng = makeRng(8);
  const rows = Array.from({ length: 3 }, () =>
    Float32Array.from({ length: 16 * 16 * 3 }, () => rng.normal()),
  );
  const run = (g: Graph, batch: number, data: readonly number[]): number[] =>
    toNumbers(
      interpret(g, [
        { type: tensorType("f32", [batch, 16, 16, 3]), data: Float32Array.from(data) },
      ])[0]!,
    );
  const together = run(
    wide,
    3,
    rows.flatMap((r) => [...r]),
  );
  assert.deepEqual(
    together,
    rows.flatMap((r) => run(graph, 1, [...r])),
  );
  assert.equal(withBatch(graph, 1), graph);
});
