/** @file A function of 8-bit values as a table of 256 results; i8 inputs index it at x + 128. */
import { defineOp, type OutQuant, type Sample } from "../../graph/op.ts";
import { add, KernelBuilder } from "../../kernel/build.ts";
import { elementCount, type TensorType, tensorType, zeros } from "../../tensor/tensor.ts";
import { declare } from "../lowering.ts";
import { axesText, axisLabels, expectDType, expectInputs, mover, refuse } from "../shape/check.ts";
import { perTensor, quantisedType } from "./out-type.ts";

export interface LutAttrs {
  /** How the table's entries stand for reals; its dtype is the table's. */
  readonly out?: OutQuant;
}

const offsetOf = (x: TensorType): number => (x.dtype === "i8" ? 128 : 0);

function samples(): Sample<LutAttrs>[] {
  const table = tensorType("i8", [256]);
  const out: OutQuant = { dtype: "i8", ...perTensor(0.1, 2) };
  const x = tensorType("i8", [3, 7], perTensor(0.05, 0));
  const all: Sample<LutAttrs>[] = [
    { ins: [x, table], attrs: { out } },
    { ins: [tensorType("u8", [33]), tensorType("u8", [256])], attrs: {} },
    { ins: [x, tensorType("f32", [256])], attrs: {} },
    { ins: [tensorType("i8", []), table], attrs: {} },
    { ins: [tensorType("u8", [128]), tensorType("i16", [256])], attrs: {} },
  ];
  return all.map((s) => ({ ...s, tolerance: 0 }));
}

export const lut = defineOp<LutAttrs>({
  name: "lut",
  quant: "integer",
  infer(ins, { out }) {
    expectInputs(ins, 2);
    const [x, table] = ins as readonly [TensorType, TensorType];
    expectDType(x, ["i8", "u8"], "the index");
    if (table.shape.length !== 1 || table.shape[0] !== 256) {
      refuse("E_SHAPE", `the table must have shape [256], got [${table.shape.join(", ")}]`);
    }
    if (out === undefined) return [tensorType(table.dtype, x.shape)];
    if (out.dtype !== table.dtype) {
      refuse("E_DTYPE", `the table is ${table.dtype}, the attribute out says ${out.dtype}`);
    }
    return [quantisedType(out, x.shape)];
  },
  axes(ins) {
    const labels = axisLabels("x", ins[0]!.shape.length);
    return axesText([labels, ["table"]], [labels]);
  },
  eval(ins, _, outs) {
    const y = zeros(outs[0]!);
    const move = mover(y, ins[1]!);
    const offset = offsetOf(ins[0]!.type);
    for (let i = 0; i < y.data.length; i++) move(i, Number(ins[0]!.data[i]) + offset);
    return [y];
  },
  lower(ins, _, outs) {
    const b = new KernelBuilder("lut");
    const buffers = declare(b, ins, outs);
    const offset = offsetOf(ins[0]!);
    const one = (i: Parameters<typeof add>[0]): void => {
      const index = add(b.load(buffers.ins[0]!, i), offset);
      b.store(buffers.outs[0]!, i, b.load(buffers.ins[1]!, index));
    };
    const n = elementCount(ins[0]!.shape);
    const main = n - (n % 4);
    const four = [0, 1, 2, 3];
    b.forParallel("i", 0, main, (i) => four.forEach((k) => one(add(i, k))), { step: 4 });
    b.forParallel("i", main, n, one);
    return b.build();
  },
  permute: (attrs) => ((attrs.out?.axis ?? null) === null ? attrs : null),
  inPlace: (ins, _, outs) => (ins[0]!.dtype === outs[0]!.dtype ? 0 : null),
  samples: samples(),
});
