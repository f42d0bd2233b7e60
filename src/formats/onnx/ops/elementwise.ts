import type { Value } from "../../../graph/graph.ts";
import type { Attrs, Op } from "../../../graph/op.ts";
import { isFloat } from "../../../tensor/dtype.ts";
import { type Importer, type ImportTable, malformed, type OpContext } from "../context.ts";
import { core } from "../core.ts";
import { num } from "../emit.ts";
import { dtypeOf } from "../tensors.ts";

/** A unary operator whose attributes are those given. */
const unary =
  <A extends Attrs>(op: Op<A>, attrs: (c: OpContext) => A): Importer =>
  (c) =>
    c.e.apply(op, [c.in(0)], attrs(c));

const plainUnary = (op: Op): Importer => unary(op, () => ({}));

/** Operand 1 of an old binary operator: the attribute `axis` says where its axes begin. */
function alignedOperand(c: OpContext): Value {
  const b = c.in(1);
  if (c.opset >= 7 || !c.attrs.has("axis")) return b;
  const rank = c.e.rank(c.in(0));
  const after = rank - c.axis(c.attrs.int("axis", 0), rank) - c.e.rank(b);
  return c.e.reshape(b, [...c.e.shape(b), ...new Array<number>(Math.max(after, 0)).fill(1)]);
}

const binary =
  (op: Op): Importer =>
  (c) =>
    c.e.apply(op, [c.in(0), alignedOperand(c)], {});

/** One result from any number of operands. */
const variadic =
  (op: Op): Importer =>
  (c) =>
    c.all().reduce((a, b) => c.e.apply(op, [a, b], {}));

const clip: Importer = (c) => {
  const x = c.in(0);
  if (c.opset < 11) {
    const lo = c.attrs.float("min", Number.NEGATIVE_INFINITY);
    const hi = c.attrs.float("max", Number.POSITIVE_INFINITY);
    return c.e.apply(core.clip, [x], { min: lo, max: hi });
  }
  const lo = c.optional(1);
  const hi = c.optional(2);
  const bounds = [lo, hi].map((v) => (v === undefined ? undefined : c.e.known(v)));
  const isConstant = (lo === undefined || bounds[0]) && (hi === undefined || bounds[1]);
  if (isConstant && !c.e.dtype(x).endsWith("64")) {
    const min = c.numbers(1)?.[0] ?? Number.NEGATIVE_INFINITY;
    const max = c.numbers(2)?.[0] ?? Number.POSITIVE_INFINITY;
    return c.e.apply(core.clip, [x], { min, max });
  }
  const raised = lo === undefined ? x : c.e.max(x, lo);
  return hi === undefined ? raised : c.e.min(raised, hi);
};

/** Exponent and base may differ in type: computed in a float base's type, otherwise in f64. */
const pow: Importer = (c) => {
  const x = c.in(0);
  const y = c.in(1);
  const type = c.e.dtype(x);
  if (type === c.e.dtype(y)) return c.e.apply(core.pow, [x, y], {});
  const wide = isFloat(type) ? type : "f64";
  const z = c.e.apply(core.pow, [c.e.cast(x, wide), c.e.cast(y, wide)], {});
  return c.e.cast(z, type);
};

const cast: Importer = (c) => {
  const to = dtypeOf(c.attrs.int("to", 0), "attribute 'to'");
  return c.e.cast(c.in(0), to);
};

const isInf: Importer = (c) =>
  c.e.apply(core.is_inf, [c.in(0)], {
    negative: c.attrs.flag("detect_negative", true),
    positive: c.attrs.flag("detect_positive", true),
  });

/** Before opset 7 a vector of slopes runs along axis 1. */
const prelu: Importer = (c) => {
  const x = c.in(0);
  const slope = c.in(1);
  const [n] = c.e.shape(slope);
  const isVector = c.opset < 7 && c.e.rank(slope) === 1 && n !== 1;
  const ones = new Array<number>(Math.max(c.e.rank(x) - 2, 0)).fill(1);
  return c.e.apply(core.prelu, [x, isVector ? c.e.reshape(slope, [n!, ...ones]) : slope], {});
};

const shift: Importer = (c) => {
  const direction = c.attrs.string("direction", "");
  if (direction !== "LEFT" && direction !== "RIGHT") {
    throw malformed(`direction '${direction}' is neither LEFT nor RIGHT`);
  }
  const op = direction === "LEFT" ? core.shift_left : core.shift_right;
  return c.e.apply(op, [c.in(0), c.in(1)], {});
};

const mean: Importer = (c) => {
  const xs = c.all();
  const total = xs.reduce((a, b) => c.e.add(a, b));
  return xs.length === 1 ? total : c.e.div(total, num(xs.length));
};

/** x * sigmoid(gate), the gate scaled by alpha. */
const swish: Importer = (c) =>
  c.e.apply(core.swish, [c.in(0)], { alpha: c.attrs.float("alpha", 1) });

const gelu: Importer = (c) => {
  const approximate = c.attrs.string("approximate", "none");
  if (approximate !== "none" && approximate !== "tanh") {
    throw malformed(`approximate '${approximate}' is neither none nor tanh`);
  }
  return c.e.apply(core.gelu, [c.in(0)], { approximate });
};

const SELU_ALPHA = 1.6732632423543772;
const SELU_GAMMA = 1.0507009873554805;

export const elementwise: ImportTable = {
  Abs: plainUnary(core.abs),
  Neg: plainUnary(core.neg),
  Sign: plainUnary(core.sign),
  Floor: plainUnary(core.floor),
  Ceil: plainUnary(core.ceil),
  Round: plainUnary(core.round),
  Sqrt: plainUnary(core.sqrt),
  Exp: plainUnary(core.exp),
  Log: plainUnary(core.log),
  Sin: plainUnary(core.sin),
  Cos: plainUnary(core.cos),
  Tan: plainUnary(core.tan),
  Asin: plainUnary(core.asin),
  Acos: plainUnary(core.acos),
  Atan: plainUnary(core.atan),
  Sinh: plainUnary(core.sinh),
  Cosh: plainUnary(core.cosh),
  Tanh: plainUnary(core.tanh),
  Asinh: plainUnary(core.asinh),
  Acosh: plainUnary(core.acosh),
  Atanh: plainUnary(core.atanh),
  Erf: plainUnary(core.erf),
  Sigmoid: plainUnary(core.sigmoid),
  Relu: plainUnary(core.relu),
  HardSwish: plainUnary(core.hard_swish),
  Mish: plainUnary(core.mish),
  Softplus: plainUnary(core.softplus),
  Softsign: plainUnary(core.softsign),
  Reciprocal: plainUnary(core.reciprocal),
  IsNaN: plainUnary(core.is_nan),
  Not: plainUnary(core.not),
  BitwiseNot: plainUnary(core.bitwise_not),
  LeakyRelu: unary(core.leaky_relu, (c) => ({ alpha: c.attrs.float("alpha", 0.01) })),
  Elu: unary(core.elu, (c) => ({ alpha: c.attrs.float("alpha", 1) })),
  Celu: unary(core.celu, (c) => ({ alpha: c.attrs.float("alpha", 1) })),
  Selu: unary(core.selu, (c) => ({
    alpha: c.attrs.float("alpha", SELU_ALPHA),
    gamma: c.attrs.float("gamma", SELU_GAMMA),
  })),
  HardSigmoid: unary(core.hard_sigmoid, (c) => ({
    alpha: c.attrs.float("alpha", 0.2),
    beta: c.attrs.float("beta", 0.5),
  })),
  ThresholdedRelu: unary(core.thresholded_relu, (c) => ({ alpha: c.attrs.float("alpha", 1) })),
  Shrink: unary(core.shrink, (c) => ({
    bias: c.attrs.float("bias", 0),
    lambd: c.attrs.float("lambd", 0.5),
  })),
  Swish: swish,
  Gelu: gelu,
  Clip: clip,
  IsInf: isInf,
  Cast: cast,
  CastLike: (c) => c.e.cast(c.in(0), c.e.dtype(c.in(1))),
  Identity: (c) => c.moving(0),
  Add: binary(core.add as Op),
  Sub: binary(core.sub as Op),
  Mul: binary(core.mul as Op),
  Div: binary(core.div as Op),
  Pow: pow,
  Mod: (c) => c.e.apply(core.mod, [c.in(0), c.in(1)], { fmod: c.attrs.flag("fmod", false) }),
  PRelu: prelu,
  Equal: binary(core.equal),
  Less: binary(core.less),
  Greater: binary(core.greater),
  LessOrEqual: binary(core.less_equal),
  GreaterOrEqual: binary(core.greater_equal),
  And: binary(core.and),
  Or: binary(core.or),
  Xor: binary(core.xor),
  BitwiseAnd: binary(core.bitwise_and),
  BitwiseOr: binary(core.bitwise_or),
  BitwiseXor: binary(core.bitwise_xor),
  BitShift: shift,
  Min: variadic(core.min),
  Max: variadic(core.max),
  Sum: variadic(core.add as Op),
  Mean: mean,
  Where: (c) => c.e.where(c.in(0), c.in(1), c.in(2)),
};
