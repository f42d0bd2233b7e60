/**
 * @file softmax of 8-bit quantised values by a table of exponentials: t[d] stands for exp(-d * scale) of
 * the distance d = max - q. Integers in, integers out, equal bit for bit in every implementation.
 *
 * "float": t[0] = 1, t[d] = f64(t[d-1] * exp(-scale)); the sum runs in f64 in order; y = f32(t / sum) is
 * quantised as docs/ir.md says (or stays f32 without a quantised result type).
 * "tflite": t[d] = f32(exp(f32(-scale * d))); the sum runs in f32 in order; y = f32(t * f32(1 / f32(sum
 * / 256))), rounded half away from zero, plus the zero point -128 (i8) or 0 (u8). This is what TensorFlow
 * Lite's int8 kernel gives, established by running it: reference, built-in and default resolver agree.
 */
import {
  add,
  binary,
  cast,
  f32,
  f64,
  i32,
  type KernelBuilder,
  lanes,
  max,
  min,
  mul,
  sub,
  unary,
} from "../../kernel/build.ts";
import type { Buffer, Expr } from "../../kernel/ir.ts";
import { DTYPES } from "../../tensor/dtype.ts";
import { quantizeValue } from "../../tensor/quant.ts";
import type { TensorType } from "../../tensor/tensor.ts";
import { clamp } from "../../util/math.ts";
import { quantize } from "../lowering.ts";
import { range } from "../shape/check.ts";

/** Distances of 8-bit values. */
const ENTRIES = 256;

export interface SoftmaxRule {
  /** Results for one group of integers. */
  js(group: readonly number[]): number[];
  /** Declares the table as scratch and fills it, at the top of the kernel. */
  table(k: KernelBuilder): Buffer;
  /** Type of the table's entries and of their sum. */
  readonly elem: "f32" | "f64";
  /** What every entry is multiplied with, or divided by: computed once a group from the sum. */
  scaleOf(sum: Expr): Expr;
  /** The value to store for an entry. */
  result(entry: Expr, scale: Expr): Expr;
}

function floatRule(x: TensorType, y: TensorType): SoftmaxRule {
  const ratio = Math.exp(-x.quant!.scale[0]!);
  const entries = [1];
  for (let d = 1; d < ENTRIES; d++) entries.push(entries[d - 1]! * ratio);
  const [scale, zero] = [y.quant?.scale[0], y.quant?.zeroPoint[0]];
  return {
    elem: "f64",
    js: (group) => {
      const top = group.reduce((a, b) => Math.max(a, b));
      const t = group.map((q) => entries[top - q]!);
      const sum = t.reduce((a, b) => a + b, 0);
      return t.map((e) => {
        const real = Math.fround(e / sum);
        return scale === undefined ? real : quantizeValue(real, scale, zero!, y.dtype);
      });
    },
    table: (k) => {
      const table = k.buffer("table", "f64", ENTRIES, "work");
      const entry = k.reg("entry", f64(1));
      k.for("d", 0, ENTRIES, (d) => {
        k.store(table, d, entry);
        k.set(entry, mul(entry, f64(ratio)));
      });
      return table;
    },
    scaleOf: (sum) => sum,
    result: (entry, sum) => {
      const real = cast("f32", "demote", binary("div", entry, sum));
      return scale === undefined ? real : quantize(real, f32(scale), i32(zero!), y.dtype);
    },
  };
}

function tfliteRule(x: TensorType, y: TensorType): SoftmaxRule {
  const f = Math.fround;
  const scale = x.quant!.scale[0]!;
  const entries = range(ENTRIES).map((d) => f(Math.exp(f(-scale * d))));
  const zero = y.quant!.zeroPoint[0]!;
  const { min: lo, max: hi } = DTYPES[y.dtype];
  return {
    elem: "f32",
    js: (group) => {
      const top = group.reduce((a, b) => Math.max(a, b));
      const t = group.map((q) => entries[top - q]!);
      const factor = f(1 / f(t.reduce((a, b) => f(a + b), 0) / 256));
      return t.map((e) => clamp(Math.floor(f(e * factor) + 0.5) + zero, lo, hi));
    },
    table: (k) => {
      const table = k.buffer("table", "f32", ENTRIES, "work");
      for (let d = 0; d < ENTRIES; d += 4) {
        k.store(table, d, lanes("f32x4", entries.slice(d, d + 4)));
      }
      return table;
    },
    scaleOf: (sum) => binary("div", f32(1), mul(sum, f32(1 / 256))),
    // At most 256: floor(y + 0.5) in f64 is exact.
    result: (entry, factor) => {
      const y64 = add(cast("f64", "promote", mul(entry, factor)), f64(0.5));
      const q = add(cast("i32", "trunc_sat_s", unary("floor", y64)), zero);
      return min(max(q, i32(lo)), i32(hi));
    },
  };
}

/** The rule for one pair of types; "tflite" needs a quantised result. */
export const softmaxRule = (x: TensorType, y: TensorType, tflite: boolean): SoftmaxRule =>
  tflite ? tfliteRule(x, y) : floatRule(x, y);

/** The entry for a loaded i32 and the group's maximum. */
export const entryOf = (k: KernelBuilder, table: Buffer, top: Expr, q: Expr): Expr =>
  k.load(table, sub(top, q));

/** Below every element: where the search for the maximum starts. */
export const lowest = (x: TensorType): number => DTYPES[x.dtype].min;
