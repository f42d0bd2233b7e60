/** @file Which of several ways to compute an operator a training step takes. */
import { type Graph, isOp, type Node, typeOf } from "../graph/graph.ts";
import { acdc } from "../ops/nn/acdc.ts";
import { dct, trainingForm } from "../ops/nn/dct.ts";

/** The attributes of a model's node inside a training step. */
export function trainingAttrs(model: Graph, node: Node): Node["attrs"] {
  if (!isOp(node, acdc) && !isOp(node, dct)) return node.attrs;
  const n = typeOf(model, node.outs[0]!).shape.at(-1)!;
  return { ...node.attrs, form: trainingForm(n, node.attrs.form) };
}
