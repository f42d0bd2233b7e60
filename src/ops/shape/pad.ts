/** @file pad: adds elements before and after every axis, or crops where an amount is negative. */
import { defineOp } from "../../graph/op.ts";
import type { ExprLike, KernelBuilder } from "../../kernel/build.ts";
import { add, mul } from "../../kernel/build.ts";
import type { Buffer, Expr } from "../../kernel/ir.ts";
import { quantizeValue } from "../../tensor/quant.ts";
import { forEachIndex, strides } from "../../tensor/shape.ts";
import {
  elementCount,
  type Shape,
  type Tensor,
  type TensorType,
  tensorOf,
  tensorType,
  zeros,
} from "../../tensor/tensor.ts";
import {
  axesText,
  axisLabels,
  expectInputs,
  expectPerAxis,
  movedQuant,
  mover,
  permuted,
  range,
  refuse,
  relabel,
} from "./check.ts";
import { boxOf, emitFill, emitRun, emitStrided, movementKernel } from "./strided.ts";

export interface PadAttrs {
  /** Elements added before and after each axis; negative crops. */
  readonly before: readonly number[];
  readonly after: readonly number[];
  /** `reflect` mirrors without repeating the border, `edge` repeats it, `wrap` continues cyclically. */
  readonly mode: "constant" | "reflect" | "edge" | "wrap";
  /** Mode constant: the value added, default 0. Of a quantised operand: a real, quantised like it. */
  readonly value?: number;
}

/** The index of a kept axis that index i (possibly outside 0..n-1) shows; null: the constant. */
function sourceIndex(i: number, n: number, mode: PadAttrs["mode"]): number | null {
  if (i >= 0 && i < n) return i;
  if (mode === "constant") return null;
  if (mode === "edge") return i < 0 ? 0 : n - 1;
  const modulo = (a: number, m: number): number => ((a % m) + m) % m;
  if (mode === "wrap") return modulo(i, n);
  const at = modulo(i, Math.max(2 * (n - 1), 1));
  return at < n ? at : 2 * (n - 1) - at;
}

/** What is kept of each axis, and how many elements are added around it. */
function parts(shape: Shape, { before, after }: PadAttrs) {
  return shape.map((n, i) => {
    const skip = Math.max(-before[i]!, 0);
    return {
      skip,
      kept: n - skip - Math.max(-after[i]!, 0),
      before: Math.max(before[i]!, 0),
      after: Math.max(after[i]!, 0),
    };
  });
}

/** The padding value as a tensor of one element, as it is stored. */
function storedValue({ dtype, quant }: TensorType, value = 0): Tensor {
  const [scale, zeroPoint] = [quant?.scale[0], quant?.zeroPoint[0]];
  if (scale === undefined || zeroPoint === undefined) return tensorOf(dtype, [1], [value]);
  return tensorOf(dtype, [1], [quantizeValue(value, scale, zeroPoint, dtype)]);
}

interface Padding {
  readonly k: KernelBuilder;
  readonly dst: Buffer;
  readonly src: Buffer;
  readonly shape: Shape;
  readonly attrs: PadAttrs;
  /** Input shape. */
  readonly from: Shape;
}

/** Fills the borders of axis `a` and everything inside it, then goes on with the next axis. */
function emitBorders(p: Padding, value: number, a: number, at: Expr | number): void {
  const part = parts(p.from, p.attrs)[a];
  if (part === undefined) return;
  const step = strides(p.shape)[a]!;
  const fill = (index: ExprLike, count: number): void =>
    p.k.forParallel("once", 0, 1, () => emitFill(p.k, p.dst, index, value, count * step));
  if (part.before > 0) fill(at, part.before);
  const inner = p.attrs.before.slice(a + 1).concat(p.attrs.after.slice(a + 1));
  if (inner.some((n) => n > 0)) {
    p.k.forParallel("i", part.before, part.before + part.kept, (i) =>
      emitBorders(p, value, a + 1, p.k.let("row", add(at, mul(i, step)))),
    );
  }
  if (part.after > 0) fill(add(at, (part.before + part.kept) * step), part.after);
}

/** Fills the borders of axis `a` from the result itself, whose inner axes are already complete. */
function emitMirrors(p: Padding, a: number): void {
  const all = parts(p.from, p.attrs);
  const part = all[a]!;
  const step = strides(p.shape);
  const slab = (at: Expr | number, i: number): void => {
    const j = sourceIndex(i, part.kept, p.attrs.mode)!;
    const to = add(at, (part.before + i) * step[a]!);
    emitRun(p.k, p.dst, to, p.dst, add(at, (part.before + j) * step[a]!), step[a]!);
  };
  const rows = (d: number, at: Expr | number): void => {
    if (d < a) {
      const { before, kept } = all[d]!;
      p.k.for("i", before, before + kept, (i) =>
        rows(d + 1, p.k.let("row", add(at, mul(i, step[d]!)))),
      );
      return;
    }
    for (let i = -part.before; i < 0; i++) slab(at, i);
    for (let i = part.kept; i < part.kept + part.after; i++) slab(at, i);
  };
  if (part.before + part.after > 0) rows(0, 0);
}

const f32 = (...shape: number[]): TensorType => tensorType("f32", shape);

export const pad = defineOp<PadAttrs>({
  name: "pad",
  quant: "integer",
  infer(ins, attrs) {
    expectInputs(ins, 1);
    const x = ins[0]!;
    expectPerAxis(attrs.before, x.shape.length, "before");
    expectPerAxis(attrs.after, x.shape.length, "after");
    const shape = parts(x.shape, attrs).map(({ kept, before, after }, i) => {
      if (kept < 0 || (kept === 0 && before + after > 0 && attrs.mode !== "constant")) {
        refuse(
          "E_SHAPE",
          `axis ${i} of [${x.shape}] has nothing left to pad in mode ${attrs.mode}`,
        );
      }
      return before + kept + after;
    });
    return [tensorType(x.dtype, shape, movedQuant(ins))];
  },
  axes([x], { before, after }) {
    const labels = axisLabels("x", x!.shape.length);
    return axesText([labels], [relabel(labels, (i) => before[i] !== 0 || after[i] !== 0)]);
  },
  eval([x], attrs, [type]) {
    const out = zeros(type!);
    const move = mover(out, x!);
    const fill = mover(out, storedValue(x!.type, attrs.value));
    const shape = x!.type.shape;
    const step = strides(shape);
    const axes = parts(shape, attrs);
    forEachIndex(type!.shape, (index, i) => {
      let at: number | null = 0;
      axes.forEach(({ kept, before, skip }, a) => {
        const j = sourceIndex(index[a]! - before, kept, attrs.mode);
        at = j === null || at === null ? null : at + (j + skip) * step[a]!;
      });
      if (at === null) fill(i, 0);
      else move(i, at);
    });
    return [out];
  },
  lower(types, attrs, outTypes) {
    const { k, ins, outs } = movementKernel("pad", types, outTypes);
    const from = types[0]!.shape;
    const { shape } = outTypes[0]!;
    const p: Padding = { k, dst: outs[0]!, src: ins[0]!, shape, attrs, from };
    if (elementCount(shape) === 0) return k.build();
    if (attrs.mode === "constant") {
      emitBorders(p, Number(storedValue(types[0]!, attrs.value).data[0]), 0, 0);
    }
    const [to, step] = [strides(shape), strides(from)];
    const axes = parts(from, attrs);
    const first = axes.reduce((sum, { before }, i) => sum + before * to[i]!, 0);
    const origin = axes.reduce((sum, { skip }, i) => sum + skip * step[i]!, 0);
    const kept = axes.map((part) => part.kept);
    emitStrided(k, p.dst, first, p.src, origin, boxOf(kept, step, to));
    if (attrs.mode !== "constant") for (const a of range(from.length).reverse()) emitMirrors(p, a);
    return k.build();
  },
  permute: ({ before, after, ...rest }, perm) => ({
    before: permuted(before, perm),
    after: permuted(after, perm),
    ...rest,
  }),
  samples: [
    { ins: [f32(2, 3, 4)], attrs: { before: [0, 1, 2], after: [1, 0, 3], mode: "constant" } },
    {
      ins: [f32(1, 5, 5, 3)],
      attrs: { before: [0, 1, 1, 0], after: [0, 1, 2, 0], mode: "constant", value: -1.5 },
    },
    {
      ins: [f32(4, 5)],
      attrs: { before: [-1, 2], after: [1, -2], mode: "constant", value: Number.POSITIVE_INFINITY },
    },
    { ins: [f32(2, 3, 4)], attrs: { before: [0, 2, 3], after: [1, 2, 1], mode: "reflect" } },
    { ins: [f32(3, 4)], attrs: { before: [2, 1], after: [1, 3], mode: "edge" } },
    { ins: [f32(3, 2)], attrs: { before: [4, 0], after: [1, 5], mode: "wrap" } },
    { ins: [f32(1, 3)], attrs: { before: [2, 5], after: [1, 0], mode: "reflect" } },
    {
      ins: [tensorType("i8", [2, 3], { scale: [0.5], zeroPoint: [3], axis: null })],
      attrs: { before: [1, 1], after: [0, 1], mode: "constant" },
    },
    {
      ins: [tensorType("f16", [2, 3])],
      attrs: { before: [1, 1], after: [0, 7], mode: "constant", value: 1.5 },
    },
    {
      ins: [tensorType("i64", [3])],
      attrs: { before: [2], after: [1], mode: "constant", value: -7 },
    },
    {
      ins: [tensorType("bool", [2, 2])],
      attrs: { before: [0, 1], after: [1, 0], mode: "constant" },
    },
  ],
});
