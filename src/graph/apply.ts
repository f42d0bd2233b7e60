/** @file Applies an operator record to types and tensors, handling the quantised classes of QuantSupport. */
import { dequantizeTensor, quantizeTensor } from "../tensor/quant.ts";
import {
  type QuantParams,
  sameQuant,
  type Tensor,
  type TensorType,
  tensorType,
  withType,
} from "../tensor/tensor.ts";
import { InternalError, UserError } from "../util/errors.ts";
import type { Attrs, Op, OutQuant } from "./op.ts";

const outQuant = (attrs: Attrs): OutQuant | undefined =>
  (attrs as { readonly out?: OutQuant }).out ?? undefined;

const paramsOf = ({ scale, zeroPoint, axis }: OutQuant): QuantParams => ({
  scale,
  zeroPoint,
  axis,
});

const plain = (t: TensorType): TensorType => tensorType(t.dtype, t.shape);
const real = (t: TensorType): TensorType => (t.quant ? tensorType("f32", t.shape) : t);

/** The result types of an op, quantised or not. Throws UserError when the inputs do not fit. */
export function inferTypes<A extends Attrs>(
  op: Op<A>,
  ins: readonly TensorType[],
  attrs: A,
): readonly TensorType[] {
  if (op.quant === "integer") return op.infer(ins, attrs);
  const quantised = ins.find((t) => t.quant !== undefined);
  if (op.quant === "float") {
    const out = outQuant(attrs);
    const types = op.infer(ins.map(real), attrs);
    if (out === undefined) return types;
    const other = types.find((t) => t.dtype !== "f32");
    if (other !== undefined) {
      throw new UserError("E_DTYPE", `expected an f32 result to quantise; got ${other.dtype}`);
    }
    return types.map((t) => tensorType(out.dtype, t.shape, paramsOf(out)));
  }
  if (quantised === undefined) return op.infer(ins, attrs);
  if (op.quant === "none") {
    throw new UserError("E_DTYPE", `${op.name} takes no quantised inputs`);
  }
  const quant = ins[0]!.quant;
  if (ins.some((t) => t.quant !== undefined && !sameQuant(t.quant, quant)) || quant === undefined) {
    throw new UserError("E_DTYPE", "quantised inputs must share scale and zero point");
  }
  if (quant.axis !== null) {
    throw new UserError(
      "E_DTYPE",
      "a per-channel quantised value cannot be moved by this operator",
    );
  }
  return op.infer(ins.map(plain), attrs).map((t) => tensorType(t.dtype, t.shape, quant));
}

/** Runs an op's eval on tensors, quantised or not. */
export function evalTensors<A extends Attrs>(
  op: Op<A>,
  ins: readonly Tensor[],
  attrs: A,
  outs: readonly TensorType[],
): readonly Tensor[] {
  if (op.eval === undefined) throw new InternalError(`operator ${op.name} has no eval`);
  if (op.quant === "float" && (outQuant(attrs) !== undefined || ins.some((t) => t.type.quant))) {
    const reals = op.eval(ins.map(dequantizeTensor), attrs, outs.map(real));
    return reals.map((t, i) => {
      const { dtype, quant } = outs[i]!;
      return quant === undefined ? t : quantizeTensor(t, dtype, quant);
    });
  }
  if (op.quant === "same" && ins.some((t) => t.type.quant)) {
    const plains = ins.map((t) => withType(t, plain(t.type)));
    return op.eval(plains, attrs, outs.map(plain)).map((t, i) => withType(t, outs[i]!));
  }
  return op.eval(ins, attrs, outs);
}
