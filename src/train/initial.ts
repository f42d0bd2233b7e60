/** @file Initial weights. */
import { product } from "../util/math.ts";
import type { Rng } from "../util/rng.ts";

/** Draws the elements of a weight of this shape: [outputs, ...kernel, inputs per group] or [outputs, inputs]. */
export type Initializer = (shape: readonly number[], rng: Rng) => () => number;

const fans = (shape: readonly number[]): { readonly in: number; readonly out: number } => ({
  in: product(shape.slice(1)),
  out: shape[0]! * product(shape.slice(1, -1)),
});

/** Kaiming normal, for layers before a ReLU (He et al., arXiv:1502.01852). */
export const kaiming =
  (fan: "in" | "out" = "in"): Initializer =>
  (shape, rng) => {
    const deviation = Math.sqrt(2 / fans(shape)[fan]);
    return () => deviation * rng.normal();
  };

/** Uniform of variance 2 / (inputs + outputs) (Glorot & Bengio 2010), also called Xavier. */
export const glorot = (): Initializer => (shape, rng) => {
  const { in: inputs, out: outputs } = fans(shape);
  const bound = Math.sqrt(6 / (inputs + outputs));
  return () => bound * (2 * rng.next() - 1);
};

/** Normal numbers about `mean`. */
export const normal =
  (deviation: number, mean = 0): Initializer =>
  (_shape, rng) =>
  () =>
    mean + deviation * rng.normal();

/** Normal numbers, those beyond two deviations drawn again. */
export const truncatedNormal =
  (deviation = 0.02): Initializer =>
  (_shape, rng) =>
  () => {
    let x = rng.normal();
    while (Math.abs(x) > 2) x = rng.normal();
    return deviation * x;
  };

/** One number everywhere. */
export const constantly =
  (value: number): Initializer =>
  () =>
  () =>
    value;
