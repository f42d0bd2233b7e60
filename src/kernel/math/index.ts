/** @file The maths library: every function a kernel may `call`, as kernel IR. */

import { InternalError } from "../../util/errors.ts";
import { cast } from "../build.ts";
import type { Expr, KType } from "../ir.ts";
import * as angle from "./angle.ts";
import * as double from "./double.ts";
import { instantiateFn, type MathBuilder, type MathFn, type MathInstance } from "./function.ts";
import { floorMod, fmodDouble, fmodSingle } from "./remainder.ts";
import * as single from "./single.ts";

export type { MathFn, MathInstance } from "./function.ts";

type Define = (m: MathBuilder, ...args: Expr[]) => Expr;

/** A function fast in f32. */
const both = (f32: Define, f64: Define): MathFn => ({ params: ["x0"], f32, f64 });

/** A function whose f32 form is its f64 form, rounded. */
const widened = (name: string, params: readonly string[], f64: Define): MathFn => ({
  params,
  f32: (_, ...args) => {
    const wide = args.map((a) => cast("f64", "promote", a));
    return cast("f32", "demote", { kind: "call", type: "f64", fn: name, args: wide });
  },
  f64,
  scalar: true,
});

const scalarFn = (params: readonly string[], f32: Define, f64: Define): MathFn => ({
  params,
  f32,
  f64,
  scalar: true,
});

/** A definition of one or two arguments as a Define. */
const one =
  (f: (m: MathBuilder, x: Expr) => Expr): Define =>
  (m, x) =>
    f(m, x!);
const two =
  (f: (m: MathBuilder, x: Expr, y: Expr) => Expr): Define =>
  (m, x, y) =>
    f(m, x!, y!);

const X = ["x0"];
const XY = ["x0", "y0"];

/** Every function by the name `call` uses; results within 4 ulp in f32 (docs/ir.md). */
export const MATH: Readonly<Record<string, MathFn>> = {
  exp: both(one(single.exp), one(double.exp)),
  exp2: both(one(single.exp2), one(double.exp2)),
  expm1: both(one(single.expm1), one(double.expm1)),
  log: both(one(single.log), one(double.log)),
  log1p: both(one(single.log1p), one(double.log1p)),
  tanh: both(one(single.tanh), one(double.tanh)),
  sigmoid: both(one(single.sigmoid), one(double.sigmoid)),
  erf: both(one(single.erf), one(double.erf)),
  sin: angle.sin,
  cos: angle.cos,
  tan: angle.tan,
  asin: widened("asin", X, one(angle.asin)),
  acos: widened("acos", X, one(angle.acos)),
  atan: widened("atan", X, one(angle.atan)),
  /** atan2(y, x), as in C. */
  atan2: widened("atan2", ["y0", "x0"], two(angle.atan2)),
  sinh: widened("sinh", X, one(double.sinh)),
  cosh: widened("cosh", X, one(double.cosh)),
  asinh: widened("asinh", X, one(double.asinh)),
  acosh: widened("acosh", X, one(double.acosh)),
  atanh: widened("atanh", X, one(double.atanh)),
  pow: widened("pow", XY, two(double.pow)),
  /** Remainder with the sign of the dividend. */
  fmod: scalarFn(XY, two(fmodSingle), two(fmodDouble)),
  /** Remainder with the sign of the divisor. */
  floor_mod: scalarFn(XY, two(floorMod(fmodSingle)), two(floorMod(fmodDouble))),
};

const instances = new Map<string, MathInstance>();

/** The definition of a function at a type (f32, f64 or a vector of them); the same object each time. */
export function mathInstance(fn: string, type: KType): MathInstance {
  const key = `${fn}:${type}`;
  let instance = instances.get(key);
  if (instance === undefined) {
    const definition = MATH[fn];
    if (definition === undefined) throw new InternalError(`unknown maths function ${fn}`);
    instance = instantiateFn(fn, definition, type);
    instances.set(key, instance);
  }
  return instance;
}
