/** @file cum_sum and cum_prod: running totals along an axis. */

import type { OutQuant } from "../../graph/op.ts";
import { defineOp, type Op, type Sample } from "../../graph/op.ts";
import {
  add,
  affine,
  binary,
  constant,
  type ExprLike,
  i32,
  KernelBuilder,
  mul,
  sub,
} from "../../kernel/build.ts";
import { type Expr, type KType, scalarTypeOf } from "../../kernel/ir.ts";
import { DTYPES, type DType, isBig } from "../../tensor/dtype.ts";
import {
  elementCount,
  numberReader,
  numberWriter,
  type Tensor,
  type TensorType,
  tensorType,
  zeros,
} from "../../tensor/tensor.ts";
import { declare, realReader, realWriter } from "../lowering.ts";
import { axesText, axisLabels, expectAxis, expectInputs, refuse, relabel } from "./check.ts";
import { around } from "./gather.ts";

export interface CumulativeAttrs {
  readonly axis: number;
  /** Leave the element itself out: the first total is empty. */
  readonly exclusive: boolean;
  /** Run from the end to the start. */
  readonly reverse: boolean;
  /** Quantised operands: the quantised type of the result; absent: f32. */
  readonly out?: OutQuant;
}

/** The operation and its neutral element. */
interface Running {
  readonly op: "add" | "mul";
  readonly start: 0 | 1;
  number(a: number, b: number): number;
  big(a: bigint, b: bigint): bigint;
}

const SUM: Running = { op: "add", start: 0, number: (a, b) => a + b, big: (a, b) => a + b };
const PRODUCT: Running = { op: "mul", start: 1, number: (a, b) => a * b, big: (a, b) => a * b };

/** Calls `visit` with the elements of every line along the axis, in running order. */
function forEachLine(
  x: Tensor,
  attrs: CumulativeAttrs,
  visit: (line: readonly number[]) => void,
): void {
  const { outer, size, inner } = around(x.type.shape, attrs.axis);
  for (let o = 0; o < outer; o++) {
    for (let i = 0; i < inner; i++) {
      const line = Array.from({ length: size }, (_, t) => (o * size + t) * inner + i);
      visit(attrs.reverse ? line.reverse() : line);
    }
  }
}

function evalRunning(r: Running, x: Tensor, attrs: CumulativeAttrs, type: TensorType): Tensor {
  const out = zeros(type);
  const read = numberReader(x);
  const write = numberWriter(out);
  const big = isBig(type.dtype);
  const float = DTYPES[type.dtype].kind === "float";
  forEachLine(x, attrs, (line) => {
    let total: number = r.start;
    let exact = BigInt(r.start);
    for (const i of line) {
      const before = total;
      const exactBefore = exact;
      if (float) total = r.number(total, read(i));
      else exact = BigInt.asIntN(64, r.big(exact, BigInt(x.data[i]!)));
      const y = attrs.exclusive ? exactBefore : exact;
      if (float) write(i, attrs.exclusive ? before : total);
      else out.data[i] = big ? y : Number(BigInt.asIntN(32, y));
    }
  });
  return out;
}

function lowerRunning(
  name: string,
  r: Running,
  x: TensorType,
  y: TensorType,
  attrs: CumulativeAttrs,
) {
  const k = new KernelBuilder(name);
  const { ins, outs } = declare(k, [x], [y]);
  const plain = x.quant === undefined;
  const real = plain ? null : realReader(k, ins[0]!, x);
  const write = y.quant === undefined ? null : realWriter(k, outs[0]!, y);
  const { outer, size, inner } = around(x.shape, attrs.axis);
  const scalar = plain ? scalarTypeOf(x.dtype) : "f32";
  const line = (base: Expr, type: KType): void => {
    const start = constant(type, scalar === "i64" ? BigInt(r.start) : r.start);
    const total = k.reg("total", start);
    k.for("t", 0, size, (t) => {
      const step = attrs.reverse ? sub(i32(size - 1), t) : t;
      const at = k.let("at", add(base, mul(step, inner)));
      const value = k.let("x", real === null ? k.load(ins[0]!, at, type) : real(at));
      const store = (): void => (write === null ? k.store(outs[0]!, at, total) : write(at, total));
      if (attrs.exclusive) store();
      k.set(total, binary(r.op, total, value));
      if (!attrs.exclusive) store();
    });
  };
  if (elementCount(x.shape) === 0) return k.build();
  const whole = x.dtype === "f32" ? inner - (inner % 4) : 0;
  const lines = (o: Expr, from: ExprLike, to: ExprLike, type: KType, step: number): void =>
    k.forParallel("j", from, to, (j) => line(k.let("base", affine([o, size * inner], j)), type), {
      step,
    });
  k.forParallel("o", 0, outer, (o) => {
    lines(o, 0, whole, "f32x4", 4);
    lines(o, whole, inner, scalar, 1);
  });
  return k.build();
}

const t = (dtype: DType, ...shape: number[]): TensorType => tensorType(dtype, shape);
const samples: readonly Sample<CumulativeAttrs>[] = [
  { ins: [t("f32", 3, 5)], attrs: { axis: 1, exclusive: false, reverse: false } },
  { ins: [t("f32", 2, 4, 7)], attrs: { axis: 1, exclusive: true, reverse: true } },
  { ins: [t("f64", 6)], attrs: { axis: 0, exclusive: false, reverse: true } },
  { ins: [t("i32", 3, 4)], attrs: { axis: 0, exclusive: true, reverse: false } },
  { ins: [t("i64", 5)], attrs: { axis: 0, exclusive: false, reverse: false } },
  { ins: [t("u8", 2, 9)], attrs: { axis: 1, exclusive: false, reverse: false }, range: [0, 60] },
  { ins: [t("f16", 4, 2)], attrs: { axis: 0, exclusive: false, reverse: false } },
  {
    ins: [tensorType("i8", [2, 4], { scale: [0.05], zeroPoint: [3], axis: null })],
    attrs: {
      axis: 1,
      exclusive: false,
      reverse: true,
      out: { dtype: "i8", scale: [0.25], zeroPoint: [0], axis: null },
    },
    tolerance: 0.25,
  },
];

function defineCumulative(name: string, running: Running): Op<CumulativeAttrs> {
  return defineOp<CumulativeAttrs>({
    name,
    quant: "float",
    infer(ins, { axis }) {
      expectInputs(ins, 1);
      const { dtype, shape } = ins[0]!;
      expectAxis(axis, shape.length);
      if (dtype === "bool") refuse("E_DTYPE", "expected numbers, got bool");
      return [tensorType(dtype, shape)];
    },
    axes([x], { axis }) {
      const labels = axisLabels("x", x!.shape.length);
      return axesText([labels], [relabel(labels, (i) => i === axis)]);
    },
    eval: ([x], attrs, [type]) => [evalRunning(running, x!, attrs, type!)],
    lower: ([x], attrs, [y]) => lowerRunning(name, running, x!, y!, attrs),
    permute: (attrs, perm) => ({ ...attrs, axis: perm.indexOf(attrs.axis) }),
    inPlace: ([x], _attrs, [y]) => (x!.dtype === y!.dtype ? 0 : null),
    samples,
  });
}

export const cumSum = defineCumulative("cum_sum", SUM);
export const cumProd = defineCumulative("cum_prod", PRODUCT);
