/** @file Factors multiply out to what they say, within their bounds, at the cost they say, in every geometry. */
import assert from "node:assert/strict";
import { test } from "node:test";
import {
  type ConvCase,
  close,
  distance,
  normals,
  plain,
} from "../../../test/support/decompositions.ts";
import { macsOf, parameterCount } from "../../graph/count.ts";
import { type Graph, GraphBuilder } from "../../graph/graph.ts";
import { interpret, interpretExecutor } from "../../graph/interpret.ts";
import { verifyGraph } from "../../graph/verify.ts";
import { conv } from "../../ops/nn/conv.ts";
import { linear } from "../../ops/nn/linear.ts";
import { type Tensor, tensorOf, tensorType, toNumbers } from "../../tensor/tensor.ts";
import { product } from "../../util/math.ts";
import { makeRng, type Rng } from "../../util/rng.ts";
import { compressedNames } from "../compressed.ts";
import { canonical, canonicalDense } from "./cp.ts";
import { evbmf } from "./evbmf.ts";
import { factorise, METHODS, outputErrors } from "./factorise.ts";
import { type Kernel, type Layer, layersOf } from "./layer.ts";
import { matOf, multiply, squaredNorm } from "./linear-algebra.ts";
import { ranksFor, relativeError } from "./ranks.ts";
import { fullRanks, modesOf, tensorOfCores, tensorTrain } from "./tensor-train.ts";
import { tucker, tuckerDense } from "./tucker.ts";

const randomTensor = (rng: Rng, ...shape: number[]): Tensor =>
  tensorOf("f64", shape, normals(rng, product(shape)));

function randomKernel(rng: Rng, outputs: number, inputs: number, height = 3, width = 3): Kernel {
  return { outputs, inputs, height, width, data: normals(rng, outputs * inputs * height * width) };
}

const CASES: readonly ConvCase[] = [
  { ...plain, layout: "nhwc", kernel: [3, 3], padBegin: [1, 1], padEnd: [1, 1], bias: true },
  { ...plain, layout: "nchw", kernel: [3, 3], stride: [2, 1], padEnd: [1, 2], bias: false },
  {
    layout: "nchw",
    kernel: [3, 2],
    stride: [1, 2],
    padBegin: [0, 1],
    padEnd: [2, 0],
    dilation: [2, 1],
    bias: true,
  },
  { ...plain, layout: "nhwc", kernel: [1, 1], bias: true },
  { ...plain, layout: "nchw", kernel: [1, 1], bias: false },
];

const CHANNELS = [8, 12] as const;

/** One convolution in double precision, 8 to 12 channels on 7 x 6 positions, batch 2. */
function convGraph(c: ConvCase, rng: Rng, weights?: Float64Array): Graph {
  const [inputs, outputs] = CHANNELS;
  const g = new GraphBuilder("conv");
  const last = c.layout === "nhwc";
  const x = g.input("x", tensorType("f64", last ? [2, 7, 6, inputs] : [2, inputs, 7, 6]));
  const [h, w] = c.kernel;
  const data = weights ?? normals(rng, outputs * inputs * h * w);
  const shape = last ? [outputs, h, w, inputs] : [outputs, inputs, h, w];
  const own = last ? channelsLast(data, outputs, inputs, h * w) : data;
  const ins = [x, g.constant(tensorOf("f64", shape, own), "weight")];
  if (c.bias) ins.push(g.constant(randomTensor(rng, outputs), "bias"));
  const { bias: _b, kernel: _k, ...attrs } = c;
  g.output(g.apply(conv, ins, { ...attrs, groups: 1 }, "layer"), "y");
  return g.build();
}

function channelsLast(data: Float64Array, outputs: number, inputs: number, taps: number) {
  const out = new Float64Array(data.length);
  for (let t = 0; t < outputs; t++)
    for (let s = 0; s < inputs; s++)
      for (let p = 0; p < taps; p++)
        out[(t * taps + p) * inputs + s] = data[(t * inputs + s) * taps + p]!;
  return out;
}

const BOTH = { stem: true, classifier: true };

for (const [name, method] of Object.entries(METHODS)) {
  test(`${name}: the sub-graph computes the layer with the weights that the factors multiply out to`, () => {
    let checked = 0;
    for (const [i, c] of CASES.entries()) {
      const graph = convGraph(c, makeRng(10 + i));
      const [layer] = layersOf(graph, BOTH) as [Layer];
      if (method.refuses(layer) !== null) continue;
      const ranks = ranksFor(method, layer, { kind: "share", share: 0.5 });
      const found = factorise(graph, {
        ...BOTH,
        method: name,
        ranks: { kind: "fixed", ranks },
        always: true,
      });
      verifyGraph(found.graph);
      const { dense } = method.factor(layer, ranks);
      const expected = convGraph(c, makeRng(10 + i), dense);
      // The bias is drawn behind the weights, which are given here.
      const bias = [...graph.constants].find(([v]) => graph.values.get(v)!.name === "bias");
      const same = bias === undefined ? expected : withBias(expected, bias[1]);
      const feeds = [randomTensor(makeRng(99), ...graph.values.get(graph.inputs[0]!)!.type.shape)];
      const [got] = interpret(found.graph, feeds);
      const [want] = interpret(same, feeds);
      assert.deepEqual(got!.type, want!.type);
      toNumbers(got!).forEach((y, k) => close(y, toNumbers(want!)[k]!, 1e-9));
      const [report] = found.layers;
      const biasCount = c.bias ? CHANNELS[1] : 0;
      // A chain of cores adds its bias as a plain constant.
      const counted = parameterCount(found.graph) - (name === "tt" ? 0 : biasCount);
      assert.equal(report!.after.params, counted);
      assert.equal(report!.after.macs, macsOf(found.graph));
      const tagged = [...found.graph.constants].reduce((n, [v, t]) => {
        const own = compressedNames(found.graph).has(found.graph.values.get(v)!.name);
        return n + (own ? t.data.length : 0);
      }, 0);
      assert.equal(tagged, report!.after.params);
      assert.equal(report!.before.macs, macsOf(graph));
      assert.equal(report!.before.params, parameterCount(graph) - biasCount);
      if (report!.bound !== undefined) assert.ok(report!.error <= report!.bound * (1 + 1e-9));
      checked++;
    }
    assert.ok(checked >= 3);
  });
}

function withBias(graph: Graph, bias: Tensor): Graph {
  const constants = new Map(graph.constants);
  for (const v of constants.keys())
    if (graph.values.get(v)!.name === "bias") constants.set(v, bias);
  return { ...graph, constants };
}

test("at full rank every method but cp gives the weights back", () => {
  for (const [name, method] of Object.entries(METHODS)) {
    if (name === "cp") continue;
    const [layer] = layersOf(convGraph(CASES[0]!, makeRng(3)), BOTH) as [Layer];
    const factors = method.factor(layer, method.full(layer));
    assert.ok(relativeError(layer, factors) < 1e-12, name);
    assert.ok(factors.bound! < 1e-7, `${name}: ${factors.bound}`);
  }
});

test("linear layers: svd and tt", () => {
  const rng = makeRng(8);
  const g = new GraphBuilder("mlp");
  const x = g.input("x", tensorType("f64", [3, 16]));
  const ins = [x, g.constant(randomTensor(rng, 36, 16)), g.constant(randomTensor(rng, 36))];
  g.output(g.apply(linear, ins, {}, "fc"), "y");
  const graph = g.build();
  const feeds = [randomTensor(rng, 3, 16)];
  for (const method of ["svd", "tt"]) {
    const all = { ...BOTH, method, ranks: { kind: "share", share: 1 }, always: true } as const;
    const { graph: changed, layers } = factorise(graph, all);
    assert.ok(layers[0]!.error < 1e-12);
    assert.ok(changed.nodes.length > 1);
    const [got] = interpret(changed, feeds);
    const [want] = interpret(graph, feeds);
    toNumbers(got!).forEach((y, k) => close(y, toNumbers(want!)[k]!, 1e-10));
  }
});

test("tucker: errors within the bound, and never rising under orthogonal iteration", () => {
  const rng = makeRng(21);
  for (let i = 0; i < 20; i++) {
    const k = randomKernel(rng, 3 + rng.int(10), 3 + rng.int(10), 1 + rng.int(3), 1 + rng.int(3));
    const taps = k.height * k.width;
    const r3 = 1 + rng.int(Math.min(k.inputs, k.outputs * taps));
    const r4 = 1 + rng.int(Math.min(k.outputs, k.inputs * taps));
    const first = tucker(k, r3, r4, 0);
    const better = tucker(k, r3, r4);
    const [before, after] = [first, better].map((t) => distance(tuckerDense(k, t), k.data));
    const scale = squaredNorm(k.data);
    assert.ok(before! <= first.bound ** 2 + 1e-12 * scale, `case ${i}`);
    assert.ok(after! <= before! + 1e-12 * scale, `case ${i}`);
    close(after!, better.errors.at(-1)!, 1e-9 * scale);
    better.errors.slice(1).forEach((e, s) => {
      assert.ok(e <= better.errors[s]! + 1e-12 * scale, `case ${i}, sweep ${s}`);
    });
  }
});

test("tensor train: the error is at most the root of the cut squares, and zero at full rank", () => {
  const rng = makeRng(22);
  for (let i = 0; i < 20; i++) {
    const axes = Array.from({ length: 2 + rng.int(3) }, () => 2 + rng.int(5));
    const data = normals(rng, product(axes));
    const full = fullRanks(axes);
    const ranks = full.map((r) => 1 + rng.int(r));
    const some = tensorTrain(data, axes, ranks);
    const scale = squaredNorm(data);
    const cut = some.cut.reduce((a, b) => a + b, 0);
    assert.ok(distance(tensorOfCores(some), data) <= cut + 1e-12 * scale, `case ${i}`);
    const all = tensorTrain(data, axes, full);
    assert.ok(distance(tensorOfCores(all), data) <= 1e-24 * scale + 1e-20, `case ${i}, full`);
  }
});

test("modes multiply to the channels", () => {
  assert.deepEqual(modesOf(64, 3), [4, 4, 4]);
  assert.deepEqual(
    modesOf(160, 3).reduce((a, b) => a * b, 1),
    160,
  );
  assert.deepEqual(modesOf(7, 2), [1, 7]);
});

test("cp: errors never rise, and a kernel of rank 3 is found again", () => {
  const rng = makeRng(31);
  const factors = [6, 5, 3, 3].map((n) => matOf(n, 3, normals(rng, n * 3)));
  const data = canonicalDense(factors as never);
  const k: Kernel = { outputs: 6, inputs: 5, height: 3, width: 3, data };
  const scale = squaredNorm(data);
  const found = canonical(k, 3, 2000);
  assert.ok(found.errors.at(-1)! < 1e-3 * scale, `${found.errors.at(-1)! / scale}`);
  const noisy = randomKernel(rng, 8, 7);
  const { errors } = canonical(noisy, 4);
  assert.ok(errors.length > 1);
  errors.slice(1).forEach((e, s) => {
    assert.ok(e <= errors[s]! * (1 + 1e-9), `sweep ${s}`);
  });
});

test("evbmf: the ranks of golden/evbmf.py, the noise near its true variance", () => {
  const cases = [
    [64, 576, 10, 0.1, 10],
    [64, 576, 10, 0.5, 10],
    [64, 576, 10, 1, 10],
    [64, 576, 10, 2, 10],
    [32, 288, 0, 1, 0],
    [128, 1152, 20, 0.5, 20],
  ] as const;
  for (const [rows, cols, rank, sigma, want] of cases) {
    const rng = makeRng(1);
    const low = multiply(
      matOf(rows, rank, normals(rng, rows * rank)),
      matOf(rank, cols, normals(rng, rank * cols)),
    );
    const noise = normals(rng, rows * cols);
    const found = evbmf(
      matOf(
        rows,
        cols,
        low.data.map((x, i) => x + sigma * noise[i]!),
      ),
    );
    assert.equal(found.rank, want, `${rows} x ${cols}, rank ${rank}, sigma ${sigma}`);
    close(found.noise, sigma ** 2, 0.04 * sigma ** 2);
  }
});

test("ranks by a target of parameters, of operations, by error", () => {
  const [layer] = layersOf(convGraph(CASES[0]!, makeRng(4)), BOTH) as [Layer];
  for (const method of Object.values(METHODS)) {
    for (const kind of ["params", "macs"] as const) {
      const ranks = ranksFor(method, layer, { kind, share: 0.6 });
      const dense = { params: 12 * 8 * 9, macs: 12 * 8 * 9 * 2 * 42 };
      assert.ok(method.cost(layer, ranks)[kind] <= 0.6 * dense[kind], `${method.name} ${kind}`);
    }
    if (method.name === "cp") continue;
    const ranks = ranksFor(method, layer, { kind: "error", most: 0.5 });
    const at = (list: readonly number[]): number =>
      relativeError(layer, method.factor(layer, list));
    assert.ok(at(ranks) <= 0.5, method.name);
    assert.ok(at(ranks.map((r) => Math.max(1, Math.floor(r * 0.8)))) > 0.5, `${method.name} tight`);
  }
});

test("wrong ranks, methods and graphs are refused", () => {
  const graph = convGraph(CASES[0]!, makeRng(4));
  const ranks = { kind: "share", share: 0.5 } as const;
  const run = (options: object) => () =>
    factorise(graph, { ...BOTH, method: "svd", ranks, ...options });
  assert.throws(run({ method: "magic" }), { code: "E_ARGUMENT" });
  assert.throws(run({ ranks: { kind: "fixed", ranks: [1, 2] } }), { code: "E_ARGUMENT" });
  assert.throws(run({ ranks: { kind: "share", share: 0 } }), { code: "E_ARGUMENT" });
  assert.throws(run({ method: "tt", ranks: { kind: "evbmf" } }), { code: "E_ARGUMENT" });
  assert.throws(run({ stem: false }), { code: "E_ARGUMENT" });
  assert.equal(run({ ranks: { kind: "share", share: 1 } })().kept.length, 1);
});

test("errors of results on data: those of the weights where inputs are white", async () => {
  const graph = convGraph({ ...CASES[0]!, bias: false }, makeRng(4));
  const options = { ...BOTH, method: "svd", ranks: { kind: "share", share: 0.5 } } as const;
  const rng = makeRng(5);
  const rows = Array.from({ length: 8 }, () => [randomTensor(rng, 2, 7, 6, 8)]);
  const [found] = await outputErrors(graph, options, interpretExecutor, rows);
  const [layer] = factorise(graph, options).layers;
  close(found!.error, layer!.error, 0.1 * layer!.error);
});
