/** @file Recognises functions that exporters write out in elementary operators: gelu, swish, hard-swish. */
import type { Node, Value } from "../graph/graph.ts";
import { type NodeRule, type RewriteContext, rewrite } from "../graph/rewrite.ts";
import { add } from "../ops/elementwise/add.ts";
import { clip } from "../ops/elementwise/clip.ts";
import { erf } from "../ops/elementwise/erf.ts";
import { gelu } from "../ops/elementwise/gelu.ts";
import { hardSigmoid } from "../ops/elementwise/hard-sigmoid.ts";
import { hardSwish } from "../ops/elementwise/hard-swish.ts";
import { mish } from "../ops/elementwise/mish.ts";
import { sigmoid } from "../ops/elementwise/sigmoid.ts";
import { softplus } from "../ops/elementwise/softplus.ts";
import { swish } from "../ops/elementwise/swish.ts";
import { tanh } from "../ops/elementwise/tanh.ts";
import { sameShape } from "../tensor/tensor.ts";
import { definePass, repeat } from "./pass.ts";
import { near, numberOf, type Product, producedBy, productOf, sumWithNumber } from "./patterns.ts";

type Emit = (ctx: RewriteContext, x: Value, name: string) => Value;

/** A function found: what it is applied to and how to write it. */
interface Found {
  readonly x: Value;
  readonly emit: Emit;
}

/** k when `v` is k * x. */
function multipleOf(ctx: RewriteContext, v: Value, x: Value): number | null {
  const { coefficient, factors } = productOf(ctx, v, 6, x);
  return factors.length === 1 && factors[0] === x ? coefficient : null;
}

/** x + 0.044715 x^3. */
function isCubic(ctx: RewriteContext, v: Value, x: Value): boolean {
  const sum = producedBy(ctx, v, add);
  const rest = sum?.ins.find((u) => u !== x);
  if (sum === null || !sum.ins.includes(x) || rest === undefined) return false;
  const { coefficient, factors } = productOf(ctx, rest, 6, x);
  return near(coefficient, 0.044715) && factors.length === 3 && factors.every((f) => f === x);
}

/** gate * x * coefficient, where gate is the second factor. */
function gatedFunction(
  ctx: RewriteContext,
  x: Value,
  gate: Value,
  coefficient: number,
): Emit | null {
  const logistic = producedBy(ctx, gate, sigmoid);
  if (logistic !== null && coefficient === 1) {
    const alpha = multipleOf(ctx, logistic.ins[0]!, x);
    if (alpha !== null)
      return (c, v, name) => c.builder.apply(swish, [c.value(v)], { alpha }, name);
  }
  if (isHardSigmoid(ctx, gate, x, coefficient)) {
    return (c, v, name) => c.builder.apply(hardSwish, [c.value(v)], {}, name);
  }
  const soft = producedBy(ctx, producedBy(ctx, gate, tanh)?.ins[0], softplus);
  if (soft !== null && soft.ins[0] === x && coefficient === 1) {
    return (c, v, name) => c.builder.apply(mish, [c.value(v)], {}, name);
  }
  return near(coefficient, 0.5) ? geluOf(ctx, x, gate) : null;
}

function isHardSigmoid(ctx: RewriteContext, gate: Value, x: Value, coefficient: number): boolean {
  const hard = producedBy(ctx, gate, hardSigmoid);
  if (hard !== null) {
    const { alpha, beta } = hard.attrs;
    return hard.ins[0] === x && coefficient === 1 && near(alpha, 1 / 6) && near(beta, 0.5);
  }
  return near(coefficient, 1 / 6) && clippedLine(ctx, gate, x) !== null;
}

/** The x of clip(x + 3, 0, 6). */
function clippedLine(ctx: RewriteContext, v: Value, x: Value | null): Value | null {
  const clipped = producedBy(ctx, v, clip);
  if (clipped === null || clipped.attrs.min !== 0 || clipped.attrs.max !== 6) return null;
  const sum = sumWithNumber(ctx, clipped.ins[0]);
  return sum?.number === 3 && (x === null || sum.term === x) ? sum.term : null;
}

/** gate is 1 + erf(x / sqrt 2), or 1 + tanh(sqrt(2 / pi) (x + 0.044715 x^3)). */
function geluOf(ctx: RewriteContext, x: Value, gate: Value): Emit | null {
  const sum = sumWithNumber(ctx, gate);
  if (sum === null || sum.number !== 1) return null;
  const emit =
    (approximate: "none" | "tanh"): Emit =>
    (c, v, name) =>
      c.builder.apply(gelu, [c.value(v)], { approximate }, name);
  const error = producedBy(ctx, sum.term, erf);
  if (error !== null) {
    const k = multipleOf(ctx, error.ins[0]!, x);
    return k !== null && near(k, Math.SQRT1_2) ? emit("none") : null;
  }
  const inner = producedBy(ctx, sum.term, tanh)?.ins[0];
  if (inner === undefined) return null;
  const { coefficient, factors } = productOf(ctx, inner, 6, x);
  const [f] = factors;
  if (factors.length !== 1 || !near(coefficient, Math.sqrt(2 / Math.PI))) return null;
  return isCubic(ctx, f!, x) ? emit("tanh") : null;
}

/** Expands the product no deeper than needed: the argument may itself be a product. */
function find(node: Node, ctx: RewriteContext): Found | null {
  for (let depth = 1; depth <= 4; depth++) {
    const found = findIn(productOf(ctx, node.outs[0]!, depth), node, ctx);
    if (found !== null) return found;
  }
  return null;
}

function findIn({ coefficient, factors }: Product, node: Node, ctx: RewriteContext): Found | null {
  const [a, b] = factors;
  if (factors.length === 1 && a !== node.outs[0] && near(coefficient, 1 / 6)) {
    const x = clippedLine(ctx, a!, null);
    const attrs = { alpha: Math.fround(1 / 6), beta: 0.5 };
    const emit: Emit = (c, v, name) => c.builder.apply(hardSigmoid, [c.value(v)], attrs, name);
    return x === null ? null : { x, emit };
  }
  if (factors.length !== 2 || coefficient === 0) return null;
  for (const [x, gate] of [
    [a!, b!],
    [b!, a!],
  ] as const) {
    const emit = gatedFunction(ctx, x, gate, coefficient);
    if (emit !== null) return { x, emit };
  }
  return null;
}

const fuse: NodeRule = (node, ctx) => {
  if (node.outs.length !== 1 || numberOf(ctx, node.outs[0]!) !== null) return null;
  const found = find(node, ctx);
  if (found === null) return null;
  const [x, y] = [ctx.typeOf(found.x), ctx.typeOf(node.outs[0]!)];
  if (x.dtype !== y.dtype || y.quant !== undefined || !sameShape(x.shape, y.shape)) return null;
  return [found.emit(ctx, found.x, node.name)];
};

export const fuseFunctions = definePass({
  name: "fuse-functions",
  doc: "Products that write out gelu, swish, hard-swish, hard-sigmoid or mish become those operators.",
  run: (graph) => repeat(graph, (g) => rewrite(g, fuse)),
});
