/** @file Structured layers against golden figures: tensor axes, sizes and operations, variances, spectra. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { matOf, svd } from "../../src/compress/factorise/linear-algebra.ts";
import { macsOf, parameterCount } from "../../src/graph/count.ts";
import { interpret } from "../../src/graph/interpret.ts";
import { tensorOf, toNumbers } from "../../src/tensor/tensor.ts";
import { wideResnet } from "../../src/train/models/wide-resnet.ts";
import { Net } from "../../src/train/net.ts";
import { acdcStack, linearAcdcStack, matrixPays } from "../../src/train/structured/acdc.ts";
import { hashedLinear } from "../../src/train/structured/hashed.ts";
import { type Pointwise, separable } from "../../src/train/structured/site.ts";
import { tensorAxes, ttLinear, ttTensor } from "../../src/train/structured/tensors.ts";

/** A layer by itself on `inputs` rows. */
function layer(point: Pointwise, inputs: number, outputs: number, seed = 1) {
  const net = new Net("layer", { seed });
  return net.build(point(net, net.input("x", [inputs, inputs]), outputs, "layer"));
}

const sizeOf = (point: Pointwise, inputs: number, outputs: number): number =>
  parameterCount(layer(point, inputs, outputs));

/** The matrix [inputs, outputs] that a linear layer is. */
function matrixOf(point: Pointwise, inputs: number, outputs: number, seed: number): number[] {
  const unit = Array.from({ length: inputs ** 2 }, (_, i) => (i % (inputs + 1) === 0 ? 1 : 0));
  const [y] = interpret(layer(point, inputs, outputs, seed), [
    tensorOf("f32", [inputs, inputs], unit),
  ]);
  return toNumbers(y!);
}

test("Tensor-Train: axes and sizes of 0.26, and of given modes and ranks", () => {
  assert.deepEqual(tensorAxes(160 * 160), [32, 32, 25]);
  assert.deepEqual(tensorAxes(640 * 640), [80, 80, 64]);
  assert.equal(sizeOf(ttTensor({ share: 0.26 }), 160, 160), 1942);
  assert.equal(sizeOf(ttTensor({ share: 0.26 }), 640, 640), 31_328);
  // The sum of modes times ranks: 64 to 128 channels with the ranks of Garipov's second layer.
  const modes = { outputs: [4, 8, 4], inputs: [4, 4, 4] };
  const found = sizeOf(ttLinear({ modes, ranks: [15, 16] }), 64, 128);
  assert.equal(found, 16 * 15 + 15 * 32 * 16 + 16 * 16);
});

/** Shuffles and products of two: parameters and multiply-accumulates of WRN-28-10. */
const WRN_28_10: readonly (readonly [string, number, number])[] = [
  ["Shuffle(1)", 2_384_154, 356_227_328],
  // Three and seven divide no width: groups become two and five, or fewer.
  ["Shuffle(3)", 1_343_834, 195_336_448],
  ["Shuffle(4)", 823_674, 114_891_008],
  ["Shuffle(7)", 719_994, 99_162_368],
  ["Shuffle(8)", 563_594, 74_668_288],
  ["Shuffle(16)", 437_354, 58_448_128],
  ["Shuffle(32)", 378_314, 48_986_368],
  ["LowRank(0.03)", 601_162, 81_434_880],
  ["LowRank(0.1)", 1_190_634, 168_896_768],
  ["LowRank(0.24)", 2_344_906, 335_698_176],
];

test("WRN-28-10 by linear ShuffleNet and products of two: parameters and operations", () => {
  for (const [blocks, params, macs] of WRN_28_10) {
    const graph = wideResnet({ depth: 28, width: 10, blocks });
    assert.deepEqual([parameterCount(graph), macsOf(graph)], [params, macs], blocks);
  }
});

test("hashed: as many weights as asked for, the operations of the matrix", () => {
  // The published figures count a bias for every output of the 24 layers.
  const biases = 8 * (160 + 320 + 640);
  for (const [share, published] of [
    [0.05, 568_426],
    [0.2, 1_171_690],
  ] as const) {
    const point: Pointwise = (site, x, outputs, name) => {
      const inputs = site.graph.typeOf(x).shape.at(-1)!;
      const weights = { count: Math.floor(inputs * outputs * share) };
      return hashedLinear({ weights, bias: false })(site, x, outputs, name);
    };
    const graph = wideResnet({ depth: 28, width: 10, blocks: separable(point) });
    assert.deepEqual([parameterCount(graph) + biases, macsOf(graph)], [published, 627_386_624]);
  }
  // With the bias as one more input, hashed: c (inputs + 1) outputs, rounded up.
  assert.equal(sizeOf(hashedLinear({ weights: { share: 1 / 8 } }), 100, 30), 379);
  assert.equal(sizeOf(hashedLinear({ weights: { share: 1 / 64 } }), 100, 30), 48);
});

test("fresh layers: elements of the matrix have the variance of a dense layer's", () => {
  for (const point of [ttLinear({ ranks: { share: 0.5 } }), ttTensor({ share: 0.5 })]) {
    const seeds = [1, 2, 3, 4, 5, 6];
    const all = seeds.flatMap((seed) => matrixOf(point, 64, 64, seed));
    const variance = all.reduce((sum, w) => sum + w * w, 0) / all.length;
    assert.ok(Math.abs(64 * variance - 1) < 0.2, `${64 * variance}`);
  }
});

test("ACDC: the width from which layers take fewer operations than their matrix", () => {
  const golden = [
    [1, 29],
    [2, 70],
    [4, 163],
    [12, 603],
  ] as const;
  for (const [layers, want] of golden) {
    let n = 1;
    while (matrixPays(n, layers, 1)) n++;
    assert.equal(n, want, `${layers} layers`);
  }
});

test("linear ACDC: its matrix and its layers, of the same weights, give the same", () => {
  for (const [inputs, outputs] of [
    [16, 16],
    [12, 32],
    [32, 16],
  ] as const) {
    const options = { layers: 3, deviation: 0.3, seed: 4 };
    const want = matrixOf(acdcStack({ ...options, relu: false, bias: false }), inputs, outputs, 9);
    const got = matrixOf(linearAcdcStack(options), inputs, outputs, 9);
    for (const [i, w] of want.entries()) assert.ok(Math.abs(got[i]! - w) < 1e-5, `${i}`);
    const rows = layer(linearAcdcStack(options), inputs, outputs);
    assert.equal(macsOf(rows), inputs * inputs * outputs);
  }
});

test("a fresh stack of twelve ACDC layers keeps lengths as far as its deviation allows", () => {
  // Smallest and largest singular values as golden/acdc_check.py gives them, by another generator.
  for (const [deviation, low, high] of [
    [0.01, 0.9, 1.12],
    [0.061, 0.5, 2],
    [0.1, 0.3, 3.1],
  ] as const) {
    const point = acdcStack({ layers: 12, relu: false, bias: false, deviation });
    const { s: values } = svd(matOf(64, 64, Float64Array.from(matrixOf(point, 64, 64, 1))));
    const [least, most] = [Math.min(...values), Math.max(...values)];
    assert.ok(Math.abs(Math.log(least / low)) < 0.3, `${deviation}: ${least}`);
    assert.ok(Math.abs(Math.log(most / high)) < 0.3, `${deviation}: ${most}`);
  }
});
