/** @file SLICE and STRIDED_SLICE. */
import type { Value } from "../../graph/graph.ts";
import { clamp } from "../../util/math.ts";
import { core } from "../core.ts";
import { reshape } from "./common.ts";
import { type Handlers, malformed, type OpContext } from "./context.ts";
import { STRIDED_SLICE_OPTIONS } from "./schema.ts";

/** Size -1 means: to the end. */
function slice(c: OpContext): Value {
  const shape = c.shape(c.in(0));
  const start = c.numbers(1, "begin");
  const given = c.numbers(2, "size");
  if (start.length !== shape.length || given.length !== shape.length) {
    throw malformed(`begin [${start}] and size [${given}] do not fit [${shape}]`);
  }
  const size = given.map((n, i) => (n === -1 ? shape[i]! - start[i]! : n));
  return c.emit(core.slice, [c.in(0)], { start, size, step: shape.map(() => 1) });
}

interface AxisSlice {
  readonly start: number;
  readonly size: number;
  readonly step: number;
}

interface Bounds {
  readonly begin: number | null;
  readonly end: number | null;
  readonly step: number;
}

/** Python's slicing of n elements; null bounds are open. */
function resolve(n: number, { begin, end, step }: Bounds): AxisSlice {
  const [lo, hi] = step > 0 ? [0, n] : [-1, n - 1];
  const wrap = (i: number): number => clamp(i < 0 ? i + n : i, lo, hi);
  const start = begin === null ? (step > 0 ? lo : hi) : wrap(begin);
  const stop = end === null ? (step > 0 ? hi : lo) : wrap(end);
  const size = Math.max(0, Math.ceil((stop - start) / step));
  return { start: size === 0 ? 0 : start, size, step };
}

const bit = (mask: number, i: number): boolean => ((mask >> i) & 1) === 1;

interface Entry {
  readonly begin: number;
  readonly end: number;
  readonly step: number;
}

interface Masks {
  readonly beginMask: number;
  readonly endMask: number;
  readonly ellipsisMask: number;
  readonly newAxisMask: number;
  readonly shrinkAxisMask: number;
  readonly offset: boolean;
}

/** What one entry of begin, end and strides does to an axis of n elements. */
function axisSlice(n: number, i: number, entry: Entry, masks: Masks): AxisSlice {
  const { begin, end, step } = entry;
  if (step === 0) throw malformed(`stride of slice ${i} is 0`);
  if (bit(masks.shrinkAxisMask, i)) {
    const at = begin < 0 ? begin + n : begin;
    if (at < 0 || at >= n) throw malformed(`index ${begin} outside ${n} elements`);
    return { start: at, size: 1, step: 1 };
  }
  return resolve(n, {
    begin: bit(masks.beginMask, i) ? null : begin,
    end: bit(masks.endMask, i) ? null : masks.offset ? begin + end : end,
    step,
  });
}

function stridedSlice(c: OpContext): Value {
  const o = c.options(STRIDED_SLICE_OPTIONS);
  const shape = c.shape(c.in(0));
  const begin = c.numbers(1, "begin");
  const end = c.numbers(2, "end");
  const strides = c.numbers(3, "strides");
  const specs = begin.length;
  if (end.length !== specs || strides.length !== specs || specs > 31) {
    throw malformed("begin, end and strides differ in length");
  }
  const isNew = (i: number): boolean => bit(o.newAxisMask, i) && !bit(o.ellipsisMask, i);
  const used = begin.filter((_, i) => !isNew(i) && !bit(o.ellipsisMask, i)).length;
  const hidden = shape.length - used;
  if (hidden < 0) throw malformed(`${used} slices for rank ${shape.length}`);
  const axes: AxisSlice[] = [];
  const result: number[] = [];
  const whole = (count: number): void => {
    for (const n of shape.slice(axes.length, axes.length + count)) {
      axes.push({ start: 0, size: n, step: 1 });
      result.push(n);
    }
  };
  for (let i = 0; i < specs; i++) {
    if (bit(o.ellipsisMask, i)) whole(hidden);
    else if (isNew(i)) result.push(1);
    else {
      const n = shape[axes.length];
      if (n === undefined) throw malformed(`slice ${i} has no axis`);
      const entry = { begin: begin[i]!, end: end[i]!, step: strides[i]! };
      axes.push(axisSlice(n, i, entry, o));
      if (!bit(o.shrinkAxisMask, i)) result.push(axes.at(-1)!.size);
    }
  }
  whole(shape.length - axes.length);
  const trivial = axes.every((a, i) => a.size === shape[i] && a.step === 1);
  const attrs = {
    start: axes.map((a) => a.start),
    size: axes.map((a) => a.size),
    step: axes.map((a) => a.step),
  };
  return reshape(c, trivial ? c.in(0) : c.emit(core.slice, [c.in(0)], attrs), result);
}

export const sliceHandlers: Handlers = { SLICE: slice, STRIDED_SLICE: stridedSlice };
