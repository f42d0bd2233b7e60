/**
 * @file What convolution, linear and matmul share: result types, reading operands without their
 * zero points, and turning a finished sum into an output element (bias, residual, activation,
 * requantisation).
 */
import type { Activation, Arith, OutQuant } from "../../graph/op.ts";
import { add, constant, type ExprLike, i32, type KernelBuilder, sub } from "../../kernel/build.ts";
import { type Expr, type ScalarType, scalarTypeOf } from "../../kernel/ir.ts";
import { type DType, isFloat } from "../../tensor/dtype.ts";
import { channelOf } from "../../tensor/quant.ts";
import { numberReader, type Tensor, type TensorType, tensorType } from "../../tensor/tensor.ts";
import { UserError } from "../../util/errors.ts";
import { constantTable, convert, declare } from "../lowering.ts";
import { type RequantRule, requantRule } from "../quant/requantize-rule.ts";
import { SCALARS } from "../scalar.ts";
import { checkSameDType, realTypeOf } from "./access.ts";

/** Attributes of every contraction. */
export interface ContractionAttrs {
  /** Applied to the sum, before requantisation; quantised operators take only clamping ones. */
  readonly act?: Activation;
  /** The result's quantised type: given exactly when the inputs are quantised. */
  readonly out?: OutQuant;
  readonly arith?: Arith;
}

/** The operands by role; absent ones are undefined. */
export interface Operands<T> {
  readonly x: T;
  readonly w: T;
  readonly bias?: T | undefined;
  readonly residual?: T | undefined;
}

const refuseType = (message: string, hint?: string): never => {
  throw new UserError("E_DTYPE", message, hint === undefined ? {} : { hint });
};

/**
 * Checks element types and quantisation and gives the result's type. `channelAxis` is the axis of
 * `w` whose entries have one output channel each: the only one its parameters may run along.
 */
export function contractionType(
  { x, w, bias, residual }: Operands<TensorType>,
  attrs: ContractionAttrs,
  shape: readonly number[],
  channelAxis: number,
  allowed: (dtype: DType) => boolean = isFloat,
): TensorType {
  const { act, out } = attrs;
  if (act !== undefined && SCALARS[act.fn] === undefined) {
    throw new UserError("E_MODEL", `'${act.fn}' is not an activation that can be fused`);
  }
  if (x.quant === undefined && w.quant === undefined) {
    const all = [x, w, bias, residual].filter((t) => t !== undefined);
    checkSameDType(...all);
    if (!allowed(x.dtype)) refuseType(`inputs of type ${x.dtype} are not supported`);
    if (out !== undefined) refuseType("attribute out is given but the inputs are not quantised");
    return tensorType(x.dtype, shape);
  }
  checkQuantised(x, w, channelAxis);
  if (bias !== undefined && bias.dtype !== "i32") {
    refuseType(`the bias of a quantised operator must be i32, got ${bias.dtype}`);
  }
  if (residual !== undefined) refuseType("a quantised operator takes no residual input");
  if (out === undefined) {
    return refuseType("quantised inputs need the attribute out: the result's scale and zero point");
  }
  if (out.dtype !== "i8" && out.dtype !== "u8") {
    refuseType(`the result of a quantised operator must be i8 or u8, got ${out.dtype}`);
  }
  if (out.axis !== null)
    refuseType("the result of a quantised operator must be quantised per tensor");
  const { scale, zeroPoint, axis } = out;
  return tensorType(out.dtype, shape, { scale, zeroPoint, axis });
}

function checkQuantised(x: TensorType, w: TensorType, channelAxis: number): void {
  if (x.quant === undefined || w.quant === undefined) {
    refuseType(
      "one operand is quantised and the other is not",
      "dequantize the quantised one, or quantise both",
    );
  }
  const bytes = (t: TensorType): boolean => t.dtype === "i8" || t.dtype === "u8";
  if (!bytes(x) || !bytes(w)) {
    refuseType(`quantised operands must be i8 or u8, got ${x.dtype} and ${w.dtype}`);
  }
  if (x.quant?.axis !== null) refuseType("the first operand must be quantised per tensor");
  const axis = w.quant?.axis ?? null;
  if (axis !== null && axis !== channelAxis) {
    refuseType(`weights may be quantised along axis ${channelAxis} only, got axis ${axis}`);
  }
}

const ruleOf = (
  x: TensorType,
  w: TensorType,
  y: TensorType,
  attrs: ContractionAttrs,
): RequantRule => requantRule(x.quant!, w.quant!, y.quant!, y.dtype, attrs.act, attrs.arith);

/** All elements as doubles, less their zero points. */
export function centred(t: Tensor): Float64Array {
  const read = numberReader(t);
  const out = Float64Array.from({ length: t.data.length }, (_, i) => read(i));
  const quant = t.type.quant;
  if (quant === undefined || quant.zeroPoint.every((z) => z === 0)) return out;
  const channel = channelOf(t.type.shape, quant.axis);
  return out.map((v, i) => v - quant.zeroPoint[channel(i)]!);
}

/** For eval: the output element for a sum of products, its output channel and its flat index. */
export function finisher(
  operands: Operands<Tensor>,
  attrs: ContractionAttrs,
  out: TensorType,
): (sum: number, channel: number, at: number) => number {
  const { x, w } = operands;
  const bias = operands.bias === undefined ? () => 0 : numberReader(operands.bias);
  if (out.quant !== undefined) {
    const rule = ruleOf(x.type, w.type, out, attrs);
    return (sum, channel) => rule.js((sum + bias(channel)) | 0, channel);
  }
  const residual = operands.residual === undefined ? () => 0 : numberReader(operands.residual);
  const { act } = attrs;
  const total = (sum: number, channel: number, at: number): number =>
    sum + bias(channel) + residual(at);
  if (act === undefined) return total;
  const fn = SCALARS[act.fn]!;
  const round = out.dtype === "f64" ? (v: number) => v : Math.fround;
  return (sum, channel, at) => fn.rounded(round(total(sum, channel, at)), act, round);
}

/** The operands inside a kernel. */
export interface ContractionPorts {
  /** Register type of sums: f32, f64, i32 or i64. */
  readonly acc: ScalarType;
  /** An element less its zero point. */
  x(index: ExprLike): Expr;
  w(index: ExprLike, channel: Expr): Expr;
  /** What a sum starts from. */
  start(channel: Expr): Expr;
  /** Stores a finished sum. */
  store(sum: Expr, channel: Expr, at: Expr): void;
}

/** Declares the buffers (x, w, bias, residual, out) and the tables requantisation needs. */
export function contractionPorts(
  k: KernelBuilder,
  ins: readonly TensorType[],
  out: TensorType,
  attrs: ContractionAttrs,
): ContractionPorts {
  const buffers = declare(k, ins, [out]);
  const [x, w, bias, residual] = buffers.ins;
  const y = buffers.outs[0]!;
  if (out.quant !== undefined) {
    const rule = ruleOf(ins[0]!, ins[1]!, out, attrs);
    const zx = ins[0]!.quant!.zeroPoint[0]!;
    const zw = constantTable(k, "zeroW", ins[1]!.quant!.zeroPoint, "i32");
    const tables = rule.tables.map((t) => constantTable(k, t.name, t.values, t.dtype));
    return {
      acc: "i32",
      x: (i) => sub(k.load(x!, i), zx),
      w: (i, c) => sub(k.load(w!, i), zw(c)),
      start: (c) => (bias === undefined ? i32(0) : k.load(bias, c)),
      store: (sum, c, at) => {
        const params = tables.map((t) => k.let("m", t(c)));
        k.store(y, at, rule.expr(k.let("sum", sum), params));
      },
    };
  }
  const acc = isFloat(out.dtype) ? realTypeOf(out.dtype) : scalarTypeOf(out.dtype);
  const { act } = attrs;
  return {
    acc,
    x: (i) => k.load(x!, i),
    w: (i) => k.load(w!, i),
    start: () => constant(acc, acc === "i64" ? 0n : 0),
    store: (sum, c, at) => {
      const biased = bias === undefined ? sum : add(sum, k.load(bias, c));
      const total = k.let(
        "sum",
        residual === undefined ? biased : add(biased, k.load(residual, at)),
      );
      const value = act === undefined ? total : SCALARS[act.fn]!.expr(total, act);
      k.store(y, at, convert(value, out.dtype, out.dtype));
    },
  };
}
