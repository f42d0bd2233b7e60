/**
 * @file The loop nest of element-wise operators: broadcasting over collapsed axes, an f32x4 main
 * loop with a scalar tail where every operand is f32 or 8-bit quantised and walks the innermost
 * axis by 0 or 1.
 */
import {
  add,
  binary,
  cast,
  constant,
  type ExprLike,
  extract,
  KernelBuilder,
  max,
  min,
  mul,
  narrow,
  splat,
  sub,
  unary,
} from "../../kernel/build.ts";
import type { Buffer, Expr, Kernel, KType } from "../../kernel/ir.ts";
import { operandsOf } from "../../kernel/walk.ts";
import { broadcastStrides } from "../../tensor/shape.ts";
import type { TensorType } from "../../tensor/tensor.ts";
import { collapse, declare, flatIndex, loopOver, realReader, realWriter } from "../lowering.ts";

/**
 * Computes the result register of one element, or of four (f32x4), from the operands' registers.
 */
export type ElementFn = (args: readonly Expr[], b: KernelBuilder) => Expr;

export interface ElementwiseSpec {
  readonly name: string;
  readonly ins: readonly TensorType[];
  readonly out: TensorType;
  /** Operands arrive as f32 where quantised, else in the register type of their dtype. */
  readonly compute: ElementFn;
  /** Whether `compute` also takes and gives vectors of four lanes. */
  readonly vector: boolean;
  /** 8-bit operands and result as plain i32 or i32x4; stores saturate vectors: clamp scalars. */
  readonly integer?: boolean;
}

interface Operand {
  readonly scalar: (index: ExprLike) => Expr;
  readonly vector: (index: ExprLike) => Expr;
}

interface Target {
  readonly scalar: (index: ExprLike, value: Expr) => void;
  readonly vector: (index: ExprLike, value: Expr) => void;
}

const isByte = (t: TensorType): boolean => t.dtype === "i8" || t.dtype === "u8";
const hasVector = (t: TensorType, integer: boolean): boolean =>
  integer
    ? isByte(t)
    : t.quant === undefined
      ? t.dtype === "f32"
      : isByte(t) && t.quant.axis === null;

/** Stores i32x4 as bytes, saturated to the buffer's type. */
function storeBytes(b: KernelBuilder, buffer: Buffer, index: ExprLike, value: Expr): void {
  const q = b.let("q", value);
  const words = b.let("words", narrow("i16x8", true, q, q));
  b.store(buffer, index, narrow("i8x16", buffer.dtype === "i8", words, words), 4);
}

function operand(b: KernelBuilder, buffer: Buffer, type: TensorType, integer: boolean): Operand {
  const { quant } = type;
  if (quant === undefined || integer) {
    return {
      scalar: (index) => b.load(buffer, index),
      vector: (index) => b.load(buffer, index, integer ? "i32x4" : "f32x4"),
    };
  }
  return {
    scalar: realReader(b, buffer, type),
    vector: (index) => {
      const q = b.load(buffer, index, "i32x4");
      const centred = sub(q, constant("i32x4", quant.zeroPoint[0]!));
      return mul(cast("f32x4", "convert_s", centred), constant("f32x4", quant.scale[0]!));
    },
  };
}

function target(b: KernelBuilder, buffer: Buffer, type: TensorType, integer: boolean): Target {
  const { quant } = type;
  const store = (index: ExprLike, value: Expr): void => b.store(buffer, index, value);
  if (integer) {
    return { scalar: store, vector: (index, value) => storeBytes(b, buffer, index, value) };
  }
  if (quant === undefined) return { scalar: store, vector: store };
  return {
    scalar: realWriter(b, buffer, type),
    vector: (index, value) =>
      storeBytes(b, buffer, index, quantizeVector(value, quant.scale[0]!, quant.zeroPoint[0]!)),
  };
}

const hasCall = (e: Expr): boolean => e.kind === "call" || operandsOf(e).some(hasCall);

/**
 * The scalar result by way of the vector form, so that a maths function is needed in one form
 * only.
 */
const throughLanes =
  (compute: ElementFn): ElementFn =>
  (args, b) => {
    const spread = args.map((x) => b.let("xs", splat(`${x.type}x4` as KType, x)));
    return extract(compute(spread, b), 0);
  };

/** i32x4 of quantised steps, to be narrowed with saturation. */
function quantizeVector(value: Expr, scale: number, zeroPoint: number): Expr {
  const limit = constant("f32x4", 2 ** 20);
  const steps = unary("nearest", binary("div", value, constant("f32x4", scale)));
  const near = min(max(steps, constant("f32x4", -(2 ** 20))), limit);
  return add(cast("i32x4", "trunc_sat_s", near), constant("i32x4", zeroPoint));
}

/** The kernel of an element-wise operator. */
export function elementwiseKernel(spec: ElementwiseSpec): Kernel {
  const { ins, out, integer = false } = spec;
  const b = new KernelBuilder(spec.name);
  const buffers = declare(b, ins, [out]);
  const operands = ins.map((t, k) => operand(b, buffers.ins[k]!, t, integer));
  const result = target(b, buffers.outs[0]!, out, integer);
  const all = [...ins, out].map((t) => broadcastStrides(t.shape, out.shape));
  const { shape, strides } = collapse(out.shape, all);
  const last = shape.length - 1;
  const count = shape[last] ?? 1;
  const step = strides.map((s) => s[last] ?? 0);
  const vector =
    spec.vector &&
    count >= 4 &&
    step.every((s) => s <= 1) &&
    [...ins, out].every((t) => hasVector(t, integer));

  loopOver(b, shape.slice(0, -1), (index) => {
    const base = strides.map((s) => b.let("row", flatIndex(index, s.slice(0, -1))));
    const fixed = operands.map((o, k) => (step[k] === 0 ? b.let("x", o.scalar(base[k]!)) : null));
    const at = (k: number, i: Expr): Expr => add(base[k]!, mul(i, step[k]!));
    let tail = spec.compute;
    const main = vector ? count - (count % 4) : 0;
    if (vector) {
      const spread = fixed.map((x) =>
        x === null ? null : b.let("xs", splat(integer ? "i32x4" : "f32x4", x)),
      );
      b.for(
        "i",
        0,
        main,
        (i) => {
          const args = operands.map((o, k) => spread[k] ?? b.let("x", o.vector(at(k, i))));
          const value = spec.compute(args, b);
          if (hasCall(value)) tail = throughLanes(spec.compute);
          result.vector(at(ins.length, i), value);
        },
        { step: 4 },
      );
    }
    b.for("i", main, count, (i) => {
      const args = operands.map((o, k) => fixed[k] ?? b.let("x", o.scalar(at(k, i))));
      result.scalar(at(ins.length, i), tail(args, b));
    });
  });
  return b.build();
}
