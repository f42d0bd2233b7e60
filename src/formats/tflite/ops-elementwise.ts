/** @file Element-wise functions, comparisons, and conversions between reals and integers. */
import type { Value } from "../../graph/graph.ts";
import type { Op, OutQuant } from "../../graph/op.ts";
import { isQuantisedByte, sameQuant } from "../../tensor/tensor.ts";
import { core } from "../core.ts";
import {
  absolute,
  type ByteRuleOf,
  emitTable,
  hardSwish,
  leakyRelu,
  rescaled,
  viaFloat,
} from "./byte-tables.ts";
import { activate, asDeclared, asReal, cast, emitClamp, reshape } from "./common.ts";
import { type Handler, type Handlers, malformed, type OpContext } from "./context.ts";
import {
  ADD_OPTIONS,
  DIV_OPTIONS,
  GELU_OPTIONS,
  LEAKY_RELU_OPTIONS,
  MUL_OPTIONS,
  type OptionTable,
  SUB_OPTIONS,
} from "./schema.ts";

type Quantisable = { readonly out?: OutQuant };

/** A unary function; 8-bit inputs become a table when its rule is known. */
const unary =
  (op: Op<Quantisable>, rule?: ByteRuleOf): Handler =>
  (c) => {
    const x = c.in(0);
    if (rule !== undefined && isQuantisedByte(c.type(x))) return emitTable(c, x, rule);
    return c.emit(op, [x], c.outAttr());
  };

const sigmoid = (x: number): number => 1 / (1 + Math.exp(-x));
const gelu = (x: number): number =>
  x * 0.5 * (1 + Math.tanh(0.7978845608 * (x + 0.044715 * x ** 3)));

/** Clamps: on the same parameters as the input, or rescaled through a table. */
const clampTo =
  (lo: number, hi: number): Handler =>
  (c) => {
    const x = c.in(0);
    const declared = c.declared();
    const same = sameQuant(c.type(x).quant, declared.quant);
    if (!same && isQuantisedByte(c.type(x))) return emitTable(c, x, rescaled(lo, hi));
    return emitClamp(c, x, lo, hi);
  };

const binary =
  (op: Op<Quantisable>): Handler =>
  (c) =>
    c.emit(op, [c.in(0), c.in(1)], c.outAttr());

/** add, sub, mul: on quantised operands with TensorFlow Lite's arithmetic. */
const arithmetic =
  (
    op: typeof core.add | typeof core.sub | typeof core.mul,
    options: OptionTable<{ readonly activation: readonly [number, "i8"] }>,
  ): Handler =>
  (c) => {
    const { activation } = c.options(options);
    const ins = [c.in(0), c.in(1)];
    const bytes = ins.every((v) => isQuantisedByte(c.type(v))) && c.out() !== undefined;
    const attrs = bytes ? { ...c.outAttr(), arith: c.arith } : c.outAttr();
    return activate(c, c.emit(op, ins, attrs), activation);
  };

const plain =
  (op: Op<Quantisable>): Handler =>
  (c) =>
    c.emit(op, c.all().slice(0, 2), {});

function div(c: OpContext): Value {
  const { activation } = c.options(DIV_OPTIONS);
  return activate(c, c.emit(core.div, [c.in(0), c.in(1)], c.outAttr()), activation);
}

function leaky(c: OpContext): Value {
  const { alpha } = c.options(LEAKY_RELU_OPTIONS);
  const x = c.in(0);
  if (isQuantisedByte(c.type(x))) return emitTable(c, x, leakyRelu(alpha));
  return c.emit(core.leaky_relu, [x], { alpha, ...c.outAttr() });
}

function geluOp(c: OpContext): Value {
  const { approximate } = c.options(GELU_OPTIONS);
  const x = c.in(0);
  if (approximate && isQuantisedByte(c.type(x))) return emitTable(c, x, viaFloat(gelu));
  return c.emit(core.gelu, [x], { approximate: approximate ? "tanh" : "none", ...c.outAttr() });
}

function rsqrt(c: OpContext): Value {
  const x = c.in(0);
  if (isQuantisedByte(c.type(x))) {
    return emitTable(
      c,
      x,
      viaFloat((v) => 1 / Math.sqrt(Math.max(v, 0))),
    );
  }
  return asDeclared(c, c.emit(core.reciprocal, [c.emit(core.sqrt, [asReal(c, x)])]));
}

function quantize(c: OpContext): Value {
  const out = c.out();
  if (out === undefined) throw malformed("the output has no scale");
  const x = c.in(0);
  if (c.type(x).quant === undefined) return c.emit(core.quantize, [cast(c, x, "f32")], { out });
  return c.emit(core.requantize, [x], { out, arith: c.arith });
}

function castOp(c: OpContext): Value {
  const x = c.in(0);
  const raw = c.type(x).quant === undefined ? x : c.emit(core.strip_quant, [x]);
  return cast(c, raw, c.declared().dtype);
}

/** SELECT takes one condition for each row where its rank is lower. */
function select(c: OpContext): Value {
  const [cond, a, b] = [c.in(0), c.in(1), c.in(2)];
  const rank = c.shape(a).length;
  const [rows, ...rest] = c.shape(cond);
  const perRow = c.op.name === "SELECT" && rows !== undefined && rest.length === 0 && rank > 1;
  const shaped = perRow ? reshape(c, cond, [rows, ...new Array<number>(rank - 1).fill(1)]) : cond;
  return c.emit(core.where, [shaped, a, b]);
}

function prelu(c: OpContext): Value {
  return c.emit(core.prelu, [c.in(0), c.in(1)], c.outAttr());
}

const addN: Handler = (c) => c.all().reduce((sum, v) => c.emit(core.add, [sum, v], c.outAttr()));

export const elementwiseHandlers: Handlers = {
  ADD: arithmetic(core.add, ADD_OPTIONS),
  SUB: arithmetic(core.sub, SUB_OPTIONS),
  MUL: arithmetic(core.mul, MUL_OPTIONS),
  DIV: div,
  ADD_N: addN,
  MINIMUM: binary(core.min),
  MAXIMUM: binary(core.max),
  POW: binary(core.pow),
  SQUARED_DIFFERENCE: binary(core.squared_difference),
  FLOOR_DIV: binary(core.floor_div),
  FLOOR_MOD: (c) => c.emit(core.mod, [c.in(0), c.in(1)], { fmod: false, ...c.outAttr() }),
  ATAN2: binary(core.atan2),
  BITWISE_XOR: plain(core.bitwise_xor),
  RIGHT_SHIFT: plain(core.shift_right),
  RELU: clampTo(0, Number.POSITIVE_INFINITY),
  RELU6: clampTo(0, 6),
  RELU_N1_TO_1: clampTo(-1, 1),
  RELU_0_TO_1: clampTo(0, 1),
  LEAKY_RELU: leaky,
  PRELU: prelu,
  ELU: (c) => {
    const x = c.in(0);
    if (isQuantisedByte(c.type(x)))
      return emitTable(
        c,
        x,
        viaFloat((v) => (v < 0 ? Math.expm1(v) : v)),
      );
    return c.emit(core.elu, [x], { alpha: 1, ...c.outAttr() });
  },
  GELU: geluOp,
  HARD_SWISH: unary(core.hard_swish, hardSwish),
  LOGISTIC: unary(core.sigmoid, viaFloat(sigmoid)),
  TANH: unary(core.tanh, viaFloat(Math.tanh)),
  EXP: unary(core.exp, viaFloat(Math.exp)),
  LOG: unary(core.log, viaFloat(Math.log)),
  SQRT: unary(core.sqrt),
  RSQRT: rsqrt,
  SQUARE: unary(core.square),
  ABS: unary(core.abs, absolute),
  NEG: unary(core.neg),
  SIGN: unary(core.sign),
  SIN: unary(core.sin),
  COS: unary(core.cos),
  CEIL: unary(core.ceil),
  FLOOR: unary(core.floor),
  ROUND: unary(core.round),
  QUANTIZE: quantize,
  DEQUANTIZE: (c) => {
    const t = c.type(c.in(0));
    if (t.quant === undefined && t.dtype === "i8") throw malformed("the input has no scale");
    return asReal(c, c.in(0));
  },
  CAST: castOp,
  EQUAL: plain(core.equal),
  NOT_EQUAL: plain(core.not_equal),
  LESS: plain(core.less),
  LESS_EQUAL: plain(core.less_equal),
  GREATER: plain(core.greater),
  GREATER_EQUAL: plain(core.greater_equal),
  LOGICAL_AND: plain(core.and),
  LOGICAL_OR: plain(core.or),
  LOGICAL_NOT: (c) => c.emit(core.not, [c.in(0)]),
  SELECT: select,
  SELECT_V2: select,
};
