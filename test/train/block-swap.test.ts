/** @file Fisher potential against differences of the loss; BlockSwap keeps its budget and repeats. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { macsOf, parameterCount } from "../../src/graph/count.ts";
import { GraphBuilder, type Value } from "../../src/graph/graph.ts";
import { interpret, interpretExecutor } from "../../src/graph/interpret.ts";
import { mul } from "../../src/ops/elementwise/mul.ts";
import { relu } from "../../src/ops/elementwise/relu.ts";
import { conv } from "../../src/ops/nn/conv.ts";
import { linear } from "../../src/ops/nn/linear.ts";
import { reduceMean } from "../../src/ops/reduce/reduce-mean.ts";
import { type Tensor, tensorOf, tensorType, toNumbers } from "../../src/tensor/tensor.ts";
import { crossEntropy } from "../../src/train/losses.ts";
import { wideResnet } from "../../src/train/models/wide-resnet.ts";
import { blockSwap, SWAP_TYPES } from "../../src/train/student/block-swap.ts";
import { fisherGraph } from "../../src/train/student/fisher.ts";
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
    const target = 0.3 * count(teacher);
    const options = { budget: { kind, target }, samples: 3, executor, batch };
    const { student, ranked, blocks } = await blockSwap(teacher, options);
    assert.equal(ranked.length, 3);
    assert.equal(blocks.length, 3);
    assert.equal(count(student.graph), ranked[0]!.cost);
    const built = wideResnet({ ...small, blocks: ranked[0]!.types });
    assert.equal(count(built), ranked[0]!.cost);
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
