/** @file Arithmetic on values of a graph under construction, as rules write it. */
import type { GraphBuilder, Value } from "../graph/graph.ts";
import type { Op } from "../graph/op.ts";
import { add } from "../ops/elementwise/add.ts";
import { div } from "../ops/elementwise/div.ts";
import { mul } from "../ops/elementwise/mul.ts";
import { neg } from "../ops/elementwise/neg.ts";
import { sub } from "../ops/elementwise/sub.ts";
import { where } from "../ops/elementwise/where.ts";
import { reduceSum } from "../ops/reduce/reductions.ts";
import { expand } from "../ops/shape/expand.ts";
import { reshape } from "../ops/shape/reshape.ts";
import { transpose } from "../ops/shape/transpose.ts";
import { type Shape, sameShape, scalarOf, zeros } from "../tensor/tensor.ts";

/** A value, or a number that takes the dtype of its partner. */
export type Term = Value | { readonly constant: number };

export const num = (constant: number): Term => ({ constant });

const isValue = (t: Term): t is Value => typeof t === "number";

/** Operations on the graph of `g`. Numbers become scalar constants, made once. */
export class Calc {
  readonly g: GraphBuilder;
  private readonly scalars = new Map<string, Value>();

  constructor(g: GraphBuilder) {
    this.g = g;
  }

  /** A scalar of the dtype of `like`. */
  scalar(constant: number, like: Value): Value {
    const { dtype } = this.g.typeOf(like);
    const key = `${dtype}:${Object.is(constant, -0) ? "-0" : constant}`;
    let v = this.scalars.get(key);
    if (v === undefined) {
      v = this.g.constant(scalarOf(dtype, constant));
      this.scalars.set(key, v);
    }
    return v;
  }

  private two(op: Op, a: Term, b: Term): Value {
    const like = isValue(a) ? a : (b as Value);
    const value = (t: Term): Value => (isValue(t) ? t : this.scalar(t.constant, like));
    return this.g.apply(op, [value(a), value(b)]);
  }

  add(a: Term, b: Term): Value {
    return this.two(add, a, b);
  }
  sub(a: Term, b: Term): Value {
    return this.two(sub, a, b);
  }
  mul(a: Term, b: Term): Value {
    return this.two(mul, a, b);
  }
  div(a: Term, b: Term): Value {
    return this.two(div, a, b);
  }
  neg(a: Value): Value {
    return this.g.apply(neg, [a]);
  }

  /** A comparison with a value or number: bool. */
  compare(op: Op, a: Value, b: Term): Value {
    return this.two(op, a, b);
  }

  /** `a` where the condition holds, zero elsewhere. */
  keep(condition: Value, a: Value): Value {
    return this.g.apply(where, [condition, a, this.scalar(0, a)]);
  }

  select(condition: Value, a: Term, b: Term): Value {
    const like = isValue(a) ? a : (b as Value);
    const value = (t: Term): Value => (isValue(t) ? t : this.scalar(t.constant, like));
    return this.g.apply(where, [condition, value(a), value(b)]);
  }

  shape(v: Value): Shape {
    return this.g.typeOf(v).shape;
  }

  reshape(v: Value, shape: Shape): Value {
    return sameShape(this.shape(v), shape) ? v : this.g.apply(reshape, [v], { shape });
  }

  expand(v: Value, shape: Shape): Value {
    return sameShape(this.shape(v), shape) ? v : this.g.apply(expand, [v], { shape });
  }

  transpose(v: Value, perm: readonly number[]): Value {
    return perm.every((p, i) => p === i) ? v : this.g.apply(transpose, [v], { perm });
  }

  sum(v: Value, axes: readonly number[], keepDims = false): Value {
    return axes.length === 0 ? v : this.g.apply(reduceSum, [v], { axes, keepDims });
  }

  zeros(shape: Shape, like: Value): Value {
    const { dtype } = this.g.typeOf(like);
    return this.g.constant(zeros({ dtype, shape }));
  }

  /** Sums a cotangent over the axes along which an operand of `shape` was repeated. */
  unbroadcast(ct: Value, shape: Shape): Value {
    const from = this.shape(ct);
    const lead = from.length - shape.length;
    const axes = from.flatMap((d, i) =>
      i < lead || (shape[i - lead] === 1 && d !== 1) ? [i] : [],
    );
    return this.reshape(this.sum(ct, axes, true), shape);
  }
}
