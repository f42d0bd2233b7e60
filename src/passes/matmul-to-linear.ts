/** @file A matrix product with a constant matrix is a linear layer. */
import { isOp } from "../graph/graph.ts";
import { type NodeRule, rewrite } from "../graph/rewrite.ts";
import { linear } from "../ops/nn/linear.ts";
import { matmul } from "../ops/nn/matmul.ts";
import { definePass } from "./pass.ts";
import { permuteTensor, storedConstant, tryInfer } from "./rules.ts";

const convert: NodeRule = (node, ctx) => {
  if (!isOp(node, matmul) || node.attrs.transA === true) return null;
  // Two constants are factors of a weight, both learned.
  if (ctx.constant(node.ins[0]!) !== undefined) return null;
  const { transA: _a, transB, ...attrs } = node.attrs;
  const stored = storedConstant(ctx, node.ins[1]!);
  if (stored === null || stored.tensor.type.shape.length !== 2) return null;
  const turned = (t: typeof stored.tensor) => (transB === true ? t : permuteTensor(t, [1, 0]));
  const own = ctx.typeOf(node.ins[1]!);
  const weight = turned({ type: own, data: new Float64Array(0) }).type;
  if (tryInfer(linear, [ctx.typeOf(node.ins[0]!), weight], attrs) === null) return null;
  return [
    ctx.builder.apply(linear, [ctx.value(node.ins[0]!), stored.rebuild(turned)], attrs, node.name),
  ];
};

export const matmulToLinear = definePass({
  name: "matmul-to-linear",
  doc: "Matrix products whose second operand is a constant matrix become linear, which takes a bias.",
  run: (graph) => rewrite(graph, convert),
});
