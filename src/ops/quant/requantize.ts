/**
 * @file A quantised value under other parameters: through f32 ("float"), or by TensorFlow Lite's
 * fixed-point multiplier sx / sy ("tflite").
 */
import { type Arith, defineOp, type OutQuant, type Sample } from "../../graph/op.ts";
import { add, constant, sub } from "../../kernel/build.ts";
import { DTYPES } from "../../tensor/dtype.ts";
import { multiplyByQuantizedMultiplier, quantizeMultiplier } from "../../tensor/fixed-point.ts";
import { dequantizeTensor, quantizeTensor } from "../../tensor/quant.ts";
import {
  numberReader,
  type Tensor,
  type TensorType,
  tensorType,
  zeros,
} from "../../tensor/tensor.ts";
import { clamp } from "../../util/math.ts";
import { broadcastAxes, sharable } from "../elementwise/factory.ts";
import { elementwiseKernel } from "../elementwise/nest.ts";
import { expectInputs, refuse } from "../shape/check.ts";
import { mulByFixedPoint } from "./fixed-point-expr.ts";
import { expectQuant, perAxis, permuteQuant, perTensor, quantisedType } from "./out-type.ts";

export interface RequantizeAttrs {
  readonly out: OutQuant;
  readonly arith?: Arith;
}

const multiplierOf = (x: TensorType, y: TensorType) =>
  quantizeMultiplier(x.quant!.scale[0]! / y.quant!.scale[0]!);

function evalFixed(x: Tensor, out: TensorType): Tensor {
  const y = zeros(out);
  const read = numberReader(x);
  const m = multiplierOf(x.type, out);
  const zx = x.type.quant!.zeroPoint[0]!;
  const zy = out.quant!.zeroPoint[0]!;
  const { min, max } = DTYPES[out.dtype];
  for (let i = 0; i < y.data.length; i++) {
    y.data[i] = clamp(multiplyByQuantizedMultiplier(read(i) - zx, m) + zy, min, max);
  }
  return y;
}

function samples(): Sample<RequantizeAttrs>[] {
  const x = tensorType("i8", [2, 3, 7], perTensor(0.013, -5));
  const u = tensorType("u8", [33], perTensor(0.02, 100));
  const toI8: OutQuant = { dtype: "i8", ...perTensor(0.021, 4) };
  const toU8: OutQuant = { dtype: "u8", ...perTensor(0.011, 128) };
  const all: Sample<RequantizeAttrs>[] = [];
  for (const arith of ["float", "tflite"] as const) {
    for (const out of [toI8, toU8]) {
      all.push({ ins: [x], attrs: { out, arith } }, { ins: [u], attrs: { out, arith } });
    }
  }
  const channels = tensorType("i8", [2, 5, 3], perAxis(5, 1));
  all.push({ ins: [channels], attrs: { out: toI8 } });
  all.push({ ins: [x], attrs: { out: { dtype: "i8", ...perAxis(3, 1) } } });
  all.push({ ins: [tensorType("i32", [9], perTensor(0.01, 0))], attrs: { out: toI8 } });
  return all.map((s) => ({ ...s, tolerance: 0 }));
}

export const requantize = defineOp<RequantizeAttrs>({
  name: "requantize",
  quant: "integer",
  infer(ins, { out, arith }) {
    expectInputs(ins, 1);
    const { axis } = expectQuant(ins[0]!);
    if (arith === "tflite" && (axis !== null || out.axis !== null || ins[0]!.dtype === "i32")) {
      refuse("E_DTYPE", 'arith "tflite" needs per-tensor parameters and at most 16 bits');
    }
    return [quantisedType(out, ins[0]!.shape)];
  },
  axes: (ins) => broadcastAxes(ins, ins[0]!.shape),
  eval(ins, { arith }, outs) {
    const { dtype, quant } = outs[0]!;
    if (arith === "tflite") return [evalFixed(ins[0]!, outs[0]!)];
    return [quantizeTensor(dequantizeTensor(ins[0]!), dtype, quant!)];
  },
  lower(ins, { arith }, outs) {
    const out = outs[0]!;
    const name = "requantize";
    if (arith !== "tflite") {
      return elementwiseKernel({ name, ins, out, compute: ([x]) => x!, vector: true, short: true });
    }
    const m = multiplierOf(ins[0]!, out);
    const zx = ins[0]!.quant!.zeroPoint[0]!;
    const zy = out.quant!.zeroPoint[0]!;
    return elementwiseKernel({
      name,
      ins,
      out,
      compute: ([x], b) => {
        const centred = b.let("centred", sub(x!, constant(x!.type, zx)));
        return add(mulByFixedPoint(centred, m), constant(x!.type, zy));
      },
      vector: true,
      registers: "integer",
    });
  },
  permute: ({ out, arith }, perm) =>
    arith === undefined
      ? { out: permuteQuant(out, perm) }
      : { out: permuteQuant(out, perm), arith },
  inPlace: (ins, _, outs) => sharable(ins, outs[0]!),
  samples: samples(),
});
