/**
 * @file dct: the orthonormal cosine transform (DCT-II) of the last axis, or its inverse. y[k] = sqrt(2/N) e(k) *
 * sum over n of x[n] cos(pi (2n+1) k / 2N), e(0) = 1/sqrt(2), else 1. Defined by a product with the matrix, or by the
 * fast algorithm of dct-fast.ts; both give the same but for rounding.
 */
import type { GraphBuilder, Value } from "../../graph/graph.ts";
import { defineOp } from "../../graph/op.ts";
import type { DType } from "../../tensor/dtype.ts";
import { type Tensor, type TensorType, tensorOf, tensorType } from "../../tensor/tensor.ts";
import { UserError } from "../../util/errors.ts";
import { fastDct } from "./dct-fast.ts";
import { linear } from "./linear.ts";
import { f32t, typed } from "./samples.ts";

/** auto: by size (see FAST_FROM). */
export type DctForm = "auto" | "dense" | "fast";

export interface DctAttrs {
  readonly inverse: boolean;
  readonly form: DctForm;
}

/**
 * The smallest size for which "auto" takes the fast form, as measured by bench/acdc.ts: in WebAssembly it is faster from 128
 * on (1.3 times), natively equal at 128 and 256 for many rows; from 256 on it loses nowhere by more than a tenth.
 */
export const FAST_FROM = 256;
/**
 * The same in training steps: the fast form and its derivative are some hundred kernel calls a transform, which a C
 * compiler takes minutes for.
 */
const FAST_TRAINING_FROM = 2048;
/** Blocks that the fast form leaves to a matrix product. */
const BASE = 64;

/** Rows k, columns n of the transform; `inverse`: its transpose. */
export function dctMatrix(dtype: DType, n: number, inverse: boolean): Tensor {
  const data = new Float64Array(n * n);
  for (let k = 0; k < n; k++) {
    const scale = Math.sqrt((k === 0 ? 1 : 2) / n);
    for (let i = 0; i < n; i++) {
      // The angle within one turn: exact for integers.
      const angle = ((2 * i + 1) * k) % (4 * n);
      const value = scale * Math.cos((Math.PI * angle) / (2 * n));
      data[inverse ? i * n + k : k * n + i] = value;
    }
  }
  return tensorOf(dtype, [n, n], data);
}

/** The transform by a matrix product. */
export function denseDct(g: GraphBuilder, x: Value, inverse: boolean): Value {
  const { dtype, shape } = g.typeOf(x);
  return g.apply(linear, [x, g.constant(dctMatrix(dtype, shape.at(-1)!, inverse))], {});
}

/** Whether the form is the fast one for this size. */
export function isFast(n: number, form: DctForm): boolean {
  if (n % 4 !== 0 || n <= BASE) return false;
  return form === "fast" || (form === "auto" && n >= FAST_FROM);
}

/** The form that a training step computes. */
export const trainingForm = (n: number, form: DctForm): DctForm =>
  form === "auto" && n < FAST_TRAINING_FROM ? "dense" : form;

export function checkTransformed(x: TensorType | undefined): TensorType {
  if (x === undefined || x.shape.length === 0 || x.shape.at(-1) === 0) {
    throw new UserError("E_SHAPE", `expected at least one element to transform, got [${x?.shape}]`);
  }
  if (x.dtype === "f32" || x.dtype === "f64") return x;
  throw new UserError("E_DTYPE", `a cosine transform is of f32 or f64, got ${x.dtype}`);
}

export const dct = defineOp<DctAttrs>({
  name: "dct",
  quant: "none",
  infer: ([x]) => {
    const { dtype, shape } = checkTransformed(x);
    return [tensorType(dtype, shape)];
  },
  decompose(g, [x], { inverse, form }) {
    const n = g.typeOf(x!).shape.at(-1)!;
    if (!isFast(n, form)) return [denseDct(g, x!, inverse)];
    return [fastDct(g, x!, inverse, (y, back) => denseDct(g, y, back), BASE)];
  },
  samples: [
    { ins: [f32t(3, 8)], attrs: { inverse: false, form: "auto" } },
    { ins: [f32t(2, 2, 5)], attrs: { inverse: true, form: "dense" } },
    { ins: [f32t(2, 136)], attrs: { inverse: false, form: "fast" } },
    { ins: [f32t(2, 136)], attrs: { inverse: true, form: "fast" } },
    { ins: [typed("f64", 1, 256)], attrs: { inverse: false, form: "fast" } },
    { ins: [typed("f64", 2, 7)], attrs: { inverse: true, form: "auto" } },
  ],
});
