/**
 * @file layer_norm and rms_norm: normalisation of everything from one axis on, then an optional
 * scale (gamma) and shift (beta) of that shape. Source: ONNX LayerNormalization, RMSNormalization.
 */

import { defineOp, type Op, type OutQuant, type Sample } from "../../graph/op.ts";
import { resultPort, sameIndex } from "../../graph/ties.ts";
import { add, affine, KernelBuilder, mul } from "../../kernel/build.ts";
import type { Kernel } from "../../kernel/ir.ts";
import {
  numberWriter,
  type Tensor,
  type TensorType,
  tensorType,
  zeros,
} from "../../tensor/tensor.ts";
import { UserError } from "../../util/errors.ts";
import { product } from "../../util/math.ts";
import {
  checkCount,
  checkFloat,
  checkSameDType,
  checkShape,
  declarePorts,
  numbersOf,
  realTypeOf,
  sameStorage,
} from "./access.ts";
import { f32t, outQuant, quantised, typed } from "./samples.ts";
import { standardise, statistics } from "./standardise.ts";

export interface RowNormAttrs {
  /** First normalised axis, not negative. */
  readonly axis: number;
  readonly epsilon: number;
  readonly out?: OutQuant;
}

function inferRowNorm(
  ins: readonly TensorType[],
  axis: number,
  most: number,
): readonly TensorType[] {
  checkCount(ins, 1, most);
  checkFloat(...ins);
  checkSameDType(...ins);
  const x = ins[0]!;
  if (!Number.isInteger(axis) || axis < 0 || axis >= x.shape.length) {
    throw new UserError("E_MODEL", `axis ${axis} is not one of the ${x.shape.length} axes`);
  }
  for (const t of ins.slice(1)) checkShape("scale or bias", t, x.shape.slice(axis));
  return [tensorType(x.dtype, x.shape)];
}

function evalRowNorm(
  ins: readonly Tensor[],
  { axis, epsilon }: RowNormAttrs,
  outs: readonly TensorType[],
  centre: boolean,
): readonly Tensor[] {
  const x = numbersOf(ins[0]!);
  const gamma = ins[1] === undefined ? null : numbersOf(ins[1]);
  const beta = ins[2] === undefined ? null : numbersOf(ins[2]);
  const out = zeros(outs[0]!);
  const write = numberWriter(out);
  const n = product(outs[0]!.shape.slice(axis));
  for (let base = 0; base < x.length; base += n) {
    const { mean, inverse } = statistics(n, (i) => x[base + i]!, epsilon, centre);
    for (let i = 0; i < n; i++) {
      const normal = (x[base + i]! - mean) * inverse;
      write(base + i, normal * (gamma?.[i] ?? 1) + (beta?.[i] ?? 0));
    }
  }
  return [out];
}

function lowerRowNorm(
  name: string,
  ins: readonly TensorType[],
  { axis, epsilon }: RowNormAttrs,
  outs: readonly TensorType[],
  centre: boolean,
): Kernel {
  const k = new KernelBuilder(name);
  const real = realTypeOf(outs[0]!.dtype);
  const ports = declarePorts(k, ins, outs, real);
  const [x, gamma, beta] = ports.ins;
  const shape = outs[0]!.shape;
  const count = product(shape.slice(axis));
  k.forParallel("row", 0, product(shape.slice(0, axis)), (row) => {
    const base = k.let("base", mul(row, count));
    const group = {
      count,
      each: (body: (value: ReturnType<typeof mul>, i: ReturnType<typeof mul>) => void) =>
        k.for("i", 0, count, (i) => body(x!.read(add(base, i)), i)),
    };
    standardise(k, group, real, epsilon, centre, (normal, i) => {
      const scaled = gamma === undefined ? normal : mul(normal, gamma.read(i));
      const y = beta === undefined ? scaled : add(scaled, beta.read(i));
      ports.outs[0]!.write(affine(base, i), k.let("y", y));
    });
  });
  return k.build();
}

function rowNorm(
  name: string,
  centre: boolean,
  most: number,
  samples: readonly Sample<RowNormAttrs>[],
): Op<RowNormAttrs> {
  return defineOp<RowNormAttrs>({
    name,
    ties: ([x], { axis }) => ({
      all: x!.shape.slice(0, axis).map((n, i) => sameIndex(n, [0, i], [resultPort(0), i])),
    }),
    parameters: [1, 2],
    quant: "float",
    infer: (ins, { axis }) => inferRowNorm(ins, axis, most),
    eval: (ins, attrs, outs) => evalRowNorm(ins, attrs, outs, centre),
    lower: (ins, attrs, outs) => lowerRowNorm(name, ins, attrs, outs, centre),
    inPlace: (ins, _, outs) => (sameStorage(ins[0]!, outs[0]!) ? 0 : null),
    samples,
  });
}

const epsilon = 1e-5;
const half = (["f64", "f16", "bf16"] as const).map((dtype) => ({
  ins: [typed(dtype, 2, 3, 5), typed(dtype, 5)],
  attrs: { axis: 2, epsilon },
}));

export const layerNorm = rowNorm("layer_norm", true, 3, [
  { ins: [f32t(3, 7), f32t(7), f32t(7)], attrs: { axis: 1, epsilon } },
  { ins: [f32t(2, 3, 4, 2), f32t(4, 2)], attrs: { axis: 2, epsilon: 1e-3 } },
  { ins: [f32t(2, 6)], attrs: { axis: 0, epsilon } },
  ...half,
  {
    ins: [quantised("i8", [2, 6], 0.05, 3), f32t(6)],
    attrs: { axis: 1, epsilon, out: outQuant("i8", 0.02, 0) },
  },
]);

export const rmsNorm = rowNorm("rms_norm", false, 2, [
  { ins: [f32t(3, 7), f32t(7)], attrs: { axis: 1, epsilon } },
  { ins: [f32t(2, 3, 4)], attrs: { axis: 1, epsilon } },
  ...half,
]);
