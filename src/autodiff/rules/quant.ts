/**
 * @file What stands for the derivative of rounding: straight-through estimators. They are not derivatives, which
 * would be zero almost everywhere.
 */
import type { Value } from "../../graph/graph.ts";
import type { GridAttrs } from "../../ops/quant/grid.ts";
import {
  fakeQuantize,
  fakeQuantizeBackward,
  lsqQuantize,
  lsqQuantizeBackward,
} from "../../ops/quant/index.ts";
import type { LsqAttrs } from "../../ops/quant/lsq-quantize.ts";
import { Calc, num } from "../calc.ts";
import { type Backward, defineSingle, type VjpRule } from "../rule.ts";

const straight = defineSingle(fakeQuantize, (ct, b) => {
  const dx = b.g.apply(fakeQuantizeBackward, [...b.ins, ct], b.attrs);
  return [dx, null, null];
});

const gridOf = ({ min, max, axis }: LsqAttrs): GridAttrs => ({ min, max, axis });

/** Rows of axis 0, whatever the axis of the scales. */
function learnedRows(
  c: Calc,
  b: Backward<LsqAttrs>,
  ct: Value,
): { readonly dx: Value; readonly rows: Value } {
  const [x, scale, zero] = b.ins as [Value, Value, Value];
  const shape = c.shape(x);
  const { axis } = b.attrs;
  const rank = shape.length;
  const back = (v: Value): Value => c.reshape(v, shape);
  if (rank === 0) {
    const one = [x, ct].map((v) => c.reshape(v, [1]));
    const [dx, rows] = b.g.applyAll(
      lsqQuantizeBackward,
      [one[0]!, scale, zero, one[1]!],
      gridOf(b.attrs),
    );
    return { dx: back(dx!), rows: rows! };
  }
  const perm = shape.map((_, i) => i);
  if (axis !== null) perm.unshift(...perm.splice(axis, 1));
  const attrs = { ...gridOf(b.attrs), axis: axis === null ? null : 0 };
  const ins = [c.transpose(x, perm), scale, zero, c.transpose(ct, perm)];
  const [dx, rows] = b.g.applyAll(lsqQuantizeBackward, ins, attrs);
  const inverse = perm.map((_, i) => perm.indexOf(i));
  return { dx: c.transpose(dx!, inverse), rows: rows! };
}

const learned = defineSingle(lsqQuantize, (ct, b) => {
  const c = new Calc(b.g);
  const { dx, rows } = learnedRows(c, b, ct);
  const sums = b.attrs.axis === null ? c.sum(rows, [0]) : rows;
  return [dx, c.mul(sums, num(b.attrs.gain)), null];
});

export const quantRules: readonly VjpRule[] = [straight, learned];
