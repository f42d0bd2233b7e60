/** @file Element-wise core operators as ONNX nodes. */
import type { Activation, Attrs, AttrValue, Op } from "../../../graph/op.ts";
import { type DType, isFloat } from "../../../tensor/dtype.ts";
import type { core } from "../core.ts";
import { DATA_TYPE } from "../tensors.ts";
import type { ExportContext, ExportEntry } from "./context.ts";
import { refuse } from "./context.ts";
import { type AttributeMap, float, int, type OnnxWriter, text } from "./writer.ts";

export type AttrsOf<T> = T extends Op<infer A> ? A : never;
/** Entries for core operators, each typed with the operator's attributes. */
export type ExportTable = {
  readonly [K in keyof typeof core]?: ExportEntry<AttrsOf<(typeof core)[K]>>;
};

type Params = Readonly<Record<string, AttrValue>>;
type Unary = (w: OnnxWriter, x: string, p: Params, dtype: DType) => string;

const plain =
  (opType: string): Unary =>
  (w, x) =>
    w.emit(opType, [x]);

/** A node whose float attributes are the operator's. */
const floats =
  (opType: string, ...names: readonly string[]): Unary =>
  (w, x, p) => {
    const attributes = names.map((n) => [n, float(Number(p[n]))] as const);
    return w.emit(opType, [x], Object.fromEntries(attributes) as AttributeMap);
  };

/** Bounds that are infinite are left out. */
const clip: Unary = (w, x, p, dtype) => {
  const bound = (v: AttrValue | undefined): string =>
    Number.isFinite(v) ? w.scalar(dtype, Number(v)) : "";
  const ins = [x, bound(p["min"]), bound(p["max"])];
  while (ins.at(-1) === "") ins.pop();
  return ins.length === 1 ? w.emit("Identity", ins) : w.emit("Clip", ins);
};

const swish: Unary = (w, x, p, dtype) => {
  const alpha = Number(p["alpha"] ?? 1);
  const inner = alpha === 1 ? x : w.emit("Mul", [x, w.scalar(dtype, alpha)]);
  return w.emit("Mul", [x, w.emit("Sigmoid", [inner])]);
};

/** Unary functions by core operator: nodes of their own, and fused activations. */
const UNARY: Readonly<Record<string, Unary>> = {
  abs: plain("Abs"),
  neg: plain("Neg"),
  sign: plain("Sign"),
  floor: plain("Floor"),
  ceil: plain("Ceil"),
  round: plain("Round"),
  sqrt: plain("Sqrt"),
  exp: plain("Exp"),
  log: plain("Log"),
  sin: plain("Sin"),
  cos: plain("Cos"),
  tan: plain("Tan"),
  asin: plain("Asin"),
  acos: plain("Acos"),
  atan: plain("Atan"),
  sinh: plain("Sinh"),
  cosh: plain("Cosh"),
  tanh: plain("Tanh"),
  asinh: plain("Asinh"),
  acosh: plain("Acosh"),
  atanh: plain("Atanh"),
  erf: plain("Erf"),
  sigmoid: plain("Sigmoid"),
  relu: plain("Relu"),
  hard_swish: plain("HardSwish"),
  mish: plain("Mish"),
  softplus: plain("Softplus"),
  softsign: plain("Softsign"),
  reciprocal: plain("Reciprocal"),
  is_nan: plain("IsNaN"),
  not: plain("Not"),
  bitwise_not: plain("BitwiseNot"),
  leaky_relu: floats("LeakyRelu", "alpha"),
  elu: floats("Elu", "alpha"),
  celu: floats("Celu", "alpha"),
  selu: floats("Selu", "alpha", "gamma"),
  hard_sigmoid: floats("HardSigmoid", "alpha", "beta"),
  thresholded_relu: floats("ThresholdedRelu", "alpha"),
  shrink: floats("Shrink", "bias", "lambd"),
  square: (w, x) => w.emit("Mul", [x, x]),
  clip,
  swish,
  gelu: (w, x, p) => w.emit("Gelu", [x], { approximate: text(String(p["approximate"])) }),
};

/** Applies a fused activation. */
export function activate(
  w: OnnxWriter,
  name: string,
  act: Activation | undefined,
  dtype: DType,
  where: string,
): string {
  if (act === undefined) return name;
  const unary = UNARY[act.fn];
  if (unary === undefined) throw refuse(`activation ${act.fn} has no ONNX form`, where);
  return unary(w, name, act, dtype);
}

const realType = (x: ExportContext): DType =>
  x.type(0).quant === undefined ? x.type(0).dtype : "f32";

const unaryEntry = (run: Unary): ExportEntry<Attrs> => ({
  run: (x) => run(x.w, x.real(0), x.attrs as Params, realType(x)),
});

const binary = (opType: string): ExportEntry<Attrs> => ({
  run: (x) => {
    const y = x.w.emit(opType, [x.real(0), x.real(1)]);
    const { act } = x.attrs as { readonly act?: Activation };
    return activate(x.w, y, act, realType(x), x.node.name);
  },
});

const UNARY_ENTRIES = Object.fromEntries(
  Object.entries(UNARY).map(([name, run]) => [name, unaryEntry(run)]),
) as ExportTable;

/** Quotient rounded toward minus infinity: exact for integers through the remainder. */
function floorDiv(x: ExportContext): string {
  const [a, b] = [x.real(0), x.real(1)];
  if (isFloat(realType(x))) return x.w.emit("Floor", [x.w.emit("Div", [a, b])]);
  const rest = x.w.emit("Mod", [a, b]);
  return x.w.emit("Div", [x.w.emit("Sub", [a, rest]), b]);
}

export const elementwiseExports: ExportTable = {
  ...UNARY_ENTRIES,
  add: binary("Add"),
  sub: binary("Sub"),
  mul: binary("Mul"),
  div: binary("Div"),
  pow: binary("Pow"),
  min: binary("Min"),
  max: binary("Max"),
  prelu: binary("PRelu"),
  equal: binary("Equal"),
  less: binary("Less"),
  less_equal: binary("LessOrEqual"),
  greater: binary("Greater"),
  greater_equal: binary("GreaterOrEqual"),
  and: binary("And"),
  or: binary("Or"),
  xor: binary("Xor"),
  bitwise_and: binary("BitwiseAnd"),
  bitwise_or: binary("BitwiseOr"),
  bitwise_xor: binary("BitwiseXor"),
  not_equal: { run: (x) => x.w.emit("Not", [x.w.emit("Equal", [x.real(0), x.real(1)])]) },
  shift_left: {
    run: (x) => x.w.emit("BitShift", [x.real(0), x.real(1)], { direction: text("LEFT") }),
  },
  shift_right: {
    run: (x) => x.w.emit("BitShift", [x.real(0), x.real(1)], { direction: text("RIGHT") }),
  },
  mod: {
    run: (x) => {
      const [a, b] = [x.real(0), x.real(1)];
      if (x.attrs.fmod || !isFloat(realType(x))) {
        return x.w.emit("Mod", [a, b], { fmod: int(x.attrs.fmod) });
      }
      const whole = x.w.emit("Floor", [x.w.emit("Div", [a, b])]);
      return x.w.emit("Sub", [a, x.w.emit("Mul", [whole, b])]);
    },
  },
  floor_div: { run: floorDiv },
  squared_difference: {
    run: (x) => {
      const d = x.w.emit("Sub", [x.real(0), x.real(1)]);
      return x.w.emit("Mul", [d, d]);
    },
  },
  is_inf: {
    run: (x) =>
      x.w.emit("IsInf", [x.real(0)], {
        detect_negative: int(x.attrs.negative),
        detect_positive: int(x.attrs.positive),
      }),
  },
  identity: { integers: true, run: (x) => x.w.emit("Identity", [x.raw(0)]) },
  cast: { run: (x) => x.w.emit("Cast", [x.real(0)], { to: int(DATA_TYPE[x.attrs.to]) }) },
  where: {
    integers: true,
    run: (x) => x.w.emit("Where", [x.raw(0), x.raw(1), x.raw(2)]),
  },
};
