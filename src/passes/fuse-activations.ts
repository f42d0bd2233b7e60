/** @file Computes an activation where the value it acts on is produced. */
import { isOp, type Node, type Value } from "../graph/graph.ts";
import type { Activation, OutQuant } from "../graph/op.ts";
import { type NodeRule, type RewriteContext, rewrite } from "../graph/rewrite.ts";
import { add } from "../ops/elementwise/add.ts";
import { mul } from "../ops/elementwise/mul.ts";
import { sub } from "../ops/elementwise/sub.ts";
import { SCALARS, stepsOf } from "../ops/scalar.ts";
import { sameQuant, sameShape, toNumbers } from "../tensor/tensor.ts";
import { definePass, repeat } from "./pass.ts";
import { attrOf, tryInfer } from "./rules.ts";

/** An activation, and the operand of the node it acts on. */
interface Found {
  readonly act: Activation;
  readonly operand: Value;
}

/** The node's scalar function as an activation: its attributes without the quantised result type. */
function functionOf(node: Node): Found | null {
  const fn = node.op.scalar;
  if (fn === undefined || SCALARS[fn] === undefined) return null;
  const { out: _, ...parameters } = node.attrs as { readonly out?: OutQuant };
  return { act: { fn, ...parameters }, operand: node.ins[0]! };
}

/** Scaling or shifting of f32 values by one constant number. */
function affineOf(node: Node, ctx: RewriteContext): Found | null {
  const [a, b] = node.ins;
  const type = ctx.typeOf(node.outs[0]!);
  if (node.ins.length !== 2 || type.dtype !== "f32" || type.quant !== undefined) return null;
  const side = ctx.constant(b!) === undefined ? 0 : 1;
  const constant = ctx.constant(node.ins[side]!);
  const operand = side === 1 ? a! : b!;
  if (constant === undefined || constant.data.length !== 1) return null;
  if (!sameShape(ctx.typeOf(operand).shape, type.shape)) return null;
  const c = toNumbers(constant)[0]!;
  const own = attrOf(node, "act") as Activation | undefined;
  const found = (scale: number, shift: number): Found => {
    const affine: Activation = { fn: "affine", scale, shift };
    return { act: own === undefined ? affine : chained(affine, own), operand };
  };
  if (!Number.isFinite(c)) return null;
  if (isOp(node, mul)) return found(c, 0);
  if (isOp(node, add)) return found(1, c);
  if (isOp(node, sub)) return side === 1 ? found(1, -c) : found(-1, c);
  return null;
}

const stepsIn = (act: Activation): readonly Activation[] =>
  act.fn === "chain" ? stepsOf(act) : [act];

const isAffine = (a: Activation): a is Activation & Readonly<Record<"scale" | "shift", number>> =>
  a.fn === "affine";

/** One after the other; scaling, then shifting is one step. */
function chained(first: Activation, second: Activation): Activation {
  const [before, behind] = [stepsIn(first), stepsIn(second)];
  const [last, next] = [before.at(-1)!, behind[0]!];
  const joins = isAffine(last) && isAffine(next) && last.shift === 0 && next.scale === 1;
  const steps = joins
    ? [...before.slice(0, -1), { ...last, shift: next.shift }, ...behind.slice(1)]
    : [...before, ...behind];
  return steps.length === 1 ? steps[0]! : { fn: "chain", steps };
}

/** Functions one result goes through at most. */
const MOST_STEPS = 4;

const fuse: NodeRule = (node, ctx) => {
  const found = functionOf(node) ?? affineOf(node, ctx);
  if (found === null) return null;
  const { operand } = found;
  const producer = ctx.producer(operand);
  if (producer?.op.fuses?.act !== true || ctx.useCount(operand) !== 1) return null;
  const [from, to] = [ctx.typeOf(operand), ctx.typeOf(node.outs[0]!)];
  if (from.dtype !== to.dtype || !sameQuant(from.quant, to.quant)) return null;
  const before = attrOf(producer, "act") as Activation | undefined;
  if (before !== undefined && (from.dtype !== "f32" || from.quant !== undefined)) return null;
  const act = before === undefined ? found.act : chained(before, found.act);
  if (stepsIn(act).length > MOST_STEPS) return null;
  if (from.quant !== undefined && SCALARS[act.fn]!.bounds === undefined) return null;
  const attrs = { ...producer.attrs, act };
  const types = producer.ins.map((v) => ctx.typeOf(v));
  if (tryInfer(producer.op, types, attrs) === null) return null;
  return ctx.builder.applyAll(producer.op, producer.ins.map(ctx.value), attrs, producer.name);
};

export const fuseActivations = definePass({
  name: "fuse-activations",
  doc: `Element-wise functions, and scaling or shifting by a number, are fused into the operator whose result they
    alone read, several one after the other in f32. On
    quantised values only clamps with the same scale and zero point are.`,
  run: (graph) => repeat(graph, (g) => rewrite(g, fuse)),
});
