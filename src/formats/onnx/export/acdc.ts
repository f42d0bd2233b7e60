/**
 * @file ACDC layers as a function of the model: the file has the diagonals, and a runtime computes the cosine matrix, at
 * load where it folds constants.
 */
import type { AcdcAttrs } from "../../../ops/nn/acdc.ts";
import { scalarOf } from "../../../tensor/tensor.ts";
import { ACDC_BIAS_FUNCTION, ACDC_FUNCTION } from "../functions.ts";
import type { FunctionProto } from "../proto.ts";
import type { Draft } from "../wire.ts";
import type { ExportEntry } from "./context.ts";
import { Body } from "./function-body.ts";
import { ints } from "./writer.ts";

/** The transform's matrix for as many channels as `like` has elements: rows are frequencies. */
function cosines(b: Body, like: string): string {
  const real = (x: string): string => b.emit("CastLike", [x, like]);
  const n = b.emit("Size", [like]);
  const i = b.emit("Range", [0, n, 1]);
  const k = b.emit("Reshape", [i, b.emit("Constant", [], { value_ints: ints([-1, 1]) })]);
  const odd = b.emit("Add", [b.emit("Mul", [i, 2]), 1]);
  // Within one turn, so that the angle is exact.
  const step = b.emit("Mod", [b.emit("Mul", [k, odd]), b.emit("Mul", [n, 4])]);
  const half = real(b.constant(scalarOf("f64", Math.PI / 2)));
  const angle = b.emit("Div", [b.emit("Mul", [real(step), half]), real(n)]);
  const energy = real(b.emit("Min", [b.emit("Add", [k, 1]), 2]));
  const scale = b.emit("Sqrt", [b.emit("Div", [energy, real(n)])]);
  return b.emit("Mul", [b.emit("Cos", [angle]), scale]);
}

function acdcFunction(bias: boolean): Draft<FunctionProto> {
  const b = new Body();
  const matrix = cosines(b, "a");
  const turned = b.emit("Transpose", [matrix]);
  const wave = b.emit("MatMul", [b.emit("Mul", ["x", "a"]), turned]);
  const scaled = b.emit("Mul", [wave, "d"]);
  b.emit("MatMul", [bias ? b.emit("Add", [scaled, "bias"]) : scaled, matrix]);
  const inputs = ["x", "a", "d"];
  return bias ? b.build(ACDC_BIAS_FUNCTION, [...inputs, "bias"]) : b.build(ACDC_FUNCTION, inputs);
}

export const acdcFunctions = (): readonly Draft<FunctionProto>[] => [
  acdcFunction(false),
  acdcFunction(true),
];

export const acdcExports = {
  acdc: {
    run: (x) => {
      const ins = x.node.ins.map((_, i) => x.raw(i));
      return x.w.call(ins.length === 3 ? ACDC_FUNCTION : ACDC_BIAS_FUNCTION, ins, {});
    },
  } satisfies ExportEntry<AcdcAttrs>,
};
