/** @file What tests of factors and substitutes share: random weights, distances, places of convolutions. */
import assert from "node:assert/strict";
import { squaredNorm } from "../../src/compress/factorise/linear-algebra.ts";
import type { Rng } from "../../src/util/rng.ts";

export const normals = (rng: Rng, n: number): Float64Array =>
  Float64Array.from({ length: n }, () => rng.normal());

/** The squared distance. */
export const distance = (a: Float64Array, b: Float64Array): number =>
  squaredNorm(a.map((x, i) => x - b[i]!));

export const close = (got: number, want: number, tolerance: number): void =>
  assert.ok(Math.abs(got - want) <= tolerance, `${got}, expected ${want}`);

/** A convolution's geometry. */
export interface ConvCase {
  readonly layout: "nhwc" | "nchw";
  readonly kernel: readonly [number, number];
  readonly stride: readonly [number, number];
  readonly padBegin: readonly [number, number];
  readonly padEnd: readonly [number, number];
  readonly dilation: readonly [number, number];
  readonly bias: boolean;
}

export const plain = {
  stride: [1, 1],
  padBegin: [0, 0],
  padEnd: [0, 0],
  dilation: [1, 1],
} as const;
