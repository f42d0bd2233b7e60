/** @file top_k: the k largest or smallest elements along an axis, in order, with their indices. */
import { defineOp } from "../../graph/op.ts";
import { add, affine, binary, i32, KernelBuilder, min, mul, sub } from "../../kernel/build.ts";
import type { Buffer, Expr } from "../../kernel/ir.ts";
import { type DType, isBig } from "../../tensor/dtype.ts";
import { numberReader, type TensorType, tensorType, zeros } from "../../tensor/tensor.ts";
import { declare } from "../lowering.ts";
import {
  axesText,
  axisLabels,
  expectAxis,
  expectInputs,
  movedQuant,
  mover,
  refuse,
  relabel,
} from "./check.ts";
import { around } from "./gather.ts";
import { asI64, type Comparable, precedes, precedesExpr } from "./order.ts";

export interface TopKAttrs {
  readonly axis: number;
  readonly k: number;
  readonly largest: boolean;
  /** The result is in order in either case; equal elements keep the order of their indices. */
  readonly sorted: boolean;
}

/** One line of the kernel: the input, and the results that hold the best elements so far. */
interface Line {
  readonly k: KernelBuilder;
  readonly x: Buffer;
  readonly values: Buffer;
  readonly indices: Buffer;
  readonly dtype: DType;
  readonly count: number;
  readonly inner: number;
  readonly largest: boolean;
}

/** Inserts element t (value v) into the sorted results, of which `held` are filled. */
function emitInsert(l: Line, base: Expr, t: Expr, v: Expr, held: Expr): void {
  const { k, values, indices, inner } = l;
  const slot = (p: Expr): Expr => add(base, mul(p, inner));
  const place = k.reg("place", held);
  k.for("s", 0, held, (s) => {
    const q = k.let("q", sub(sub(held, 1), s));
    const next = add(q, 1);
    const at = k.let("at", slot(q));
    const other = k.let("other", k.load(values, at));
    const before = precedesExpr(v, other, l.dtype, l.largest, false);
    k.if(binary("and", binary("eq", place, next), before), () => {
      k.set(place, q);
      k.if(binary("lt", next, i32(l.count)), () => {
        const to = k.let("to", slot(next));
        k.store(values, to, other);
        k.store(indices, to, k.load(indices, at));
      });
    });
  });
  k.if(binary("lt", place, i32(l.count)), () => {
    const to = k.let("to", slot(place));
    k.store(values, to, v);
    k.store(indices, to, asI64(t));
  });
}

/** Goes through one line; after the first k elements only those better than the last are inserted. */
function emitLine(l: Line, from: Expr, base: Expr, size: number): void {
  const { k, x, values, inner, count } = l;
  const load = (t: Expr): Expr => k.let("v", k.load(x, add(from, mul(t, inner))));
  k.for("t", 0, count, (t) => emitInsert(l, base, t, load(t), t));
  k.for("t", count, size, (t) => {
    const v = load(t);
    const last = k.let("last", k.load(values, add(base, (count - 1) * inner)));
    k.if(precedesExpr(v, last, l.dtype, l.largest, false), () =>
      emitInsert(l, base, t, v, min(i32(count), t)),
    );
  });
}

export const topK = defineOp<TopKAttrs>({
  name: "top_k",
  quant: "integer",
  infer(ins, { axis, k }) {
    expectInputs(ins, 1);
    const { dtype, shape } = ins[0]!;
    expectAxis(axis, shape.length);
    if (!Number.isInteger(k) || k < 0 || k > shape[axis]!) {
      refuse("E_SHAPE", `k is ${k}, axis ${axis} has ${shape[axis]} elements`);
    }
    const result = shape.with(axis, k);
    return [tensorType(dtype, result, movedQuant(ins)), tensorType("i64", result)];
  },
  axes([x], { axis }) {
    const labels = axisLabels("x", x!.shape.length);
    const result = relabel(labels, (i) => i === axis);
    return axesText([labels], [result, result]);
  },
  eval([x], { axis, k, largest }, types) {
    const [values, indices] = [zeros(types[0]!), zeros(types[1]!)];
    const move = mover(values, x!);
    const number = numberReader(x!);
    const big = isBig(x!.type.dtype);
    const read = (i: number): Comparable => (big ? (x!.data[i] as bigint) : number(i));
    const { outer, size, inner } = around(x!.type.shape, axis);
    for (let line = 0; line < outer * inner; line++) {
      const [o, i] = [Math.floor(line / inner), line % inner];
      const all = Array.from({ length: size }, (_, t) => ({
        t,
        value: read((o * size + t) * inner + i),
      }));
      const sorted = all.sort((a, b) => {
        if (precedes(a.value, b.value, largest, false)) return -1;
        return precedes(b.value, a.value, largest, false) ? 1 : a.t - b.t;
      });
      sorted.slice(0, k).forEach(({ t }, p) => {
        const to = (o * k + p) * inner + i;
        move(to, (o * size + t) * inner + i);
        indices.data[to] = BigInt(t);
      });
    }
    return [values, indices];
  },
  lower([x], { axis, k: count, largest }, outTypes) {
    const k = new KernelBuilder("top_k");
    const plain: TensorType = tensorType(x!.dtype, x!.shape);
    const { ins, outs } = declare(k, [plain], outTypes);
    const { outer, size, inner } = around(x!.shape, axis);
    const [values, indices] = [outs[0]!, outs[1]!];
    const line: Line = { k, x: ins[0]!, values, indices, dtype: x!.dtype, count, inner, largest };
    if (count === 0) return k.build();
    k.forParallel("o", 0, outer, (o) =>
      k.forParallel("j", 0, inner, (j) => {
        const from = k.let("from", affine([o, size * inner], j));
        emitLine(line, from, k.let("base", affine([o, count * inner], j)), size);
      }),
    );
    return k.build();
  },
  permute: (attrs, perm) => ({ ...attrs, axis: perm.indexOf(attrs.axis) }),
  samples: [
    {
      ins: [tensorType("f32", [3, 9])],
      attrs: { axis: 1, k: 3, largest: true, sorted: true },
    },
    {
      ins: [tensorType("f32", [2, 6, 3])],
      attrs: { axis: 1, k: 6, largest: false, sorted: true },
    },
    {
      ins: [tensorType("f32", [6])],
      attrs: { axis: 0, k: 4, largest: true, sorted: true },
      values: { 0: [Number.NaN, 1, Number.NEGATIVE_INFINITY, 1, -0, 0] },
    },
    { ins: [tensorType("i64", [8])], attrs: { axis: 0, k: 2, largest: true, sorted: true } },
    { ins: [tensorType("u32", [7])], attrs: { axis: 0, k: 3, largest: false, sorted: true } },
    { ins: [tensorType("f16", [2, 5])], attrs: { axis: 1, k: 1, largest: true, sorted: false } },
    {
      ins: [tensorType("i8", [2, 5], { scale: [0.5], zeroPoint: [3], axis: null })],
      attrs: { axis: 1, k: 2, largest: true, sorted: true },
    },
  ],
});
