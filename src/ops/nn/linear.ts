/**
 * @file Fully connected layer: y[..., n] = act(sum over k of x[..., k] * w[n, k] + bias[n]), float
 * or quantised. Source: ONNX Gemm with transB, TensorFlow Lite FULLY_CONNECTED.
 */
import { defineOp, type Sample } from "../../graph/op.ts";
import { add, affine, fma, KernelBuilder, mul } from "../../kernel/build.ts";
import { isFloatElem, type Kernel } from "../../kernel/ir.ts";
import { numberWriter, type Tensor, type TensorType, zeros } from "../../tensor/tensor.ts";
import { UserError } from "../../util/errors.ts";
import { product } from "../../util/math.ts";
import { checkCount, checkShape } from "./access.ts";
import {
  type ContractionAttrs,
  centred,
  contractionPorts,
  contractionType,
  finisher,
} from "./contraction.ts";
import { f32t, outQuant, perChannel, quantised, typed } from "./samples.ts";

export interface LinearAttrs extends ContractionAttrs {}

function inferLinear(ins: readonly TensorType[], attrs: LinearAttrs): readonly TensorType[] {
  checkCount(ins, 2, 3);
  const [x, w, bias] = ins as [TensorType, TensorType, TensorType?];
  if (x.shape.length < 1 || w.shape.length !== 2 || x.shape.at(-1) !== w.shape[1]) {
    throw new UserError(
      "E_SHAPE",
      `expected inputs [..., K] and weights [N, K], got [${x.shape}] and [${w.shape}]`,
    );
  }
  const n = w.shape[0]!;
  if (bias !== undefined) checkShape("bias", bias, [n]);
  return [contractionType({ x, w, bias }, attrs, [...x.shape.slice(0, -1), n], 0)];
}

function evalLinear(
  ins: readonly Tensor[],
  attrs: LinearAttrs,
  outs: readonly TensorType[],
): readonly Tensor[] {
  const [x, w, bias] = ins as [Tensor, Tensor, Tensor?];
  const out = zeros(outs[0]!);
  const write = numberWriter(out);
  const finish = finisher({ x, w, bias }, attrs, outs[0]!);
  const [n, k] = w.type.shape as [number, number];
  const rows = product(x.type.shape.slice(0, -1));
  const xs = centred(x);
  const ws = centred(w);
  for (let r = 0; r < rows; r++) {
    for (let c = 0; c < n; c++) {
      let sum = 0;
      for (let i = 0; i < k; i++) sum += xs[r * k + i]! * ws[c * k + i]!;
      write(r * n + c, finish(sum, c, r * n + c));
    }
  }
  return [out];
}

function lowerLinear(
  ins: readonly TensorType[],
  attrs: LinearAttrs,
  outs: readonly TensorType[],
): Kernel {
  const b = new KernelBuilder("linear");
  const ports = contractionPorts(b, ins, outs[0]!, attrs);
  const [n, k] = ins[1]!.shape as [number, number];
  const isFloat = isFloatElem(ports.acc);
  b.forParallel("row", 0, product(ins[0]!.shape.slice(0, -1)), (row) => {
    b.forParallel("c", 0, n, (c) => {
      const xRow = b.let("xRow", mul(row, k));
      const wRow = b.let("wRow", mul(c, k));
      const sum = b.reg("sum", ports.start(c));
      b.for("i", 0, k, (i) => {
        const x = ports.x(add(xRow, i));
        const w = ports.w(add(wRow, i), c);
        b.set(sum, isFloat ? fma(x, w, sum) : add(sum, mul(x, w)));
      });
      ports.store(sum, c, b.let("at", affine([row, n], c)));
    });
  });
  return b.build();
}

const out = outQuant("i8", 0.2, -7);
const samples: readonly Sample<LinearAttrs>[] = [
  { ins: [f32t(3, 7), f32t(5, 7), f32t(5)], attrs: {} },
  { ins: [f32t(7), f32t(5, 7)], attrs: { act: { fn: "relu" } } },
  { ins: [f32t(2, 2, 3), f32t(4, 3), f32t(4)], attrs: { act: { fn: "sigmoid" } } },
  { ins: [typed("f64", 2, 3), typed("f64", 4, 3), typed("f64", 4)], attrs: {} },
  { ins: [typed("f16", 2, 3), typed("f16", 4, 3)], attrs: {} },
  { ins: [typed("bf16", 2, 3), typed("bf16", 4, 3), typed("bf16", 4)], attrs: {} },
  {
    ins: [quantised("i8", [2, 9], 0.05, 4), quantised("i8", [5, 9], 0.01, 0), typed("i32", 5)],
    attrs: { out, arith: "tflite", act: { fn: "relu" } },
    tolerance: 0,
  },
  {
    ins: [quantised("u8", [2, 9], 0.05, 130), perChannel("i8", [13, 9], 0, 0.001)],
    attrs: { out },
    tolerance: 0,
  },
  {
    ins: [quantised("i8", [3, 9], 0.05, 4), perChannel("i8", [13, 9], 0, 0.001), typed("i32", 13)],
    attrs: { out, arith: "tflite" },
    tolerance: 0,
  },
];

export const linear = defineOp<LinearAttrs>({
  name: "linear",
  parameters: [1, 2],
  quant: "integer",
  infer: inferLinear,
  axes: (ins) => {
    const lead = "abcdefgh".slice(0, ins[0]!.shape.length - 1);
    return `${[`${lead}k`, "nk", "n"].slice(0, ins.length).join(",")}->${lead}n`;
  },
  contracts: true,
  eval: evalLinear,
  cost: (ins) => ({ macs: product(ins[0]!.shape) * ins[1]!.shape[0]! }),
  lower: lowerLinear,
  fuses: { act: true },
  samples,
});
