/** @file max(x, 0); NaN stays NaN. */
import * as k from "../../kernel/build.ts";
import { isUnsignedWide } from "../lowering.ts";
import { NUMBERS, zeroOf } from "./factory.ts";
import { scalarOp } from "./unary-op.ts";

export const relu = scalarOp("relu", [{}], {
  dtypes: NUMBERS,
  big: (x) => (x < 0n ? 0n : x),
  expr: (x, { dtype }) => (isUnsignedWide(dtype) ? x : k.max(x, zeroOf(x))),
  exact: true,
});
