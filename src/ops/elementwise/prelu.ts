/** @file x where x >= 0, else slope * x. */
import * as k from "../../kernel/build.ts";
import { isUnsignedWide } from "../lowering.ts";
import { binaryOp } from "./binary-op.ts";
import { NUMBERS, zeroOf } from "./factory.ts";

export const prelu = {
  ...binaryOp({
    name: "prelu",
    dtypes: NUMBERS,
    js: (x, slope, _, r) => (x >= 0 ? x : r(slope * x)),
    int: (x, slope) => (x >= 0 ? x : Math.imul(slope, x)),
    big: (x, slope) => (x >= 0n ? x : slope * x),
    expr: (x, slope, { dtype }) =>
      isUnsignedWide(dtype) ? x : k.select(k.ge(x, zeroOf(x)), x, k.mul(slope, x)),
    exact: true,
    attrs: [{}],
  }),
  parameters: [1],
};
