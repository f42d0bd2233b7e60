/** @file Replaces functions of one 8-bit value by a table of their 256 results. */

import { evalTensors, inferTypes } from "../graph/apply.ts";
import type { Node, Value } from "../graph/graph.ts";
import { isOp } from "../graph/graph.ts";
import type { OutQuant } from "../graph/op.ts";
import { type NodeRule, type RewriteContext, rewrite } from "../graph/rewrite.ts";
import { lut } from "../ops/quant/lut.ts";
import { isByte } from "../tensor/dtype.ts";
import {
  elementCount,
  isQuantisedByte,
  sameShape,
  type Tensor,
  type TensorType,
  tensorType,
  withType,
  zeros,
} from "../tensor/tensor.ts";
import { definePass } from "./pass.ts";
import { tryInfer } from "./rules.ts";

/** Every value of an 8-bit type, in the order `lut` counts them. */
function allBytes(type: TensorType, length = 256, from = 0): Tensor {
  const t = zeros({ ...type, shape: [length] });
  for (let i = 0; i < length; i++) t.data[i] = from + i - (type.dtype === "i8" ? 128 : 0);
  return t;
}

/** The position of the one variable operand of an element-wise function of it; null: not such a node. */
function variableOperand(node: Node, ctx: RewriteContext): number | null {
  if (node.outs.length !== 1 || node.op.eval === undefined || node.op.lower === undefined)
    return null;
  const variable = node.ins.flatMap((v, i) => (ctx.constant(v) === undefined ? [i] : []));
  const [at] = variable;
  if (at === undefined || variable.length > 1) return null;
  const types = node.ins.map((v) => ctx.typeOf(v));
  const [x, y] = [types[at]!, ctx.typeOf(node.outs[0]!)];
  if (!isQuantisedByte(x) || y.quant === undefined || !isByte(y.dtype)) return null;
  if (types.some((t, i) => i !== at && elementCount(t.shape) !== 1)) return null;
  if (!sameShape(x.shape, y.shape)) return null;
  const sides = node.op.axes?.(types, node.attrs)?.split("->");
  return sides !== undefined && sides[0]!.split(",")[at] === sides[1] ? at : null;
}

/** The node's results for 256 values, computed together and one by one; null when these differ. */
function tableOf(node: Node, ctx: RewriteContext, at: number): Tensor | null {
  const x = ctx.typeOf(node.ins[at]!);
  const others = node.ins.map((v) => {
    const t = ctx.constant(v);
    return t === undefined ? undefined : withType(t, { ...t.type, shape: [1] });
  });
  const run = (t: Tensor): Tensor | null => {
    const ins = others.map((other) => other ?? t);
    const types = ins.map((u) => u.type);
    if (tryInfer(node.op, types, node.attrs) === null) return null;
    return evalTensors(node.op, ins, node.attrs, inferTypes(node.op, types, node.attrs))[0]!;
  };
  const table = run(allBytes(x));
  if (table === null || table.data.length !== 256) return null;
  const alone = [0, 97, 255].every((i) => run(allBytes(x, 1, i))?.data[0] === table.data[i]);
  return alone ? table : null;
}

const lower: NodeRule = (node, ctx) => {
  if (isOp(node, lut) || node.op.view === true || node.op.quant === "same") return null;
  const at = variableOperand(node, ctx);
  const table = at === null ? null : tableOf(node, ctx, at);
  if (at === null || table === null) return null;
  const y = ctx.typeOf(node.outs[0]!);
  const out: OutQuant = { dtype: y.dtype, ...y.quant! };
  const plain = withType(table, tensorType(y.dtype, [256]));
  const ins: readonly Value[] = [ctx.value(node.ins[at]!), ctx.builder.constant(plain)];
  return [ctx.builder.apply(lut, ins, { out }, node.name)];
};

export const lowerLut = definePass({
  name: "lower-lut",
  doc: `Element-wise functions of one 8-bit quantised value (other operands single constants) with an 8-bit
    quantised result become table look-ups.`,
  run: (graph) => rewrite(graph, lower),
});
