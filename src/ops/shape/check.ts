/** @file Checks and small helpers shared by the operators that move or reduce elements. */
import type { DType } from "../../tensor/dtype.ts";
import { sameQuant, type Tensor, type TensorType } from "../../tensor/tensor.ts";
import { type ErrorCode, UserError } from "../../util/errors.ts";

/** The integers 0..n-1. */
export const range = (n: number): number[] => Array.from({ length: n }, (_, i) => i);

/** Refuses the operator's inputs or attributes. */
export function refuse(code: ErrorCode, message: string, hint?: string): never {
  throw new UserError(code, message, hint === undefined ? {} : { hint });
}

/** The inputs, checked to be between `min` and `max` in number. */
export function expectInputs(ins: readonly unknown[], min: number, max = min): void {
  if (ins.length >= min && ins.length <= max) return;
  const want = min === max ? `${min}` : `${min} to ${max}`;
  refuse("E_MODEL", `expected ${want} inputs, got ${ins.length}`);
}

/** The axis must be in 0..rank-1. */
export function expectAxis(axis: number, rank: number, what = "axis"): void {
  if (Number.isInteger(axis) && axis >= 0 && axis < rank) return;
  refuse("E_SHAPE", `${what} is ${axis}, the operand has ${rank} axes`);
}

/** An attribute with one whole number per axis. */
export function expectPerAxis(values: readonly number[], rank: number, what: string): void {
  if (values.length !== rank) {
    refuse(
      "E_SHAPE",
      `${what} has ${values.length} entries, expected one for each of ${rank} axes`,
    );
  }
  const bad = values.find((v) => !Number.isInteger(v));
  if (bad !== undefined) refuse("E_SHAPE", `${what} holds ${bad}, expected whole numbers`);
}

export function expectDType(t: TensorType, allowed: readonly DType[], what: string): void {
  if (allowed.includes(t.dtype)) return;
  refuse("E_DTYPE", `${what} is ${t.dtype}, expected one of ${allowed.join(", ")}`);
}

export const INDEX_DTYPES: readonly DType[] = ["i32", "i64"];

/**
 * Parameters of the results of a class "integer" op that only moves elements: those of its operands,
 * which must agree and be per tensor.
 */
export function movedQuant(operands: readonly TensorType[]): TensorType["quant"] {
  const quant = operands[0]?.quant;
  if (operands.some((t) => !sameQuant(t.quant, quant))) {
    refuse("E_DTYPE", "quantised inputs must share scale and zero point");
  }
  if (quant !== undefined && quant.axis !== null) {
    refuse("E_DTYPE", "a per-channel quantised value cannot be moved by this operator");
  }
  return quant;
}

/** Copies element j of `src` to element i of `dst`, unchanged; both have the same dtype. */
export function mover(dst: Tensor, src: Tensor): (i: number, j: number) => void {
  const to = dst.data as Float64Array;
  const from = src.data as Float64Array;
  return (i, j) => {
    to[i] = from[j]!;
  };
}

/** Reads element i of an index tensor, wrapped once when negative; E_DATA when out of 0..size-1. */
export function indexReader(t: Tensor): (i: number, size: number) => number {
  return (i, size) => {
    const value = Number(t.data[i]);
    const index = value < 0 ? value + size : value;
    if (index >= 0 && index < size) return index;
    refuse("E_DATA", `index ${value} is outside an axis of ${size}`);
  };
}

/**
 * The text form of an axis mapping: one list of labels an operand; equal labels are the same axis.
 * See `axes` in src/graph/op.ts.
 */
export function axesText(
  ins: readonly (readonly string[])[],
  outs: readonly (readonly string[])[],
): string {
  const letters = new Map<string, string>();
  const letter = (label: string): string => {
    const known = letters.get(label);
    if (known !== undefined) return known;
    const i = letters.size;
    const fresh = String.fromCharCode(i < 26 ? 97 + i : 65 + i - 26);
    letters.set(label, fresh);
    return fresh;
  };
  const side = (operands: readonly (readonly string[])[]): string =>
    operands.map((labels) => labels.map(letter).join("")).join(",");
  return `${side(ins)}->${side(outs)}`;
}

/** Labels p0, p1, ... of an operand's axes. */
export const axisLabels = (prefix: string, rank: number): string[] =>
  Array.from({ length: rank }, (_, i) => `${prefix}${i}`);

/** Labels of a result whose axes are those of `labels`, except the ones that `fresh` names. */
export const relabel = (labels: readonly string[], fresh: (axis: number) => boolean): string[] =>
  labels.map((label, i) => (fresh(i) ? `${label}'` : label));

/** `values` reordered as the axes are: new axis i is old axis perm[i]. */
export const permuted = (values: readonly number[], perm: readonly number[]): number[] =>
  perm.map((p) => values[p]!);
