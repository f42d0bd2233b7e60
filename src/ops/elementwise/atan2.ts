/** @file The angle of the point (x = second operand, y = first operand). */
import * as k from "../../kernel/build.ts";
import { binaryOp } from "./binary-op.ts";
import { FLOATS } from "./factory.ts";

export const atan2 = binaryOp({
  name: "atan2",
  dtypes: FLOATS,
  js: (y, x) => Math.atan2(y, x),
  expr: (y, x) => k.call("atan2", y, x),
  attrs: [{}],
});
