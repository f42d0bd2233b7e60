/** @file Structured layers: golden sizes, gradients, training, exports; weight decay by tag. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { gradients } from "../../src/autodiff/backward.ts";
import { compressedNames } from "../../src/compress/compressed.ts";
import { macsOf, parameterCount } from "../../src/graph/count.ts";
import { type Graph, GraphBuilder, type Value } from "../../src/graph/graph.ts";
import { interpret } from "../../src/graph/interpret.ts";
import { add } from "../../src/ops/elementwise/add.ts";
import { mul } from "../../src/ops/elementwise/mul.ts";
import { reduceSum } from "../../src/ops/reduce/reductions.ts";
import { compiledExecutor } from "../../src/optimize/executor.ts";
import { cleanGraph, compile, toOnnx } from "../../src/pipeline.ts";
import { type Tensor, tensorOf, tensorType, toNumbers } from "../../src/tensor/tensor.ts";
import { constantly } from "../../src/train/initial.ts";
import { crossEntropy } from "../../src/train/losses.ts";
import { type BlockChoice, wideResnet } from "../../src/train/models/wide-resnet.ts";
import { Net } from "../../src/train/net.ts";
import { sgd } from "../../src/train/optimizers.ts";
import { parametersOf } from "../../src/train/parameters.ts";
import { trainingStep } from "../../src/train/step.ts";
import { acdcStack, linearAcdcStack } from "../../src/train/structured/acdc.ts";
import { crsDecay } from "../../src/train/structured/decay.ts";
import { hashedConv, hashedLinear } from "../../src/train/structured/hashed.ts";
import { linearShuffle } from "../../src/train/structured/shuffle.ts";
import {
  type Pointwise,
  type Site,
  type Substitute,
  separable,
} from "../../src/train/structured/site.ts";
import { lowRank, ttLinear, ttTensor, tuckerTensor } from "../../src/train/structured/tensors.ts";
import { structuredBlock, structuredLinear } from "../../src/train/structured/types.ts";
import { createTrainer } from "../../src/train/trainer.ts";
import { withBatch } from "../../src/train/with-batch.ts";
import { product } from "../../src/util/math.ts";
import { makeRng } from "../../src/util/rng.ts";
import { runOrt, seededFeeds, worstDifference, worstOutput } from "../support/whole-models.ts";

const sized = (depth: number, width: number, blocks: BlockChoice): Graph =>
  wideResnet({ depth, width, blocks, side: 8 });

/** Hashed to so many weights, and a plain bias, as the code of the published figures had it. */
const hashedWithBias =
  (count: (inputs: number, outputs: number) => number): Pointwise =>
  (site, x, outputs, name) => {
    const inputs = site.graph.typeOf(x).shape.at(-1)!;
    const weights = { count: count(inputs, outputs) };
    const y = hashedLinear({ weights, bias: false })(site, x, outputs, name);
    const bias = site.parameter(`${name}.bias`, [outputs], constantly(0));
    return site.graph.apply(add, [y, bias]);
  };

test("WRN-28-10: parameters of every published structured network", () => {
  const published: readonly (readonly [string, BlockChoice, number])[] = [
    // The stack named 12 had 11 layers.
    ["ACDC, 11 layers", "ACDC(11)", 555_498],
    ["ACDC, 12 layers", "ACDC(12)", 573_418],
    ["TT 0.26", "TTTensor(0.26)", 664_226],
    ["Tucker 0.25, dense core", "Tucker(0.25)", 471_736],
    [
      "Tucker 0.25, core as a train",
      separable(tuckerTensor({ share: 0.25, core: "train" })),
      479_068,
    ],
    ["Shuffle 4", "Shuffle(4)", 823_674],
    ["Shuffle 8", "Shuffle(8)", 563_594],
    ["Shuffle 16", "Shuffle(16)", 437_354],
    ["Shuffle 32", "Shuffle(32)", 378_314],
    ["Generic 0.03", "LowRank(0.03)", 601_162],
    ["Generic 0.10", "LowRank(0.1)", 1_190_634],
    ["Generic 0.24", "LowRank(0.24)", 2_344_906],
  ];
  for (const [name, blocks, want] of published) {
    assert.equal(parameterCount(sized(28, 10, blocks)), want, name);
  }
  // Hashed: this counts the bias, which adds constants that are not trained, by hand.
  const biases = (g: Graph): number =>
    [...g.constants].reduce(
      (n, [v, t]) => n + (/conv\d\.bias$/.test(g.values.get(v)!.name) ? product(t.type.shape) : 0),
      0,
    );
  const tenth = separable(hashedWithBias((i, o) => Math.floor((i * o * 9) / 10) - i * 9));
  const g = sized(28, 10, tenth);
  assert.equal(parameterCount(g) + biases(g), 3_911_898);
});

test("reconstructed weights count the operations of the dense layer", () => {
  const dense = wideResnet({ depth: 10, width: 1, blocks: separable(plainPoint) });
  for (const blocks of ["Hashed(0.1)", "TTTensor(0.25)", "Tucker(0.25)", "ACDC(4)"]) {
    assert.equal(macsOf(wideResnet({ depth: 10, width: 1, blocks })), macsOf(dense), blocks);
  }
});

const plainPoint: Pointwise = (site, x, outputs, name) =>
  hashedLinear({ weights: { share: 1 }, bias: false })(site, x, outputs, name);

/** A site in double precision whose parameters are inputs of the graph, with their first values. */
function doubles(seed: number): Site & { readonly values: { v: Value; tensor: Tensor }[] } {
  const graph = new GraphBuilder("layer");
  const rng = makeRng(seed);
  const values: { v: Value; tensor: Tensor }[] = [];
  return {
    graph,
    values,
    parameter(name, shape, init) {
      const draw = init(shape, rng);
      const tensor = tensorOf(
        "f64",
        shape,
        Array.from({ length: product(shape) }, () => draw()),
      );
      const v = graph.input(name, tensor.type);
      values.push({ v, tensor });
      return v;
    },
  };
}

const POINTS: Readonly<Record<string, Pointwise>> = {
  acdc: acdcStack({ layers: 3, deviation: 0.3 }),
  "acdc, riffle": acdcStack({ layers: 2, permutation: "riffle", relu: false, bias: false }),
  "acdc, multiplied out": linearAcdcStack({ layers: 3, deviation: 0.3 }),
  hashed: hashedLinear({ weights: { share: 0.3 } }),
  tt: ttLinear({ ranks: { share: 0.5 } }),
  "tt tensor": ttTensor({ share: 0.4 }),
  "tucker tensor": tuckerTensor({ share: 0.5 }),
  "tucker tensor, core as a train": tuckerTensor({ share: 0.5, core: "train" }),
  "low rank": lowRank({ rank: 3 }),
};

const BLOCKS: Readonly<Record<string, Substitute>> = {
  ...Object.fromEntries(Object.entries(POINTS).map(([n, p]) => [`separable ${n}`, separable(p)])),
  "hashed convolution": hashedConv({ weights: { share: 0.2 } }),
  shuffle: linearShuffle({ groups: 2 }),
};

/** Gradients of all parameters and the input against central differences. */
function checkGradients(build: (site: Site, x: Value) => Value, shape: readonly number[]): void {
  const rng = makeRng(77);
  const site = doubles(5);
  const { graph: g } = site;
  const x = g.input("x", tensorType("f64", shape));
  const y = build(site, x);
  const type = g.typeOf(y);
  const random = (s: readonly number[]): Tensor =>
    tensorOf(
      "f64",
      s,
      Array.from({ length: product(s) }, () => rng.normal()),
    );
  const weight = g.input("ct", type);
  const axes = type.shape.map((_, i) => i);
  const loss = g.apply(reduceSum, [g.apply(mul, [y, weight])], { axes, keepDims: false });
  const sources = [x, ...site.values.map((p) => p.v)];
  const found = gradients(g, loss, sources);
  g.output(loss, "loss");
  for (const [i, v] of found.entries()) g.output(v, `g${i}`);
  const graph = g.build();
  const given = new Map<Value, Tensor>([
    [x, random(shape)],
    [weight, random(type.shape)],
    ...site.values.map((p): [Value, Tensor] => [p.v, p.tensor]),
  ]);
  const at = (moved?: { v: Value; i: number; by: number }): Tensor[] =>
    graph.inputs.map((v) => {
      const t = given.get(v)!;
      if (moved?.v !== v) return t;
      return {
        ...t,
        data: (t.data as Float64Array).with(moved.i, Number(t.data[moved.i]) + moved.by),
      };
    });
  const outs = interpret(graph, at()).map(toNumbers);
  for (const [s, v] of sources.entries()) {
    const size = given.get(v)!.data.length;
    for (const i of [...rng.permutation(size)].slice(0, 4)) {
      const h = 1e-5;
      const loss = (by: number): number => toNumbers(interpret(graph, at({ v, i, by }))[0]!)[0]!;
      const want = (loss(h) - loss(-h)) / (2 * h);
      const got = outs[s + 1]![i]!;
      const name = graph.values.get(v)!.name;
      const limit = 1e-6 * Math.max(1, Math.abs(want));
      assert.ok(Math.abs(got - want) <= limit, `${name}[${i}]: ${got}, expected ${want}`);
    }
  }
}

for (const [name, point] of Object.entries(POINTS)) {
  test(`${name}: shapes and gradients, wider and narrower`, () => {
    for (const [inputs, outputs] of [
      [8, 8],
      [6, 16],
      [12, 8],
    ] as const) {
      checkGradients(
        (site, x) => {
          const y = point(site, x, outputs, "layer");
          assert.deepEqual(site.graph.typeOf(y).shape, [2, outputs]);
          return y;
        },
        [2, inputs],
      );
    }
  });
}

for (const [name, block] of Object.entries(BLOCKS)) {
  test(`${name}: shapes and gradients on pictures, with a stride`, () => {
    checkGradients(
      (site, x) => {
        const y = block(site, x, 16, { kernel: [3, 3], stride: [2, 2] }, "layer");
        assert.deepEqual(site.graph.typeOf(y).shape, [1, 3, 2, 16]);
        return y;
      },
      [1, 5, 4, 8],
    );
  });
}

test("a wide ACDC layer trains by its matrix, and runs by the fast transform", () => {
  const net = new Net("wide", { seed: 1 });
  const x = net.input("x", [2, 256]);
  const model = net.build(acdcStack({ layers: 1 })(net, x, 256, "stack"), "y");
  const { graph } = trainingStep(model, {
    optimizer: sgd(),
    loss: ({ g, outputs }) =>
      g.apply(reduceSum, [outputs["y"]!], { axes: [0, 1], keepDims: false }),
  });
  assert.ok(graph.nodes.length < 100, `${graph.nodes.length} nodes`);
  assert.ok(compile(cleanGraph(model)).program.steps.length > 100);
});

test("another number of rows leaves weights made of factors as they are", () => {
  // As many rows as the weights have.
  const net = new Net("factors", { seed: 1 });
  const x = net.input("x", [32, 32]);
  const model = net.build(ttTensor({ share: 0.5 })(net, x, 32, "layer"), "y");
  const single = withBatch(model, 1);
  assert.equal(parameterCount(single), parameterCount(model));
  const rows = Array.from({ length: 32 * 32 }, (_, i) => Math.sin(i));
  const [all] = interpret(model, [tensorOf("f32", [32, 32], rows)]);
  const [one] = interpret(single, [tensorOf("f32", [1, 32], rows.slice(0, 32))]);
  assert.deepEqual(toNumbers(one!), toNumbers(all!).slice(0, 32));
});

const TYPES = [
  "ACDC(3)",
  "Hashed(0.2)",
  "TT(0.3)",
  "TTTensor(0.3)",
  "Tucker(0.3)",
  "LowRank(0.2)",
  "Shuffle(4)",
];

for (const type of TYPES) {
  test(`${type}: learns, and agrees compiled and in ONNX Runtime`, async () => {
    const batch = 4;
    const side = 8;
    const model = wideResnet({ depth: 10, width: 1, batch, side, blocks: type });
    assert.ok(compressedNames(model).size > 0);
    const named = new Set(parametersOf(model).values());
    for (const name of compressedNames(model)) assert.ok(named.has(name), name);
    const optimizer = sgd();
    const step = trainingStep(model, {
      optimizer,
      loss: ({ g, outputs, input }) =>
        crossEntropy(g, outputs["logits"]!, input("target", [batch, 10])),
      decay: crsDecay(model, wideResnet({ depth: 10, width: 1 }), 5e-4),
    });
    const trainer = await createTrainer(model, step, optimizer);
    const rng = makeRng(1);
    const image = Float32Array.from({ length: batch * side * side * 3 }, () => rng.normal());
    const target = new Float32Array(batch * 10);
    for (let i = 0; i < batch; i++) target[i * 10 + i] = 1;
    const losses = Array.from({ length: 20 }, () => trainer.step({ image, target }, 0.03).loss);
    const trained = trainer.model();
    trainer.close();
    assert.ok(losses.at(-1)! < 0.5 * losses[0]!, `${losses}`);
    const feeds = seededFeeds(trained, 3);
    const want = interpret(trained, feeds);
    const compiled = await compiledExecutor()(cleanGraph(trained), feeds);
    assert.ok(worstOutput(compiled, want, "relative") < 1e-4);
    const [ran] = await runOrt(toOnnx(trained), feeds);
    assert.ok(worstDifference(ran!, [...(want[0]!.data as Float32Array)], "relative") < 1e-4);
  });
}

test("decay: compressed parameters by the ratio of the networks, all others as before", () => {
  const original = wideResnet({ depth: 10, width: 1 });
  const model = wideResnet({ depth: 10, width: 1, blocks: "ACDC(2)" });
  const rule = crsDecay(model, original, 5e-4);
  const ratio = parameterCount(model) / parameterCount(original);
  const some = tensorOf("f32", [1], [0]);
  const first = [...compressedNames(model)][0]!;
  assert.equal(rule(first, some, "other"), 5e-4 * ratio);
  assert.equal(rule("group1.block1.conv1.window.weight", some, "weight"), 5e-4);
  assert.equal(rule("norm.gamma", some, "other"), 0);
  // A name that looks like a layer's is no tag.
  assert.equal(rule("A", some, "weight"), 5e-4);
});

test("structured layers as written", () => {
  assert.equal(structuredBlock("G(4)"), null);
  assert.throws(() => structuredBlock("ACDC(0.5)"), { code: "E_ARGUMENT" });
  assert.throws(() => structuredBlock("Hashed(2)"), { code: "E_ARGUMENT" });
  assert.throws(() => structuredLinear("Shuffle(2)"), { code: "E_ARGUMENT" });
  assert.throws(() => structuredLinear("Magic(2)"), { code: "E_ARGUMENT" });
  const net = new Net("n");
  const x = net.input("x", [2, 12]);
  const y = structuredLinear("TT(0.5)")(net, x, 20, "fc");
  assert.deepEqual(net.graph.typeOf(y).shape, [2, 20]);
});
