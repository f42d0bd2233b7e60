/** @file Substitutes compute what they say, in every geometry, here and in ONNX Runtime. */
import assert from "node:assert/strict";
import { test } from "node:test";
import {
  type ConvCase,
  close,
  distance,
  normals,
  plain,
} from "../../../test/support/decompositions.ts";
import { runOrt, seededFeeds } from "../../../test/support/whole-models.ts";
import { exportOnnx } from "../../formats/onnx/export.ts";
import { macsOf, parameterCount } from "../../graph/count.ts";
import { type Graph, GraphBuilder } from "../../graph/graph.ts";
import { interpret } from "../../graph/interpret.ts";
import { verifyGraph } from "../../graph/verify.ts";
import { conv } from "../../ops/nn/conv.ts";
import { type Tensor, tensorOf, tensorType, toNumbers } from "../../tensor/tensor.ts";
import { product } from "../../util/math.ts";
import { makeRng, type Rng } from "../../util/rng.ts";
import { squaredNorm } from "../factorise/linear-algebra.ts";
import { substitutable, substitute } from "./substitute.ts";
import { formOf, substituteType } from "./type.ts";
import { written } from "./write.ts";

interface Case extends ConvCase {
  readonly residual: boolean;
}

const none = { bias: false, residual: false } as const;

const CASES: readonly Case[] = [
  {
    ...{ ...plain, layout: "nhwc", kernel: [3, 3], padBegin: [1, 1], padEnd: [1, 1] },
    ...{ bias: true, residual: true },
  },
  { ...plain, ...none, layout: "nchw", kernel: [3, 3], stride: [2, 1], padEnd: [1, 2] },
  {
    ...{ layout: "nchw", kernel: [3, 2], stride: [1, 2], padBegin: [0, 1], padEnd: [2, 0] },
    ...{ dilation: [2, 1], bias: true, residual: false },
  },
  { ...plain, layout: "nhwc", kernel: [1, 1], bias: true, residual: false },
];

const [INPUTS, OUTPUTS] = [8, 12];

const randomTensor = (rng: Rng, dtype: "f32" | "f64", shape: readonly number[]): Tensor =>
  tensorOf(dtype, shape, normals(rng, product(shape)));

/** One convolution, 8 to 12 channels on 7 x 6 positions, batch 2, with the given weights or random ones. */
function convGraph(c: Case, dtype: "f32" | "f64", weights?: Float64Array): Graph {
  const rng = makeRng(10);
  const g = new GraphBuilder("conv");
  const last = c.layout === "nhwc";
  const [h, w] = c.kernel;
  const x = g.input("x", tensorType(dtype, last ? [2, 7, 6, INPUTS] : [2, INPUTS, 7, 6]));
  const drawn = normals(rng, OUTPUTS * INPUTS * h * w);
  const data = weights ?? drawn;
  const order = new Float64Array(data.length);
  const taps = h * w;
  data.forEach((value, at) => {
    const [o, i, t] = [Math.floor(at / (INPUTS * taps)), Math.floor(at / taps) % INPUTS, at % taps];
    order[last ? (o * taps + t) * INPUTS + i : at] = value;
  });
  const shape = last ? [OUTPUTS, h, w, INPUTS] : [OUTPUTS, INPUTS, h, w];
  const ins = [x, g.constant(tensorOf(dtype, shape, order), "weight")];
  if (c.bias) ins.push(g.constant(randomTensor(rng, dtype, [OUTPUTS]), "bias"));
  const { bias: _b, residual, kernel: _k, ...moves } = c;
  if (residual) ins.push(g.input("rest", tensorType(dtype, [2, 7, 6, OUTPUTS])));
  const act = residual ? { act: { fn: "relu" } as const } : {};
  g.output(g.apply(conv, ins, { ...moves, ...act, groups: 1 }, "layer"), "y");
  return g.build();
}

const BLOCKS = ["G(2)", "G(N/4)", "DW", "DW(2)", "GC(4)", "B(2)", "BG(2,3)", "BG(2,M)"];
const all = () => true;

test("the sub-graph computes the layer with the weights the parts multiply out to, in every geometry", () => {
  let checked = 0;
  for (const c of CASES) {
    const graph = convGraph(c, "f64");
    const [layer] = substitutable(graph, all);
    for (const block of BLOCKS) {
      const form = formOf(substituteType(block), layer!.kernel);
      if (typeof form === "string") {
        assert.match(form, /8 groups do not divide its 12 outputs/);
        continue;
      }
      const found = substitute(graph, { block, layers: all, always: true });
      verifyGraph(found.graph);
      const { dense } = written(layer!, form, "nothing");
      const feeds = graph.inputs.map((v) =>
        randomTensor(makeRng(99 + v), "f64", graph.values.get(v)!.type.shape),
      );
      const [got] = interpret(found.graph, feeds);
      const [want] = interpret(convGraph(c, "f64", dense), feeds);
      assert.deepEqual(got!.type, want!.type);
      const expected = toNumbers(want!);
      toNumbers(got!).forEach((y, i) => {
        close(y, expected[i]!, 1e-9);
      });
      const [report] = found.layers;
      assert.equal(report!.after.params, parameterCount(found.graph) - (c.bias ? OUTPUTS : 0));
      assert.equal(report!.after.macs, macsOf(found.graph));
      const k = layer!.kernel.data;
      close(report!.error, Math.sqrt(distance(dense, k) / squaredNorm(k)), 1e-12);
      checked++;
    }
  }
  // One channel a group of 1 x 1 stands alone.
  assert.equal(checked, CASES.length * BLOCKS.length - 2);
});

test("exported substitutes agree in ONNX Runtime, with norms and ReLUs between too", async () => {
  for (const c of CASES) {
    // A residual is fused only behind import.
    const graph = convGraph({ ...c, residual: false }, "f32");
    for (const block of ["G(4)", "DW", "GC(4)", "BG(2,3)"]) {
      for (const between of ["nothing", "norm", "relu"] as const) {
        if (between !== "nothing" && (block === "GC(4)" || c.kernel[0] === 1)) continue;
        if (block === "DW" && c.kernel[0] === 1) continue;
        const found = substitute(graph, { block, between, layers: all, always: true });
        const feeds = seededFeeds(found.graph, 5);
        const [got] = await runOrt(exportOnnx(found.graph), feeds);
        const [want] = interpret(found.graph, feeds);
        toNumbers(want!).forEach((y, i) => {
          close(Number(got![i]), y, 1e-4);
        });
        if (between === "norm") {
          const [plainly] = interpret(
            substitute(graph, { block, layers: all, always: true }).graph,
            feeds,
          );
          toNumbers(plainly!).forEach((y, i) => {
            close(toNumbers(want!)[i]!, y, 1e-4);
          });
        }
      }
    }
  }
});

test("what cannot be is refused or stays, with the reason", () => {
  const graph = convGraph(CASES[1]!, "f32");
  assert.throws(() => substitute(graph, { block: "G(0)", layers: all }), /no substitute 'G\(0\)'/);
  assert.throws(() => substitute(graph, { block: "S(2)", layers: all }), /no substitute/);
  assert.throws(() => substitute(graph, { block: "G(3)", layers: all }), /no convolution/);
  assert.throws(
    () => substitute(graph, { block: "B(1)", layers: all }),
    (e) => {
      assert.match((e as { hint: string }).hint, /layer: B\(1\) saves neither/);
      return true;
    },
  );
  // The only layer is the first and the last one.
  assert.throws(() => substitute(graph, { block: "G(4)" }), /no convolution of conv is replaced/);
});
