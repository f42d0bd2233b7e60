/** @file Multi-head self-attention (Vaswani et al., arXiv:1706.03762) from layers of a network. */
import type { Value } from "../graph/graph.ts";
import { mul } from "../ops/elementwise/mul.ts";
import { matmul } from "../ops/nn/matmul.ts";
import { softmax } from "../ops/reduce/softmax.ts";
import { reshape } from "../ops/shape/reshape.ts";
import { transpose } from "../ops/shape/transpose.ts";
import { scalarOf } from "../tensor/tensor.ts";
import { UserError } from "../util/errors.ts";
import type { Net } from "./net.ts";

const HEADS_FIRST = [0, 2, 1, 3];

/** Tokens [batch, tokens, width] attend to one another. */
export function attention(net: Net, x: Value, heads: number, name: string): Value {
  const g = net.graph;
  const [batch, tokens, width] = g.typeOf(x).shape as [number, number, number];
  if (width % heads !== 0) {
    throw new UserError("E_ARGUMENT", `${width} channels cannot be split among ${heads} heads`, {
      where: name,
      hint: "expected a width that is a multiple of the heads",
    });
  }
  const depth = width / heads;
  const project = (part: string): Value => {
    const y = net.linear(x, width, `${name}.${part}`);
    const split = g.apply(reshape, [y], { shape: [batch, tokens, heads, depth] });
    return g.apply(transpose, [split], { perm: HEADS_FIRST });
  };
  const [q, k, v] = [project("query"), project("key"), project("value")];
  const scores = g.apply(matmul, [q, k], { transB: true }, `${name}.scores`);
  const factor = g.constant(scalarOf("f32", 1 / Math.sqrt(depth)));
  const weights = g.apply(
    softmax,
    [g.apply(mul, [scores, factor])],
    { axis: 3 },
    `${name}.softmax`,
  );
  const mixed = g.apply(matmul, [weights, v], {}, `${name}.mix`);
  const joined = g.apply(transpose, [mixed], { perm: HEADS_FIRST });
  const flat = g.apply(reshape, [joined], { shape: [batch, tokens, width] });
  return net.linear(flat, width, `${name}.output`);
}
