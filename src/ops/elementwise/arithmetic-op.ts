/**
 * @file Makes add, sub and mul: binary operators that on quantised values are defined through
 * reals, or by TensorFlow Lite's 8-bit integer kernels (`arith: "tflite"`). They take a fused
 * activation: on a quantised result a clamp of the stored integers.
 */
import { evalTensors, inferTypes } from "../../graph/apply.ts";
import { type Activation, type Arith, defineOp, type Op, type Sample } from "../../graph/op.ts";
import type { KernelBuilder } from "../../kernel/build.ts";
import type { Expr, Kernel } from "../../kernel/ir.ts";
import { DTYPES, type DType } from "../../tensor/dtype.ts";
import { dequantizeValue, quantizeValue } from "../../tensor/quant.ts";
import {
  isQuantisedByte,
  numberReader,
  type QuantParams,
  type Tensor,
  type TensorType,
  tensorType,
  zeros,
} from "../../tensor/tensor.ts";
import { clamp } from "../../util/math.ts";
import { activationRange } from "../quant/requantize-rule.ts";
import { SCALARS } from "../scalar.ts";
import { refuse } from "../shape/check.ts";
import { type BinarySpec, binaryOp, forEachPair } from "./binary-op.ts";
import { type ByteFormula, byteFormula, type Combination } from "./byte-formula.ts";
import { broadcastAll, type FloatAttrs, SAMPLE_OUT } from "./factory.ts";
import { elementwiseKernel } from "./nest.ts";
import type { Bounds } from "./ports.ts";

export interface ArithmeticAttrs extends FloatAttrs {
  readonly arith?: Arith;
  /** f32, f64, and quantised per tensor to 8 bits if it is a clamp. */
  readonly act?: Activation;
}

/** One of TensorFlow Lite's integer kernels for given parameters. */
export interface FixedRule {
  /** The result for two stored integers, before clamping to the output's range. */
  js(a: number, b: number): number;
  /** The same for i32 or i32x4. */
  expr(a: Expr, b: Expr, builder: KernelBuilder): Expr;
}

export type FixedRuleOf = (a: QuantParams, b: QuantParams, out: QuantParams) => FixedRule;

function expectTflite(ins: readonly TensorType[], attrs: ArithmeticAttrs): void {
  const out = attrs.out;
  const types = [...ins, ...(out === undefined ? [] : [{ dtype: out.dtype, quant: out }])];
  const fits = types.every((t) => isQuantisedByte(t) && t.dtype === ins[0]!.dtype);
  if (out === undefined || !fits) {
    refuse("E_DTYPE", 'arith "tflite" needs per-tensor quantised i8 or u8 operands and result');
  }
}

const usesTflite = (ins: readonly TensorType[], attrs: ArithmeticAttrs): boolean =>
  attrs.arith === "tflite" && ins.some((t) => t.quant !== undefined);

function evalFixed(rule: FixedRule, a: Tensor, b: Tensor, out: TensorType): Tensor {
  const y = zeros(out);
  const p = numberReader(a);
  const q = numberReader(b);
  const { min, max } = DTYPES[out.dtype];
  forEachPair(a.type.shape, b.type.shape, out.shape, (i, j, k) => {
    y.data[i] = clamp(rule.js(p(j), q(k)), min, max);
  });
  return y;
}

const ruleFor = (rule: FixedRuleOf, [a, b]: readonly TensorType[], out: TensorType): FixedRule =>
  rule(a!.quant!, b!.quant!, out.quant!);

const quantised = (dtype: DType, shape: readonly number[], scale: number, zero: number) =>
  tensorType(dtype, shape, { scale: [Math.fround(scale)], zeroPoint: [zero], axis: null });

/** Fused activations, on floats and on stored integers; blocks of 16 with a tail. */
function clampedSamples(): Sample<ArithmeticAttrs>[] {
  const relu: Activation = { fn: "relu" };
  const clip: Activation = { fn: "clip", min: -0.3, max: 0.4 };
  const f32 = tensorType("f32", [3, 7]);
  const bytes = [quantised("i8", [2, 27], 0.013, -11), quantised("i8", [27], 0.0071, 4)];
  const all: Sample<ArithmeticAttrs>[] = [
    { ins: [f32, tensorType("f32", [7])], attrs: { act: relu } },
    { ins: [tensorType("f64", [5]), tensorType("f64", [5])], attrs: { act: clip } },
    { ins: bytes, attrs: { out: SAMPLE_OUT, act: clip } },
    { ins: bytes, attrs: { out: SAMPLE_OUT, act: relu, arith: "tflite" } },
    { ins: [f32, f32], attrs: { out: SAMPLE_OUT, act: clip } },
  ];
  return all.map((s) => ({ ...s, tolerance: 0 }));
}

/** TensorFlow Lite arithmetic: same shape, broadcasting, both byte types, scales apart. */
function tfliteSamples(): Sample<ArithmeticAttrs>[] {
  const out = { ...SAMPLE_OUT, scale: [Math.fround(0.021)] };
  const attrs = { out, arith: "tflite" } as const;
  const a = quantised("i8", [2, 3, 7], 0.013, -11);
  const all: Sample<ArithmeticAttrs>[] = [
    { ins: [a, quantised("i8", [2, 3, 7], 0.0071, 4)], attrs },
    { ins: [a, quantised("i8", [7], 0.15, 0)], attrs },
    { ins: [a, quantised("i8", [3, 1], 0.013, 127)], attrs },
    {
      ins: [quantised("u8", [4, 9], 0.02, 100), quantised("u8", [], 0.01, 7)],
      attrs: { arith: "tflite", out: { dtype: "u8", scale: [0.04], zeroPoint: [128], axis: null } },
    },
  ];
  return all.map((s) => ({ ...s, tolerance: 0 }));
}

function expectAct(act: Activation, y: TensorType): void {
  const fn = SCALARS[act.fn];
  if (fn === undefined) refuse("E_MODEL", `'${act.fn}' is not an activation that can be fused`);
  const fits = y.quant ? isQuantisedByte(y) && fn.bounds : y.dtype === "f32" || y.dtype === "f64";
  if (!fits) refuse("E_DTYPE", `activation '${act.fn}' cannot be fused into this result`);
}

/** The range of a quantised result. */
const boundsOf = (y: TensorType, attrs: ArithmeticAttrs): Bounds =>
  activationRange(y.dtype, y.quant!, attrs.act);

function clampTensor(t: Tensor, [lo, hi]: Bounds): Tensor {
  const y = zeros(t.type);
  for (let i = 0; i < y.data.length; i++) y.data[i] = clamp(Number(t.data[i]), lo, hi);
  return y;
}

/** The operator with its activation, for results that are not quantised. */
const activated = (spec: BinarySpec<ArithmeticAttrs>): BinarySpec<ArithmeticAttrs> => ({
  ...spec,
  js: (x, y, attrs, r) => {
    const value = spec.js(x, y, attrs, r);
    return attrs.act ? SCALARS[attrs.act.fn]!.rounded(value, attrs.act, r) : value;
  },
  expr: (x, y, ctx) => {
    const value = spec.expr(x, y, ctx);
    const { act } = ctx.attrs;
    return act ? SCALARS[act.fn]!.expr(ctx.b.let("sum", value), act) : value;
  },
});

/** What an operator is: on reals and plain integers, on TensorFlow Lite's integers, and in short. */
interface Definition {
  readonly spec: BinarySpec<ArithmeticAttrs>;
  readonly fixed: FixedRuleOf;
  readonly kind: Combination;
}

/** A short formula for bytes, where one exists. */
function formulaFor(
  { spec, fixed, kind }: Definition,
  ins: readonly TensorType[],
  attrs: ArithmeticAttrs,
  y: TensorType,
): ByteFormula | null {
  if (![...ins, y].every(isQuantisedByte)) return null;
  const [a, b, out] = [ins[0]!.quant!, ins[1]!.quant!, y.quant!];
  const { min, max } = DTYPES[y.dtype];
  const rule = attrs.arith === "tflite" ? fixed(a, b, out) : null;
  const real = (q: number, p: QuantParams): number =>
    dequantizeValue(q, p.scale[0]!, p.zeroPoint[0]!);
  const throughReals = (p: number, q: number): number => {
    const value = spec.js(real(p, a), real(q, b), {}, Math.fround);
    return quantizeValue(value, out.scale[0]!, out.zeroPoint[0]!, y.dtype);
  };
  return byteFormula(
    kind,
    { dtypes: [ins[0]!.dtype, ins[1]!.dtype, y.dtype], quant: [a, b, out] },
    rule === null ? throughReals : (p, q) => clamp(rule.js(p, q), min, max),
  );
}

function lowerQuantised(
  op: Definition,
  ins: readonly TensorType[],
  attrs: ArithmeticAttrs,
  y: TensorType,
): Kernel {
  const out = tensorType(y.dtype, broadcastAll(ins), y.quant);
  const common = { name: op.spec.name, ins, out, vector: true, short: true } as const;
  const bounded = isQuantisedByte(y) ? { bounds: boundsOf(y, attrs) } : {};
  const formula = formulaFor(op, ins, attrs, y);
  if (formula !== null) {
    const compute = ([a, b]: readonly Expr[]): Expr => formula.expr(a!, b!);
    return elementwiseKernel({ ...common, ...bounded, registers: "steps", compute });
  }
  if (usesTflite(ins, attrs)) {
    const rule = ruleFor(op.fixed, ins, y);
    return elementwiseKernel({
      ...common,
      ...bounded,
      compute: ([a, b], builder) => rule.expr(a!, b!, builder),
      registers: "integer",
      short: false,
    });
  }
  return elementwiseKernel({
    ...common,
    ...bounded,
    compute: ([a, b], builder) => op.spec.expr(a!, b!, { attrs, dtype: "f32", b: builder }),
  });
}

/**
 * `spec` defines the op on reals and plain integers, `fixed` on TensorFlow Lite's integers, `kind`
 * names what it does to reals.
 */
export function arithmeticOp(
  spec: BinarySpec<ArithmeticAttrs>,
  fixed: FixedRuleOf,
  kind: Combination,
): Op<ArithmeticAttrs> {
  const base = binaryOp(activated(spec));
  const definition: Definition = { spec, fixed, kind };
  return defineOp<ArithmeticAttrs>({
    ...base,
    quant: "integer",
    infer(ins, attrs) {
      if (usesTflite(ins, attrs)) expectTflite(ins, attrs);
      const types = inferTypes(base, ins, attrs);
      if (attrs.act !== undefined) expectAct(attrs.act, types[0]!);
      return types;
    },
    axes: (ins) => (ins.length === 2 ? (base.axes?.(ins, {}) ?? null) : null),
    eval(ins, attrs, outs) {
      const types = ins.map((t) => t.type);
      const y = outs[0]!;
      if (y.quant === undefined) return evalTensors(base, ins, attrs, outs);
      const { act, ...plain } = attrs;
      const results = usesTflite(types, attrs)
        ? [evalFixed(ruleFor(fixed, types, y), ins[0]!, ins[1]!, y)]
        : evalTensors(base, ins, plain, outs);
      return act === undefined ? results : results.map((t) => clampTensor(t, boundsOf(y, attrs)));
    },
    lower: (ins, attrs, outs) =>
      outs[0]!.quant === undefined
        ? base.lower!(ins, attrs, outs)
        : lowerQuantised(definition, ins, attrs, outs[0]!),
    fuses: { act: true },
    samples: [...base.samples, ...tfliteSamples(), ...clampedSamples()],
  });
}
