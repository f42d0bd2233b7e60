/**
 * @file Makes add, sub and mul: binary operators that on quantised values are defined through
 * reals, or by TensorFlow Lite's 8-bit integer kernels (`arith: "tflite"`).
 */
import { evalTensors, inferTypes } from "../../graph/apply.ts";
import { type Arith, defineOp, type Op, type Sample } from "../../graph/op.ts";
import type { KernelBuilder } from "../../kernel/build.ts";
import { type Expr, isVector } from "../../kernel/ir.ts";
import { DTYPES, type DType } from "../../tensor/dtype.ts";
import {
  numberReader,
  type QuantParams,
  type Tensor,
  type TensorType,
  tensorType,
  zeros,
} from "../../tensor/tensor.ts";
import { clamp } from "../../util/math.ts";
import { clampTo } from "../lowering.ts";
import { refuse } from "../shape/check.ts";
import { type BinarySpec, binaryOp, forEachPair } from "./binary-op.ts";
import { broadcastAll, type FloatAttrs, SAMPLE_OUT } from "./factory.ts";
import { elementwiseKernel } from "./nest.ts";

export interface ArithmeticAttrs extends FloatAttrs {
  readonly arith?: Arith;
}

/** One of TensorFlow Lite's integer kernels for given parameters. */
export interface FixedRule {
  /** The result for two stored integers, before clamping to the output's range. */
  js(a: number, b: number): number;
  /** The same for i32 or i32x4. */
  expr(a: Expr, b: Expr, builder: KernelBuilder): Expr;
}

export type FixedRuleOf = (a: QuantParams, b: QuantParams, out: QuantParams) => FixedRule;

const BYTES: readonly DType[] = ["i8", "u8"];

function expectTflite(ins: readonly TensorType[], attrs: ArithmeticAttrs): void {
  const out = attrs.out;
  const types = [...ins, ...(out === undefined ? [] : [{ dtype: out.dtype, quant: out }])];
  const fits = types.every(
    (t) => BYTES.includes(t.dtype) && t.dtype === ins[0]!.dtype && t.quant?.axis === null,
  );
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

/** TensorFlow Lite arithmetic: same shape, broadcasting, both byte types, scales apart. */
function tfliteSamples(): Sample<ArithmeticAttrs>[] {
  const out = { ...SAMPLE_OUT, scale: [Math.fround(0.021)] };
  const attrs = { out, arith: "tflite" } as const;
  const a = quantised("i8", [2, 3, 7], 0.013, -11);
  return [
    { ins: [a, quantised("i8", [2, 3, 7], 0.0071, 4)], attrs },
    { ins: [a, quantised("i8", [7], 0.15, 0)], attrs },
    { ins: [a, quantised("i8", [3, 1], 0.013, 127)], attrs },
    {
      ins: [quantised("u8", [4, 9], 0.02, 100), quantised("u8", [], 0.01, 7)],
      attrs: { arith: "tflite", out: { dtype: "u8", scale: [0.04], zeroPoint: [128], axis: null } },
    },
  ];
}

/** `spec` defines the op on reals and plain integers, `fixed` on TensorFlow Lite's integers. */
export function arithmeticOp(
  spec: BinarySpec<ArithmeticAttrs>,
  fixed: FixedRuleOf,
): Op<ArithmeticAttrs> {
  const base = binaryOp(spec);
  return defineOp<ArithmeticAttrs>({
    ...base,
    quant: "integer",
    infer(ins, attrs) {
      if (usesTflite(ins, attrs)) expectTflite(ins, attrs);
      return inferTypes(base, ins, attrs);
    },
    axes: (ins) => (ins.length === 2 ? (base.axes?.(ins, {}) ?? null) : null),
    eval(ins, attrs, outs) {
      const types = ins.map((t) => t.type);
      if (!usesTflite(types, attrs)) return evalTensors(base, ins, attrs, outs);
      return [evalFixed(ruleFor(fixed, types, outs[0]!), ins[0]!, ins[1]!, outs[0]!)];
    },
    lower(ins, attrs, outs) {
      if (!usesTflite(ins, attrs)) return base.lower!(ins, attrs, outs);
      const out = outs[0]!;
      const rule = ruleFor(fixed, ins, out);
      return elementwiseKernel({
        name: spec.name,
        ins,
        out: tensorType(out.dtype, broadcastAll(ins), out.quant),
        compute: ([a, b], builder) => {
          const q = rule.expr(a!, b!, builder);
          return isVector(q.type) ? q : clampTo(q, DTYPES[out.dtype].min, DTYPES[out.dtype].max);
        },
        vector: true,
        integer: true,
      });
    },
    samples: [...base.samples, ...tfliteSamples().map((s) => ({ ...s, tolerance: 0 }))],
  });
}
