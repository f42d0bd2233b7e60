/** @file cubicWeights of src/ops/nn/resize-map.ts as kernel expressions. */
import { add, f64, type KernelBuilder, mul, sub } from "../../kernel/build.ts";
import type { Expr } from "../../kernel/ir.ts";

/** The four weights at fraction `r`, an f64 variable. */
export function cubicExprs(k: KernelBuilder, r: Expr, a: number): readonly Expr[] {
  const far = (t: Expr): Expr => {
    const inner = sub(mul(f64(a), t), f64(5 * a));
    return sub(mul(add(mul(inner, t), f64(8 * a)), t), f64(4 * a));
  };
  const near = (t: Expr): Expr => add(mul(mul(sub(mul(f64(a + 2), t), f64(a + 3)), t), t), f64(1));
  const rest = k.let("rest", sub(f64(1), r));
  return [far(k.let("t", add(r, f64(1)))), near(r), near(rest), far(k.let("t", add(rest, f64(1))))];
}
