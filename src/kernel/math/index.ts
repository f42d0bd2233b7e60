/** @file The maths library: every function a kernel may `call`, as kernel IR. */

import { InternalError } from "../../util/errors.ts";
import type { KType } from "../ir.ts";
import { instantiateFn, type MathFn, type MathInstance } from "./function.ts";

export type { MathFn, MathInstance } from "./function.ts";

/** Every function by the name `call` uses. */
export const MATH: Readonly<Record<string, MathFn>> = {};

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
