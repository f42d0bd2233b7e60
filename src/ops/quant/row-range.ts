/** @file The least and the largest value for each index of the first axis, in one pass: what ranges are tracked by. */
import { defineOp } from "../../graph/op.ts";
import {
  add,
  affine,
  constant,
  extract,
  KernelBuilder,
  max,
  min,
  mul,
} from "../../kernel/build.ts";
import type { Expr, KType } from "../../kernel/ir.ts";
import { numberReader, numberWriter, tensorType, zeros } from "../../tensor/tensor.ts";
import { product } from "../../util/math.ts";
import { expectOperands } from "../elementwise/factory.ts";
import { declare } from "../lowering.ts";
import { refuse } from "../shape/check.ts";

const PARTS = 4;

/** Input [rows, ...], not empty. Results: least and largest, [rows]. */
export const rowRange = defineOp({
  name: "row_range",
  quant: "none",
  infer(ins) {
    const dtype = expectOperands(ins, 1, ["f32", "f64"]);
    const { shape } = ins[0]!;
    if (shape.length === 0 || product(shape) === 0) {
      refuse("E_SHAPE", `shape [${shape}]: expected rank 1 or more, and elements`);
    }
    return [tensorType(dtype, [shape[0]!]), tensorType(dtype, [shape[0]!])];
  },
  eval(ins, _, outs) {
    const [lo, hi] = outs.map(zeros);
    const read = numberReader(ins[0]!);
    const inner = ins[0]!.data.length / outs[0]!.shape[0]!;
    for (let r = 0; r < outs[0]!.shape[0]!; r++) {
      let [a, b] = [read(r * inner), read(r * inner)];
      for (let i = 1; i < inner; i++) {
        a = Math.min(a, read(r * inner + i));
        b = Math.max(b, read(r * inner + i));
      }
      numberWriter(lo!)(r, a);
      numberWriter(hi!)(r, b);
    }
    return [lo!, hi!];
  },
  lower(ins, _, outs) {
    const k = new KernelBuilder("row_range");
    const buffers = declare(k, ins, outs);
    const x = buffers.ins[0]!;
    const real = ins[0]!.dtype === "f64" ? "f64" : "f32";
    const inner = product(ins[0]!.shape.slice(1));
    k.forParallel("row", 0, ins[0]!.shape[0]!, (row) => {
      const base = k.let("base", mul(row, inner));
      const lo = k.reg("lo", constant(real, Number.POSITIVE_INFINITY));
      const hi = k.reg("hi", constant(real, Number.NEGATIVE_INFINITY));
      const see = (v: Expr, least: Expr, most: Expr): void => {
        const value = k.let("v", v);
        k.set(least, min(least, value));
        k.set(most, max(most, value));
      };
      let done = 0;
      if (real === "f32" && inner >= 4) {
        const type: KType = "f32x4";
        const parts = Math.min(PARTS, inner >> 2);
        const pairs = Array.from({ length: parts }, () => [
          k.reg("los", constant(type, Number.POSITIVE_INFINITY)),
          k.reg("his", constant(type, Number.NEGATIVE_INFINITY)),
        ]);
        const step = 4 * parts;
        done = inner - (inner % step);
        const block = (i: Expr): void => {
          for (const [p, [a, b]] of pairs.entries()) {
            see(k.load(x, affine(base, i, 4 * p), type), a!, b!);
          }
        };
        k.for("i", 0, done, block, { step });
        for (const [a, b] of pairs) {
          for (const lane of [0, 1, 2, 3]) {
            k.set(lo, min(lo, extract(a!, lane)));
            k.set(hi, max(hi, extract(b!, lane)));
          }
        }
      }
      k.for("i", done, inner, (i) => see(k.load(x, add(base, i)), lo, hi));
      k.store(buffers.outs[0]!, row, lo);
      k.store(buffers.outs[1]!, row, hi);
    });
    return k.build();
  },
  samples: [
    { ins: [tensorType("f32", [3, 5, 9])], attrs: {}, tolerance: 0 },
    { ins: [tensorType("f32", [4])], attrs: {}, tolerance: 0 },
    { ins: [tensorType("f64", [2, 3])], attrs: {}, tolerance: 0 },
  ],
});
