/** @file x * clamp(x + 3, 0, 6) / 6. */
import { scalarOp } from "./unary-op.ts";

export const hardSwish = scalarOp("hard_swish", [{}], { exact: true, range: [-4, 4] });
