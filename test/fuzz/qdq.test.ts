/** @file Quantised models written out as dequantize, float operator, quantize fuse back to themselves. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { type Graph, isOp, typeOf, type Value } from "../../src/graph/graph.ts";
import { interpret } from "../../src/graph/interpret.ts";
import type { OutQuant } from "../../src/graph/op.ts";
import { printGraph } from "../../src/graph/print.ts";
import { rewrite } from "../../src/graph/rewrite.ts";
import { verifyGraph } from "../../src/graph/verify.ts";
import { dequantize } from "../../src/ops/quant/dequantize.ts";
import { quantize } from "../../src/ops/quant/quantize.ts";
import { requantize } from "../../src/ops/quant/requantize.ts";
import { fuseQdq } from "../../src/passes/fuse-qdq.ts";
import { type QuantParams, withType } from "../../src/tensor/tensor.ts";
import { makeRng } from "../../src/util/rng.ts";
import { randomGraph, randomTensor } from "./random-graph.ts";

/** Every operator with a quantised result as its float form between dequantize and quantize. */
function writtenOut(g: Graph): Graph {
  return rewrite(g, (node, ctx) => {
    const { out, ...attrs } = node.attrs as { readonly out?: OutQuant };
    const { builder } = ctx;
    if (out === undefined || isOp(node, requantize)) return null;
    const ins = node.ins.map((v: Value, i) => {
      const t = typeOf(g, v);
      if (t.quant !== undefined) return builder.apply(dequantize, [ctx.value(v)]);
      const bias = g.constants.get(v);
      if (i !== 2 || bias === undefined) return ctx.value(v);
      const [x, w] = node.ins.map((u) => typeOf(g, u).quant);
      const scale = w!.scale.map((s) => Math.fround(s * x!.scale[0]!));
      const quant: QuantParams = { scale, zeroPoint: scale.map(() => 0), axis: 0 };
      const stored = builder.constant(withType(bias, { ...t, quant }));
      return builder.apply(dequantize, [stored]);
    });
    const y = builder.applyAll(node.op, ins, attrs, node.name)[0]!;
    return [builder.apply(quantize, [y], { out })];
  });
}

test("dequantize, operator, quantize fuse back", () => {
  for (let seed = 1; seed <= 80; seed++) {
    const rng = makeRng(seed);
    const graph = randomGraph(rng, { quantised: true });
    const apart = writtenOut(graph);
    verifyGraph(apart);
    const fused = fuseQdq.run(apart);
    verifyGraph(fused);
    const feeds = graph.inputs.map((v) => randomTensor(rng, typeOf(graph, v)));
    const expected = interpret(graph, feeds);
    interpret(fused, feeds).forEach((t, i) => {
      assert.deepEqual(t.data, expected[i]!.data, `seed ${seed}\n${printGraph(graph)}`);
    });
    const left = fused.nodes.filter((n) => isOp(n, dequantize) || isOp(n, quantize)).length;
    assert.equal(left, 0, `seed ${seed}\n${printGraph(fused)}`);
  }
});
