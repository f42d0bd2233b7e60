/** @file A small transformer encoder of the size of BERT-mini, behind its embedding: 4 layers, 256 wide, 4 heads. */
import type { Graph, Value } from "../../src/graph/graph.ts";
import { add } from "../../src/ops/elementwise/add.ts";
import { gelu } from "../../src/ops/elementwise/gelu.ts";
import { mul } from "../../src/ops/elementwise/mul.ts";
import { matmul } from "../../src/ops/nn/matmul.ts";
import { layerNorm } from "../../src/ops/nn/row-norm.ts";
import { softmax } from "../../src/ops/reduce/softmax.ts";
import { reshape } from "../../src/ops/shape/reshape.ts";
import { transpose } from "../../src/ops/shape/transpose.ts";
import { tensorOf, tensorType } from "../../src/tensor/tensor.ts";
import { LayerBuilder } from "./layers.ts";

export const TRANSFORMER = { layers: 4, width: 256, heads: 4, tokens: 128, hidden: 1024 } as const;

function norm(b: LayerBuilder, x: Value, at: string): Value {
  const { width } = TRANSFORMER;
  const gamma = b.constant(`${at}.gamma`, [width], 0.1, 1);
  const beta = b.constant(`${at}.beta`, [width], 0.1);
  return b.graph.apply(layerNorm, [x, gamma, beta], { axis: 2, epsilon: 1e-5 }, at);
}

function attention(b: LayerBuilder, x: Value, at: string): Value {
  const { width, heads, tokens } = TRANSFORMER;
  const g = b.graph;
  const depth = width / heads;
  const perm = [0, 2, 1, 3];
  const head = (name: string): Value => {
    const y = b.linear(x, width, `${at}.${name}`);
    const split = g.apply(
      reshape,
      [y],
      { shape: [1, tokens, heads, depth] },
      `${at}.${name}.split`,
    );
    return g.apply(transpose, [split], { perm }, `${at}.${name}.heads`);
  };
  const [q, k, v] = [head("query"), head("key"), head("value")];
  const scores = g.apply(matmul, [q, k], { transB: true }, `${at}.scores`);
  const factor = g.constant(tensorOf("f32", [], Float32Array.of(1 / Math.sqrt(depth))), "factor");
  const scaled = g.apply(mul, [scores, factor], {}, `${at}.scale`);
  const weights = g.apply(softmax, [scaled], { axis: 3 }, `${at}.softmax`);
  const mixed = g.apply(matmul, [weights, v], {}, `${at}.context`);
  const joined = g.apply(transpose, [mixed], { perm }, `${at}.join`);
  const flat = g.apply(reshape, [joined], { shape: [1, tokens, width] }, `${at}.flat`);
  return b.linear(flat, width, `${at}.output`);
}

export function transformer(): Graph {
  const { layers, width, tokens, hidden } = TRANSFORMER;
  const b = new LayerBuilder("transformer");
  const g = b.graph;
  let x = g.input("embeddings", tensorType("f32", [1, tokens, width]));
  for (let i = 0; i < layers; i++) {
    const at = `layer${i}`;
    const attended = attention(b, x, `${at}.attention`);
    x = norm(b, g.apply(add, [x, attended], {}, `${at}.add`), `${at}.norm`);
    const wide = b.linear(x, hidden, `${at}.up`);
    const active = g.apply(gelu, [wide], { approximate: "none" }, `${at}.gelu`);
    const narrow = b.linear(active, width, `${at}.down`);
    x = norm(b, g.apply(add, [x, narrow], {}, `${at}.add2`), `${at}.norm2`);
  }
  g.output(x, "hidden");
  return g.build();
}
