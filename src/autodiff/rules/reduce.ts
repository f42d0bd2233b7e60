/** @file Derivatives of reductions, softmax and running sums. */
import type { Value } from "../../graph/graph.ts";
import { elementwiseOps as e } from "../../ops/elementwise/index.ts";
import { reduceOps as r } from "../../ops/reduce/index.ts";
import { shapeOps as s } from "../../ops/shape/index.ts";
import type { Shape } from "../../tensor/tensor.ts";
import { product } from "../../util/math.ts";
import { Calc, num } from "../calc.ts";
import { type Backward, defineSingle, defineVjp, type VjpRule } from "../rule.ts";

interface ReduceAttrs {
  readonly axes: readonly number[];
  readonly keepDims: boolean;
}

interface At {
  readonly x: Value;
  /** The result and its cotangent with the reduced axes kept as 1. */
  readonly y: Value;
  readonly ct: Value;
  readonly c: Calc;
  readonly axes: readonly number[];
  readonly shape: Shape;
}

type ReduceOp = (typeof r)["reduce_sum"] | (typeof r)["reduce_mean"];

const reduction = (op: ReduceOp, f: (at: At) => Value): VjpRule =>
  defineSingle(op as (typeof r)["reduce_sum"], (ct, b: Backward<ReduceAttrs>) => {
    const c = new Calc(b.g);
    const x = b.ins[0]!;
    const shape = c.shape(x);
    const { axes } = b.attrs;
    const kept = shape.map((d, i) => (axes.includes(i) ? 1 : d));
    const at = { x, y: c.reshape(b.outs[0]!, kept), ct: c.reshape(ct, kept), c, axes, shape };
    return [f(at)];
  });

/** The cotangent goes to every element equal to the extremum, in equal parts. */
const extremum = (op: ReduceOp): VjpRule =>
  reduction(op, ({ x, y, ct, c, axes }) => {
    const hit = c.compare(e.equal, x, y);
    const one = c.select(hit, c.scalar(1, x), num(0));
    return c.mul(one, c.div(ct, c.sum(one, axes, true)));
  });

/** Products of all other elements, without dividing: what comes before times what comes after. */
const reduceProd = reduction(r.reduce_prod, ({ x, ct, c, axes, shape }) => {
  const rest = shape.map((_, i) => i).filter((i) => !axes.includes(i));
  const perm = [...rest, ...axes];
  const inverse = perm.map((_, i) => perm.indexOf(i));
  const moved = c.transpose(x, perm);
  const lines = c.reshape(moved, [
    product(rest.map((i) => shape[i]!)),
    product(axes.map((i) => shape[i]!)),
  ]);
  const run = (reverse: boolean): Value =>
    c.g.apply(s.cum_prod, [lines], { axis: 1, exclusive: true, reverse });
  const others = c.reshape(c.mul(run(false), run(true)), c.shape(moved));
  return c.mul(ct, c.transpose(others, inverse));
});

export const reduceRules: readonly VjpRule[] = [
  reduction(r.reduce_sum, ({ ct, c, shape }) => c.expand(ct, shape)),
  reduction(r.reduce_mean, ({ ct, c, shape, axes }) => {
    const count = product(axes.map((a) => shape[a]!));
    return c.expand(c.mul(ct, num(1 / count)), shape);
  }),
  reduction(r.reduce_l1, ({ x, ct, c }) => c.mul(ct, c.g.apply(e.sign, [x]))),
  reduction(r.reduce_l2, ({ x, y, ct, c }) => {
    const norm = c.select(c.compare(e.equal, y, num(0)), num(1), y);
    return c.mul(x, c.div(ct, norm));
  }),
  reduction(r.reduce_log_sum, ({ x, ct, c, axes, shape }) =>
    c.expand(c.div(ct, c.sum(x, axes, true)), shape),
  ),
  reduction(r.reduce_log_sum_exp, ({ x, y, ct, c }) => c.mul(ct, c.g.apply(e.exp, [c.sub(x, y)]))),
  reduction(r.reduce_sum_square, ({ x, ct, c }) => c.mul(c.mul(x, num(2)), ct)),
  extremum(r.reduce_max),
  extremum(r.reduce_min),
  reduceProd,
  defineSingle(r.softmax, (ct, b) => {
    const c = new Calc(b.g);
    const y = b.outs[0]!;
    const dot = c.sum(c.mul(ct, y), [b.attrs.axis], true);
    return [c.mul(y, c.sub(ct, dot))];
  }),
  defineSingle(r.log_softmax, (ct, b) => {
    const c = new Calc(b.g);
    const share = b.g.apply(e.exp, [b.outs[0]!]);
    return [c.sub(ct, c.mul(share, c.sum(ct, [b.attrs.axis], true)))];
  }),
  defineSingle(s.cum_sum, (ct, b) => {
    const { axis, exclusive, reverse } = b.attrs;
    return [b.g.apply(s.cum_sum, [ct], { axis, exclusive, reverse: !reverse })];
  }),
  ...[r.arg_max, r.arg_min].map((op) => defineVjp(op, (b) => b.ins.map(() => null))),
];
