/**
 * @file Coordinates of grid_sample along one axis, in f64 in eval and in kernels: from [-1, 1] to
 * elements, and back inside for the padding modes. Source: ONNX GridSample.
 */
import {
  add,
  binary,
  cast,
  f64,
  type KernelBuilder,
  max,
  min,
  mul,
  select,
  sub,
  unary,
} from "../../kernel/build.ts";
import type { Expr } from "../../kernel/ir.ts";
import { clamp } from "../../util/math.ts";

export type GridPadding = "zeros" | "border" | "reflection";

/**
 * An axis of `size` elements: where coordinates are reflected, and the map (g + 1) * scale + shift.
 */
export interface GridAxis {
  readonly size: number;
  readonly low: number;
  readonly high: number;
  readonly scale: number;
  readonly shift: number;
}

export const gridAxis = (size: number, alignCorners: boolean): GridAxis =>
  alignCorners
    ? { size, low: 0, high: size - 1, scale: (size - 1) / 2, shift: 0 }
    : { size, low: -0.5, high: size - 0.5, scale: size / 2, shift: -0.5 };

/** The element coordinate of grid value g. */
export const gridCoordinate = (a: GridAxis, g: number): number => (g + 1) * a.scale + a.shift;

/** Folds x into [low, high] by reflection at both ends. */
export function reflect(a: GridAxis, x: number): number {
  const range = a.high - a.low;
  if (range === 0) return a.low;
  const distance = Math.abs(x - a.low);
  const turns = Math.floor(distance / range);
  const rest = distance - turns * range;
  return turns % 2 === 0 ? a.low + rest : a.high - rest;
}

/** A coordinate brought inside as the padding says; "zeros" leaves it. */
export function padCoordinate(a: GridAxis, padding: GridPadding, x: number): number {
  if (padding === "zeros") return x;
  return padding === "border" ? clamp(x, 0, a.size - 1) : reflect(a, x);
}

/** The element a tap reads, or null for none. */
export function padIndex(a: GridAxis, padding: GridPadding, i: number): number | null {
  if (i >= 0 && i < a.size) return i;
  if (padding === "zeros" || Number.isNaN(i)) return null;
  return clamp(Math.trunc(padCoordinate(a, padding, i)), 0, a.size - 1);
}

/** gridCoordinate of an f64 expression. */
export const coordinateExpr = (a: GridAxis, g: Expr): Expr =>
  add(mul(add(g, f64(1)), f64(a.scale)), f64(a.shift));

/** padCoordinate of an f64 variable. */
export function padExpr(k: KernelBuilder, a: GridAxis, padding: GridPadding, x: Expr): Expr {
  if (padding === "zeros") return x;
  if (padding === "border") return k.let("x", min(max(x, f64(0)), f64(a.size - 1)));
  const range = a.high - a.low;
  if (range === 0) return f64(a.low);
  const distance = k.let("distance", unary("abs", sub(x, f64(a.low))));
  const turns = k.let("turns", unary("floor", binary("div", distance, f64(range))));
  const rest = k.let("rest", sub(distance, mul(turns, f64(range))));
  const half = mul(turns, f64(0.5));
  const even = binary("eq", unary("floor", half), half);
  return k.let("x", select(even, add(f64(a.low), rest), sub(f64(a.high), rest)));
}

/** A tap: an index that is safe to read, and whether it counts (null: always). */
export interface TapExpr {
  readonly index: Expr;
  readonly inside: Expr | null;
}

/** padIndex of a whole-numbered f64 variable. */
export function tapExpr(k: KernelBuilder, a: GridAxis, padding: GridPadding, i: Expr): TapExpr {
  const position = padding === "reflection" ? padExpr(k, a, padding, i) : i;
  const raw = cast("i32", "trunc_sat_s", position);
  const index = k.let("index", min(max(raw, 0), a.size - 1));
  if (padding !== "zeros") return { index, inside: null };
  const inside = binary("and", binary("ge", i, f64(0)), binary("lt", i, f64(a.size)));
  return { index, inside: k.let("inside", inside) };
}
