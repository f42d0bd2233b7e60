/** @file Fisher potential against differences of the loss; BlockSwap keeps its budget, repeats, and ranks by what training gives. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { macsOf, parameterCount } from "../../src/graph/count.ts";
import { type Graph, GraphBuilder, type Value } from "../../src/graph/graph.ts";
import { interpret, interpretExecutor } from "../../src/graph/interpret.ts";
import { mul } from "../../src/ops/elementwise/mul.ts";
import { relu } from "../../src/ops/elementwise/relu.ts";
import { conv } from "../../src/ops/nn/conv.ts";
import { linear } from "../../src/ops/nn/linear.ts";
import { reduceMean } from "../../src/ops/reduce/reduce-mean.ts";
import { type Tensor, tensorOf, tensorType, toNumbers } from "../../src/tensor/tensor.ts";
import { crossEntropy } from "../../src/train/losses.ts";
import { wideResnet } from "../../src/train/models/wide-resnet.ts";
import { sgd } from "../../src/train/optimizers.ts";
import { trainingStep } from "../../src/train/step.ts";
import { blockSwap, SWAP_TYPES } from "../../src/train/student/block-swap.ts";
import { fisherGraph } from "../../src/train/student/fisher.ts";
import { createTrainer } from "../../src/train/trainer.ts";
import { withBatch } from "../../src/train/with-batch.ts";
import { product } from "../../src/util/math.ts";
import { makeRng, type Rng } from "../../src/util/rng.ts";

const random = (rng: Rng, dtype: "f32" | "f64", ...shape: number[]): Tensor =>
  tensorOf(
    dtype,
    shape,
    Array.from({ length: product(shape) }, () => rng.normal()),
  );

const oneHot = (dtype: "f32" | "f64", rows: number, classes: number): Tensor =>
  tensorOf(
    dtype,
    [rows, classes],
    Array.from({ length: rows * classes }, (_, i) =>
      i % classes === Math.floor(i / classes) % classes ? 1 : 0,
    ),
  );

test("the potential of a channel: squared derivative of the loss by the channel's scale, row by row", () => {
  const [rows, channels] = [3, 4];
  /** With `scaled`, an input multiplies the probed value. */
  const build = (scaled: boolean): GraphBuilder => {
    const rng = makeRng(4);
    const g = new GraphBuilder("net");
    const x = g.input("x", tensorType("f64", [rows, 5, 4, 2]));
    const w = g.constant(random(rng, "f64", channels, 3, 3, 2));
    const attrs = {
      layout: "nhwc" as const,
      stride: [1, 1],
      padBegin: [1, 1],
      padEnd: [1, 1],
      dilation: [1, 1],
      groups: 1,
    };
    let y: Value = g.apply(conv, [x, w], attrs, "probe");
    if (scaled) y = g.apply(mul, [y, g.input("s", tensorType("f64", [rows, 1, 1, channels]))]);
    const pooled = g.apply(reduceMean, [g.apply(relu, [y])], { axes: [1, 2], keepDims: false });
    const logits = g.apply(
      linear,
      [pooled, g.constant(random(rng, "f64", 3, channels))],
      {},
      "head",
    );
    if (!scaled) g.output(logits, "logits");
    else g.output(crossEntropy(g, logits, g.input("t", tensorType("f64", [rows, 3]))), "loss");
    return g;
  };
  const x = random(makeRng(9), "f64", rows, 5, 4, 2);
  const target = oneHot("f64", rows, 3);
  const fisher = fisherGraph(build(false).build(), [{ name: "probe", layout: "nhwc" }]);
  const got = toNumbers(interpret(fisher, [x, target])[0]!);
  const scaled = build(true).build();
  const loss = (row: number, channel: number, by: number): number => {
    const s = Float64Array.from({ length: rows * channels }, () => 1);
    s[row * channels + channel]! += by;
    return toNumbers(
      interpret(scaled, [x, tensorOf("f64", [rows, 1, 1, channels], s), target])[0]!,
    )[0]!;
  };
  for (let c = 0; c < channels; c++) {
    let want = 0;
    for (let n = 0; n < rows; n++)
      want += ((loss(n, c, 1e-6) - loss(n, c, -1e-6)) / 2e-6) ** 2 / (2 * rows);
    assert.ok(Math.abs(got[c]! - want) <= 1e-6 * want, `${got[c]}, expected ${want}`);
  }
});

const rows = 4;
const small = { depth: 10, width: 1, batch: rows, side: 4 } as const;
const teacher = wideResnet(small);
const batch = [random(makeRng(3), "f32", rows, 4, 4, 3), oneHot("f32", rows, 10)];
const executor = interpretExecutor;

test("block swap: mixtures within the budget, the same for the same seed, the largest potential first", async () => {
  assert.equal(SWAP_TYPES.length, 21);
  for (const [kind, count] of [
    ["params", parameterCount],
    ["macs", macsOf],
  ] as const) {
    const ofRow = (graph: Graph): number => count(withBatch(graph, 1));
    const target = 0.3 * ofRow(teacher);
    const options = { budget: { kind, target }, samples: 3, executor, batch };
    const { student, ranked, blocks } = await blockSwap(teacher, options);
    assert.equal(ranked.length, 3);
    assert.equal(blocks.length, 3);
    assert.equal(ofRow(student.graph), ranked[0]!.cost);
    const built = wideResnet({ ...small, blocks: ranked[0]!.types });
    assert.equal(ofRow(built), ranked[0]!.cost);
    for (const [i, m] of ranked.entries()) {
      assert.ok(Math.abs(m.cost - target) <= 0.025 * target);
      assert.ok(m.potential > 0 && m.potential <= (ranked[i - 1]?.potential ?? Infinity));
    }
    if (kind === "params") assert.deepEqual((await blockSwap(teacher, options)).ranked, ranked);
  }
});

test("a budget that no mixture meets is refused with what is possible", async () => {
  const budget = { kind: "params", target: 10 } as const;
  await assert.rejects(blockSwap(teacher, { budget, executor, batch }), { code: "E_UNMET" });
  await assert.rejects(blockSwap(teacher, { budget, executor, batch: [] }), { code: "E_DATA" });
});

const SIDE = 8;
const COUNT = 16;

/** Noisy pictures of ten patterns, shifted a little, and which pattern each shows. */
function patterns(seed: number) {
  const [of, rng, size] = [makeRng(100), makeRng(seed), 3 * SIDE ** 2];
  const known = Array.from({ length: 10 }, () => Array.from({ length: size }, () => of.normal()));
  const image = new Float32Array(COUNT * size);
  const target = new Float32Array(COUNT * 10);
  for (let n = 0; n < COUNT; n++) {
    const [label, shift] = [rng.int(10), rng.int(3)];
    target[10 * n + label] = 1;
    for (let i = 0; i < size; i++) {
      image[size * n + i] = 0.7 * known[label]![(i + 3 * shift) % size]! + rng.normal();
    }
  }
  return { image, target };
}

/** Mean loss of the last 40 of 150 steps. */
async function lossAfterTraining(graph: Graph): Promise<number> {
  const optimizer = sgd({ momentum: 0.9 });
  const step = trainingStep(graph, {
    optimizer,
    loss: ({ g, outputs, input }) =>
      crossEntropy(g, outputs["logits"]!, input("target", [COUNT, 10])),
  });
  const trainer = await createTrainer(graph, step, optimizer);
  const losses = Array.from({ length: 150 }, (_, i) => trainer.step(patterns(1000 + i), 0.05).loss);
  trainer.close();
  return losses.slice(-40).reduce((a, b) => a + b, 0) / 40;
}

test("potentials before training rank blocks as their losses behind it do", async () => {
  const large = wideResnet({ depth: 10, width: 1, batch: COUNT, side: SIDE });
  const { image, target } = patterns(1);
  const given = [
    tensorOf("f32", [COUNT, SIDE, SIDE, 3], image),
    tensorOf("f32", [COUNT, 10], target),
  ];
  const budget = { kind: "params", target: parameterCount(large), tolerance: 1 } as const;
  let [potential, loss] = [Number.POSITIVE_INFINITY, 0];
  for (const type of ["G(2)", "B(4)", "B(16)"]) {
    const options = { budget, samples: 1, types: [type], executor, batch: given };
    const { student, ranked } = await blockSwap(large, options);
    const after = await lossAfterTraining(student.graph);
    assert.ok(ranked[0]!.potential < 0.8 * potential, `${type}: ${ranked[0]!.potential}`);
    assert.ok(after > 1.2 * loss, `${type}: ${after} behind ${loss}`);
    [potential, loss] = [ranked[0]!.potential, after];
  }
});
