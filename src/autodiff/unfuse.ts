/** @file What an operator computes on the way out (activation, residual), written as operators of its own. */
import type { GraphBuilder, Node, Value } from "../graph/graph.ts";
import type { Activation, Attrs } from "../graph/op.ts";
import { add } from "../ops/elementwise/add.ts";
import { ops } from "../ops/index.ts";
import { invariant } from "../util/errors.ts";

interface Fused {
  readonly act?: Activation;
}

/** Position of the residual among the inputs of operators that take one. */
const RESIDUAL = 3;

const hasResidual = (node: Node): boolean =>
  node.op.fuses?.residual === true && node.ins.length > RESIDUAL;

export const isFused = (node: Node): boolean =>
  (node.attrs as Fused).act !== undefined || hasResidual(node);

/** The node without what is fused into it, and that behind it. */
export function unfused(g: GraphBuilder, node: Node): Value {
  const { act, ...attrs } = node.attrs as Fused;
  const ins = hasResidual(node) ? node.ins.slice(0, RESIDUAL) : node.ins;
  let v = g.apply(node.op, ins, attrs as Attrs, node.name);
  if (hasResidual(node)) v = g.apply(add, [v, node.ins[RESIDUAL]!]);
  if (act === undefined) return v;
  const { fn, ...params } = act;
  const op = Object.values(ops).find((o) => o.scalar === fn);
  invariant(op !== undefined, () => `no operator computes the activation ${fn}`);
  return g.apply(op, [v], params);
}
