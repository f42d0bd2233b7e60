/** @file Removes operators that give their operand back unchanged, bit for bit. */
import { isOp, type Node, type Value } from "../graph/graph.ts";
import { type NodeRule, type RewriteContext, rewrite } from "../graph/rewrite.ts";
import { add } from "../ops/elementwise/add.ts";
import { cast } from "../ops/elementwise/cast.ts";
import { div } from "../ops/elementwise/div.ts";
import { identity } from "../ops/elementwise/identity.ts";
import { mul } from "../ops/elementwise/mul.ts";
import { pow } from "../ops/elementwise/pow.ts";
import { sub } from "../ops/elementwise/sub.ts";
import { dequantize } from "../ops/quant/dequantize.ts";
import { quantize } from "../ops/quant/quantize.ts";
import { requantize } from "../ops/quant/requantize.ts";
import { SCALARS } from "../ops/scalar.ts";
import { concat } from "../ops/shape/concat.ts";
import { expand } from "../ops/shape/expand.ts";
import { pad } from "../ops/shape/pad.ts";
import { reshape } from "../ops/shape/reshape.ts";
import { slice } from "../ops/shape/slice.ts";
import { split } from "../ops/shape/split.ts";
import { tile } from "../ops/shape/tile.ts";
import { transpose } from "../ops/shape/transpose.ts";
import { isInteger } from "../tensor/dtype.ts";
import { sameType } from "../tensor/tensor.ts";
import { definePass } from "./pass.ts";
import { uniformValue } from "./rules.ts";

/** Operators that move elements and, with the operand's type unchanged, move none. */
function movesNothing(node: Node): boolean {
  if (isOp(node, slice)) return node.attrs.step.every((s) => s === 1);
  if (isOp(node, transpose)) return node.attrs.perm.every((p, i) => p === i);
  if (isOp(node, pad)) return [...node.attrs.before, ...node.attrs.after].every((n) => n === 0);
  const trivial = [identity, reshape, concat, split, expand, tile, cast, requantize];
  return trivial.some((op) => isOp<object>(node, op as never));
}

/** Clamping functions without bounds. */
function clampsNothing(node: Node): boolean {
  const bounds = SCALARS[node.op.scalar ?? ""]?.bounds?.(node.attrs);
  return bounds?.[0] === Number.NEGATIVE_INFINITY && bounds[1] === Number.POSITIVE_INFINITY;
}

/** The operand an arithmetic node returns unchanged because the other one is neutral. */
function neutralOperand(node: Node, ctx: RewriteContext): Value | null {
  const [a, b] = node.ins;
  if (a === undefined || b === undefined) return null;
  const whole = isInteger(ctx.typeOf(a).dtype);
  const x = uniformValue(ctx.constant(a));
  const y = uniformValue(ctx.constant(b));
  // -0 + 0 is 0: in floats only -0 is neutral for addition, only 0 for subtraction.
  const zero = (n: number | null): boolean => (whole ? n === 0 : Object.is(n, -0));
  if (isOp(node, mul)) return y === 1 ? a : x === 1 ? b : null;
  if (isOp(node, add)) return zero(y) ? a : zero(x) ? b : null;
  if (isOp(node, div) || isOp(node, pow)) return y === 1 ? a : null;
  if (isOp(node, sub)) return Object.is(y, 0) ? a : null;
  return null;
}

/** The quantised value that `quantize(dequantize(x))` restores: both with the same parameters. */
function restored(node: Node, ctx: RewriteContext): Value | null {
  if (!isOp(node, quantize)) return null;
  const source = ctx.producer(node.ins[0]!);
  return source !== undefined && isOp(source, dequantize) ? source.ins[0]! : null;
}

const remove: NodeRule = (node, ctx) => {
  if (node.outs.length !== 1) return null;
  const candidate =
    restored(node, ctx) ??
    neutralOperand(node, ctx) ??
    (movesNothing(node) || clampsNothing(node) ? node.ins[0]! : null);
  if (candidate === null) return null;
  return sameType(ctx.typeOf(candidate), ctx.typeOf(node.outs[0]!)) ? [ctx.value(candidate)] : null;
};

export const removeIdentities = definePass({
  name: "remove-identities",
  doc: `Removes operators that change nothing: identity, casts to the same type, empty padding, whole
    slices, neutral operands of arithmetic (not adding +0, which turns -0 into 0).`,
  run: (graph) => rewrite(graph, remove),
});
