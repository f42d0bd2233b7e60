/** @file Derivatives of element-wise functions of two operands, with NumPy broadcasting. */
import type { Value } from "../../graph/graph.ts";
import type { Attrs, Op } from "../../graph/op.ts";
import { elementwiseOps as e } from "../../ops/elementwise/index.ts";
import { Calc, num } from "../calc.ts";
import { type Backward, defineSingle, defineVjp, type VjpRule } from "../rule.ts";

interface At {
  readonly a: Value;
  readonly b: Value;
  readonly y: Value;
  readonly ct: Value;
  readonly c: Calc;
  f(op: Op, v: Value): Value;
}

type Half = (at: At) => Value;

/** The cotangents of both operands, before they are summed over repeated axes. */
const binary = <A extends Attrs>(op: Op<A>, forA: Half, forB: Half): VjpRule =>
  defineSingle(op, (ct, back: Backward<A>) => {
    const c = new Calc(back.g);
    const [a, b] = back.ins as [Value, Value];
    const f = (g: Op, v: Value): Value => back.g.apply(g, [v]);
    const at = { a, b, y: back.outs[0]!, ct, c, f };
    return [forA, forB].map((half, i) =>
      back.wants(i) ? c.unbroadcast(half(at), c.shape(back.ins[i]!)) : null,
    );
  });

const flat = (op: Op): VjpRule => defineVjp(op, (b) => b.ins.map(() => null));

/** Ties go to the first operand. */
const extremum = (op: Op, first: Op): VjpRule =>
  binary(
    op,
    ({ a, b, ct, c }) => c.keep(c.compare(first, a, b), ct),
    ({ a, b, ct, c }) => c.select(c.compare(first, a, b), num(0), ct),
  );

export const binaryRules: readonly VjpRule[] = [
  binary(
    e.add,
    ({ ct }) => ct,
    ({ ct }) => ct,
  ),
  binary(
    e.sub,
    ({ ct }) => ct,
    ({ ct, c }) => c.neg(ct),
  ),
  binary(
    e.mul,
    ({ b, ct, c }) => c.mul(ct, b),
    ({ a, ct, c }) => c.mul(ct, a),
  ),
  binary(
    e.div,
    ({ b, ct, c }) => c.div(ct, b),
    ({ b, y, ct, c }) => c.neg(c.div(c.mul(ct, y), b)),
  ),
  binary(
    e.pow,
    ({ a, b, ct, c }) => c.mul(ct, c.mul(b, c.g.apply(e.pow, [a, c.sub(b, num(1))]))),
    ({ a, y, ct, c, f }) =>
      c.keep(c.compare(e.greater, a, num(0)), c.mul(ct, c.mul(y, f(e.log, a)))),
  ),
  binary(
    e.mod,
    ({ ct }) => ct,
    ({ a, b, y, ct, c, f }) => c.neg(c.mul(ct, f(e.round, c.div(c.sub(a, y), b)))),
  ),
  extremum(e.max, e.greater_equal),
  extremum(e.min, e.less_equal),
  binary(
    e.prelu,
    ({ a, b, ct, c }) => c.select(c.compare(e.less, a, num(0)), c.mul(ct, b), ct),
    ({ a, ct, c }) => c.keep(c.compare(e.less, a, num(0)), c.mul(ct, a)),
  ),
  binary(
    e.squared_difference,
    ({ a, b, ct, c }) => c.mul(ct, c.mul(c.sub(a, b), num(2))),
    ({ a, b, ct, c }) => c.mul(ct, c.mul(c.sub(b, a), num(2))),
  ),
  binary(
    e.atan2,
    ({ a, b, ct, c }) => c.div(c.mul(ct, b), c.add(c.mul(a, a), c.mul(b, b))),
    ({ a, b, ct, c }) => c.neg(c.div(c.mul(ct, a), c.add(c.mul(a, a), c.mul(b, b)))),
  ),
  defineSingle(e.where, (ct, b) => {
    const c = new Calc(b.g);
    const [condition, x, y] = b.ins as [Value, Value, Value];
    return [
      null,
      c.unbroadcast(c.keep(condition, ct), c.shape(x)),
      c.unbroadcast(c.select(condition, num(0), ct), c.shape(y)),
    ];
  }),
  defineSingle(e.relu_backward, (ct, b) => {
    const part = b.g.apply(e.relu_backward, [ct, b.ins[1]!]);
    return [new Calc(b.g).unbroadcast(part, b.type(b.ins[0]!).shape), null];
  }),
  ...[
    e.floor_div,
    e.equal,
    e.not_equal,
    e.less,
    e.less_equal,
    e.greater,
    e.greater_equal,
    e.and,
    e.or,
    e.xor,
    e.bitwise_and,
    e.bitwise_or,
    e.bitwise_xor,
    e.shift_left,
    e.shift_right,
  ].map((op) => flat(op)),
];
