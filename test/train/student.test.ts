/** @file Students made from a teacher's graph: golden sizes, strides kept, weights kept or fresh, training goes. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { macsOf, parameterCount } from "../../src/graph/count.ts";
import { type Graph, typeOf } from "../../src/graph/graph.ts";
import { interpret } from "../../src/graph/interpret.ts";
import { verifyGraph } from "../../src/graph/verify.ts";
import { loadModel, toOnnx } from "../../src/pipeline.ts";
import { crossEntropy } from "../../src/train/losses.ts";
import { resnet8 } from "../../src/train/models/resnet8.ts";
import { wideResnet } from "../../src/train/models/wide-resnet.ts";
import { Net } from "../../src/train/net.ts";
import { sgd } from "../../src/train/optimizers.ts";
import { trainingStep } from "../../src/train/step.ts";
import { studentOf } from "../../src/train/student/student.ts";
import { createTrainer } from "../../src/train/trainer.ts";
import { makeRng } from "../../src/util/rng.ts";
import { runOrt, seededFeeds, worstDifference } from "../support/whole-models.ts";

const TYPES = ["G(4)", "G(N/4)", "G(N)", "B(2)", "BG(2,4)", "BG(2,M/4)", "BG(2,M)"];

const sizes = (g: Graph): readonly number[] => [parameterCount(g), macsOf(g)];

test("a student of WRN has the size of the network built from the blocks", () => {
  for (const [depth, width] of [
    [40, 2],
    [10, 1],
  ] as const) {
    const teacher = wideResnet({ depth, width });
    for (const blocks of depth === 40 ? ["G(N/4)", "BG(2,M/4)"] : TYPES) {
      const { graph, blocks: made } = studentOf(teacher, { blocks });
      verifyGraph(graph);
      assert.deepEqual(sizes(graph), sizes(wideResnet({ depth, width, blocks })), blocks);
      const expected = (depth - 4) / 2;
      assert.equal(made.length, blocks.startsWith("B") ? expected : 2 * expected);
    }
  }
});

test("a student of an imported teacher, channels first: the same sizes, agrees in ONNX Runtime", async () => {
  const built = wideResnet({ depth: 10, width: 1, side: 8 });
  const { graph: imported } = loadModel(toOnnx(built));
  for (const blocks of ["G(N/4)", "BG(2,4)"]) {
    const { graph } = studentOf(imported, { blocks });
    const want = wideResnet({ depth: 10, width: 1, side: 8, blocks });
    assert.equal(macsOf(graph), macsOf(want), blocks);
    const feeds = seededFeeds(graph, 3);
    const [y] = interpret(graph, feeds);
    const [ran] = await runOrt(toOnnx(graph), feeds);
    assert.ok(worstDifference(ran!, [...(y!.data as Float32Array)], "relative") < 1e-4);
  }
});

test("weights are the teacher's where asked for, else drawn from the seed", () => {
  const teacher = resnet8({ seed: 5 });
  const named = (g: Graph, name: string): readonly number[] => {
    const [v] = [...g.constants.keys()].filter((k) => g.values.get(k)!.name === name);
    return [...(g.constants.get(v!)!.data as Float32Array)];
  };
  const kept = studentOf(teacher, { blocks: "G(4)", weights: "teacher" }).graph;
  const fresh = studentOf(teacher, { blocks: "G(4)", seed: 2 }).graph;
  const again = studentOf(teacher, { blocks: "G(4)", seed: 2 }).graph;
  for (const name of ["stem.weight", "head.weight", "block2.short.weight"]) {
    assert.deepEqual(named(kept, name), named(teacher, name));
    assert.notDeepEqual(named(fresh, name), named(teacher, name));
    assert.deepEqual(named(fresh, name), named(again, name));
  }
  const drawn = named(fresh, "block3.conv2.out.weight");
  const deviation = Math.sqrt(drawn.reduce((s, x) => s + x * x, 0) / drawn.length);
  assert.ok(Math.abs(deviation / Math.sqrt(2 / 64) - 1) < 0.05, `${deviation}`);
});

test("layers by name; nothing to replace is refused", () => {
  const teacher = wideResnet({ depth: 10, width: 1 });
  const { graph, blocks } = studentOf(teacher, {
    blocks: (name) => (name.startsWith("group3") ? "BG(2,4)" : "S"),
  });
  assert.deepEqual(blocks, [
    { layers: ["group3.block1.conv1", "group3.block1.conv2"], type: "BG(2,4)" },
  ]);
  const mixed = wideResnet({ depth: 10, width: 1, blocks: ["S", "S", "BG(2,4)"] });
  assert.deepEqual(sizes(graph), sizes(mixed));
  assert.throws(() => studentOf(teacher, { blocks: "S" }), { code: "E_ARGUMENT" });
});

test("structured layers in a teacher's places: the sizes of the network built from them", async () => {
  const teacher = wideResnet({ depth: 10, width: 1, side: 8 });
  const { graph: imported } = loadModel(toOnnx(teacher));
  for (const blocks of [
    "ACDC(3)",
    "Hashed(0.2)",
    "TT(0.3)",
    "Tucker(0.3)",
    "LowRank(0.2)",
    "Shuffle(4)",
  ]) {
    const want = wideResnet({ depth: 10, width: 1, side: 8, blocks });
    assert.deepEqual(sizes(studentOf(teacher, { blocks }).graph), sizes(want), blocks);
    const { graph } = studentOf(imported, { blocks });
    assert.equal(macsOf(graph), macsOf(want), blocks);
    const feeds = seededFeeds(graph, 3);
    const [y] = interpret(graph, feeds);
    const [ran] = await runOrt(toOnnx(graph), feeds);
    assert.ok(worstDifference(ran!, [...(y!.data as Float32Array)], "relative") < 1e-4, blocks);
  }
});

test("linear layers of a perceptron, its classifier kept; layers that cannot be replaced are named", () => {
  const net = new Net("mlp");
  const x = net.input("x", [4, 48]);
  const hidden = net.relu(net.linear(net.relu(net.linear(x, 64, "fc1")), 32, "fc2"));
  const teacher = net.build(net.linear(hidden, 10, "fc3"));
  const { graph, blocks } = studentOf(teacher, { linears: "Hashed(0.125)" });
  assert.deepEqual(
    blocks.map((b) => b.layers[0]),
    ["fc1", "fc2"],
  );
  // The bias of each becomes the shift of a normalisation, with a scale.
  const hashed = (48 * 64) / 8 + (64 * 32) / 8;
  assert.equal(parameterCount(graph), hashed + 2 * (64 + 32) + 330);
  const valid = new Net("valid");
  const image = valid.input("image", [1, 9, 9, 3]);
  const inner = valid.conv2d(valid.conv2d(image, 8, "a"), 8, "b", { pad: 0 });
  const small = valid.build(valid.linear(valid.globalPool(valid.conv2d(inner, 8, "c")), 2, "head"));
  const { kept } = studentOf(small, { blocks: "LowRank(0.5)" });
  assert.deepEqual(kept, [{ name: "b", reason: "its padding does not keep the size" }]);
});

test("a student learns", async () => {
  const batch = 8;
  const { graph } = studentOf(resnet8({ batch }), { blocks: "G(N/4)" });
  assert.deepEqual(typeOf(graph, graph.outputs[0]!).shape, [batch, 10]);
  const optimizer = sgd();
  const step = trainingStep(graph, {
    optimizer,
    loss: ({ g, outputs, input }) =>
      crossEntropy(g, outputs["logits"]!, input("target", [batch, 10])),
  });
  const trainer = await createTrainer(graph, step, optimizer);
  const rng = makeRng(1);
  const image = Float32Array.from({ length: batch * 32 * 32 * 3 }, () => rng.normal());
  const target = new Float32Array(batch * 10);
  for (let i = 0; i < batch; i++) target[i * 10 + i] = 1;
  const losses = Array.from({ length: 24 }, () => trainer.step({ image, target }, 0.05).loss);
  trainer.close();
  assert.ok(losses.at(-1)! < 0.5 * losses[0]!, `${losses}`);
});
