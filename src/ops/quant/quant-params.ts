/** @file Scale and zero point of a range of reals, for ranges that are known only at run time. */
import { defineOp, type Sample } from "../../graph/op.ts";
import {
  binary,
  constant,
  eq,
  KernelBuilder,
  max,
  min,
  select,
  sub,
  unary,
} from "../../kernel/build.ts";
import { numberReader, numberWriter, tensorType, zeros } from "../../tensor/tensor.ts";
import { clamp, roundHalfEven } from "../../util/math.ts";
import { expectOperands } from "../elementwise/factory.ts";
import { roundOf } from "../elementwise/unary-op.ts";
import { declare } from "../lowering.ts";
import { checkShape } from "../nn/access.ts";
import { expectRange } from "./grid.ts";

/** Smallest scale: keeps products of two scales normal f32 numbers. */
export const MIN_SCALE = 1e-18;

export interface QuantParamsAttrs {
  /** The least and the largest integer. */
  readonly min: number;
  readonly max: number;
}

const sample = (dtype: "f32" | "f64", lo: number, hi: number): Sample<QuantParamsAttrs> => ({
  ins: [tensorType(dtype, []), tensorType(dtype, [])],
  attrs: { min: -128, max: 127 },
  values: { 0: [lo], 1: [hi] },
  tolerance: 0,
});

/** Inputs: the ends of the range, scalars; it is widened to contain 0. Results: scale and zero point as floats. */
export const quantParams = defineOp<QuantParamsAttrs>({
  name: "quant_params",
  quant: "none",
  infer(ins, attrs) {
    const dtype = expectOperands(ins, 2, ["f32", "f64"]);
    checkShape("the least value", ins[0]!, []);
    checkShape("the largest value", ins[1]!, []);
    expectRange(attrs.min, attrs.max);
    return [tensorType(dtype, []), tensorType(dtype, [])];
  },
  eval(ins, attrs, outs) {
    const r = roundOf(ins[0]!.type.dtype);
    const lo = Math.min(0, numberReader(ins[0]!)(0));
    const hi = Math.max(0, numberReader(ins[1]!)(0));
    const step = r(r(hi - lo) / (attrs.max - attrs.min));
    const scale = hi === lo ? 1 : Math.max(step, r(MIN_SCALE));
    const zero = clamp(roundHalfEven(r(attrs.min - r(lo / scale))), attrs.min, attrs.max);
    const results = outs.map(zeros);
    numberWriter(results[0]!)(0, scale);
    numberWriter(results[1]!)(0, zero);
    return results;
  },
  lower(ins, attrs, outs) {
    const k = new KernelBuilder("quant_params");
    const buffers = declare(k, ins, outs);
    const real = ins[0]!.dtype === "f64" ? "f64" : "f32";
    const lit = (x: number) => constant(real, x);
    const lo = k.let("lo", min(lit(0), k.load(buffers.ins[0]!, 0)));
    const hi = k.let("hi", max(lit(0), k.load(buffers.ins[1]!, 0)));
    const step = binary("div", sub(hi, lo), lit(attrs.max - attrs.min));
    const scale = k.let("scale", select(eq(hi, lo), lit(1), max(step, lit(MIN_SCALE))));
    const zero = unary("nearest", sub(lit(attrs.min), binary("div", lo, scale)));
    k.store(buffers.outs[0]!, 0, scale);
    k.store(buffers.outs[1]!, 0, min(max(zero, lit(attrs.min)), lit(attrs.max)));
    return k.build();
  },
  samples: [
    sample("f32", -0.31, 2.47),
    sample("f32", 0.2, 6),
    sample("f32", 0, 0),
    sample("f32", -3, -1),
    sample("f64", -1.7, 0.9),
  ],
});
