/** @file Second moments measured on data, and what they are good for. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { type Graph, GraphBuilder } from "../../graph/graph.ts";
import { interpret, interpretExecutor } from "../../graph/interpret.ts";
import { relu } from "../../ops/elementwise/relu.ts";
import { conv } from "../../ops/nn/conv.ts";
import { type Tensor, tensorOf, tensorType, toNumbers } from "../../tensor/tensor.ts";
import { product } from "../../util/math.ts";
import { makeRng } from "../../util/rng.ts";
import { inputMoments } from "./moments.ts";
import { substitutable, substitute } from "./substitute.ts";

const window = { stride: [1, 1], padBegin: [1, 1], padEnd: [1, 1], dilation: [1, 1], groups: 1 };

/** Two convolutions; channels between them have scales from 1 to 1/50. */
function network(layout: "nchw" | "nhwc"): Graph {
  const rng = makeRng(1);
  const g = new GraphBuilder("two");
  const last = layout === "nhwc";
  const weights = (outputs: number, inputs: number, fading: boolean): Tensor => {
    const shape = last ? [outputs, 3, 3, inputs] : [outputs, inputs, 3, 3];
    const each = 9 * inputs;
    const of = (i: number): number => (fading ? 50 ** -(Math.floor(i / each) / outputs) : 1);
    const data = Array.from({ length: product(shape) }, (_, i) => of(i) * rng.normal());
    return tensorOf("f64", shape, data);
  };
  const x = g.input("x", tensorType("f64", last ? [1, 5, 6, 2] : [1, 2, 5, 6]));
  const attrs = { ...window, layout };
  const h = g.apply(relu, [g.apply(conv, [x, g.constant(weights(8, 2, true))], attrs, "stem")]);
  const y = g.apply(conv, [h, g.constant(weights(6, 8, false))], attrs, "middle");
  g.output(h, "between");
  g.output(y, "result");
  g.output(g.apply(conv, [y, g.constant(weights(2, 6, false))], attrs, "end"), "y");
  return g.build();
}

const rowsOf = (graph: Graph, count: number): Tensor[][] =>
  Array.from({ length: count }, (_, n) => {
    const rng = makeRng(50 + n);
    const { shape } = graph.values.get(graph.inputs[0]!)!.type;
    return [
      tensorOf(
        "f64",
        shape,
        Array.from({ length: 60 }, () => rng.normal()),
      ),
    ];
  });

for (const layout of ["nchw", "nhwc"] as const) {
  test(`${layout}: moments are means of products in windows, and bring results nearer`, async () => {
    const graph = network(layout);
    const rows = rowsOf(graph, 6);
    const layers = substitutable(graph);
    assert.deepEqual(
      layers.map((l) => l.name),
      ["middle"],
    );
    const moments = await inputMoments(graph, layers, interpretExecutor, rows);
    const got = moments.get(layers[0]!.node)!;
    const want = new Float64Array(72 * 72);
    for (const feeds of rows) {
      const h = toNumbers(interpret(graph, feeds)[0]!);
      const at = (c: number, y: number, x: number): number => {
        if (y < 0 || y >= 5 || x < 0 || x >= 6) return 0;
        return h[layout === "nhwc" ? (y * 6 + x) * 8 + c : (c * 5 + y) * 6 + x]!;
      };
      for (let p = 0; p < 30; p++) {
        const seen = Array.from({ length: 72 }, (_, i) =>
          at(
            Math.floor(i / 9),
            Math.floor(p / 6) + (Math.floor(i / 3) % 3) - 1,
            (p % 6) + (i % 3) - 1,
          ),
        );
        for (let i = 0; i < want.length; i++) want[i]! += seen[Math.floor(i / 72)]! * seen[i % 72]!;
      }
    }
    want.forEach((x, i) => {
      assert.ok(Math.abs(got.data[i]! - x / 180) < 1e-9 * want[0]!);
    });
    // On rows that were not measured.
    const fresh = rowsOf(graph, 12).slice(6);
    const distance = (other: Graph): number =>
      fresh.reduce((sum, feeds) => {
        const [a, b] = [graph, other].map((g) => toNumbers(interpret(g, feeds)[1]!));
        return sum + a!.reduce((s, x, i) => s + (x - b![i]!) ** 2, 0);
      }, 0);
    for (const block of ["G(2)", "DW", "B(2)", "BG(2,3)"]) {
      const plain = substitute(graph, { block, always: true });
      const aware = substitute(graph, { block, moments, always: true });
      assert.ok(distance(aware.graph) < distance(plain.graph), block);
      assert.ok(aware.layers[0]!.resultError! <= 1 && plain.layers[0]!.resultError === null);
    }
    await assert.rejects(inputMoments(graph, layers, interpretExecutor, []), /no rows to measure/);
  });
}
