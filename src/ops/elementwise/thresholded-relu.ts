/** @file x where x > alpha, else 0. */
import * as k from "../../kernel/build.ts";
import { FLOATS, type FloatAttrs } from "./factory.ts";
import { unaryOp } from "./unary-op.ts";

export interface ThresholdedReluAttrs extends FloatAttrs {
  readonly alpha: number;
}

export const thresholdedRelu = unaryOp<ThresholdedReluAttrs>({
  name: "thresholded_relu",
  dtypes: FLOATS,
  js: (x, { alpha }, r) => (x > r(alpha) ? x : 0),
  expr: (x, { attrs: { alpha } }) =>
    k.select(k.binary("gt", x, k.constant(x.type, alpha)), x, k.constant(x.type, 0)),
  exact: true,
  attrs: [{ alpha: 1 }, { alpha: -0.3 }],
});
