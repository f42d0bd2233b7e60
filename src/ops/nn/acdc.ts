/**
 * @file acdc: the structured efficient linear layer of Moczulski, Denil, Appleyard, de Freitas (arXiv:1511.05946) on
 * the last axis: y = x A C D C^-1, A and D diagonal, C the cosine transform, and a bias on D. 2N or 3N weights.
 */
import { defineOp } from "../../graph/op.ts";
import { tensorType } from "../../tensor/tensor.ts";
import { add } from "../elementwise/add.ts";
import { mul } from "../elementwise/mul.ts";
import { checkCount, checkShape } from "./access.ts";
import { checkTransformed, type DctForm, dct } from "./dct.ts";
import { f32t, typed } from "./samples.ts";

export interface AcdcAttrs {
  readonly form: DctForm;
}

export const acdc = defineOp<AcdcAttrs>({
  name: "acdc",
  // x, a, d, and the bias on d.
  parameters: [1, 2, 3],
  quant: "none",
  infer: (ins) => {
    checkCount(ins, 3, 4);
    const { dtype, shape } = checkTransformed(ins[0]);
    const n = shape.at(-1)!;
    for (const [i, name] of ["a", "d", "bias"].entries()) {
      const t = ins[i + 1];
      if (t !== undefined) checkShape(name, t, [n]);
    }
    return [tensorType(dtype, shape)];
  },
  decompose(g, [x, a, d, bias], { form }) {
    const wave = g.apply(dct, [g.apply(mul, [x!, a!])], { inverse: false, form });
    const scaled = g.apply(mul, [wave, d!]);
    const shifted = bias === undefined ? scaled : g.apply(add, [scaled, bias]);
    return [g.apply(dct, [shifted], { inverse: true, form })];
  },
  samples: [
    { ins: [f32t(3, 8), f32t(8), f32t(8), f32t(8)], attrs: { form: "auto" } },
    { ins: [f32t(2, 3, 5), f32t(5), f32t(5)], attrs: { form: "dense" } },
    {
      ins: [typed("f64", 2, 72), typed("f64", 72), typed("f64", 72), typed("f64", 72)],
      attrs: { form: "fast" },
    },
  ],
});
