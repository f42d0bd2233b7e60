/** @file What scatter does with an update: replace the element, or combine the two. */
import { add, binary, type KernelBuilder, max, min, mul } from "../../kernel/build.ts";
import type { Buffer, Expr } from "../../kernel/ir.ts";
import { DTYPES, type DType, isBig } from "../../tensor/dtype.ts";
import {
  numberReader,
  numberWriter,
  type Tensor,
  type TensorType,
  tensorType,
} from "../../tensor/tensor.ts";
import { movedQuant, mover, refuse } from "./check.ts";
import { movementKernel, rawDType } from "./strided.ts";

export type Reduction = "none" | "add" | "mul" | "min" | "max";

/** Result type; quantised elements may be moved and compared, not added or multiplied. */
export function scatterType(
  data: TensorType,
  updates: TensorType,
  reduction: Reduction,
): TensorType {
  if (updates.dtype !== data.dtype) {
    refuse("E_DTYPE", `updates are ${updates.dtype}, the data is ${data.dtype}`);
  }
  const quant = movedQuant([data, updates]);
  const arithmetic = reduction === "add" || reduction === "mul";
  if (arithmetic && (quant !== undefined || data.dtype === "bool")) {
    refuse("E_DTYPE", `reduction ${reduction} is not defined on quantised or bool elements`);
  }
  return tensorType(data.dtype, data.shape, quant);
}

const NUMBER: Record<Exclude<Reduction, "none">, (a: number, b: number) => number> = {
  add: (a, b) => a + b,
  mul: (a, b) => a * b,
  min: Math.min,
  max: Math.max,
};
const BIG: Record<Exclude<Reduction, "none">, (a: bigint, b: bigint) => bigint> = {
  add: (a, b) => a + b,
  mul: (a, b) => a * b,
  min: (a, b) => (a < b ? a : b),
  max: (a, b) => (a > b ? a : b),
};

/** Applies update element j to element i of the result. */
export function updater(
  out: Tensor,
  updates: Tensor,
  reduction: Reduction,
): (i: number, j: number) => void {
  if (reduction === "none") return mover(out, updates);
  const { dtype } = out.type;
  if (DTYPES[dtype].kind === "float") {
    const [read, next, write] = [numberReader(out), numberReader(updates), numberWriter(out)];
    return (i, j) => write(i, NUMBER[reduction](read(i), next(j)));
  }
  const combine = BIG[reduction];
  return (i, j) => {
    const y = combine(BigInt(out.data[i]!), BigInt(updates.data[j]!));
    out.data[i] = isBig(dtype) ? y : Number(BigInt.asIntN(32, y));
  };
}

/** Reads the element at an index and stores the update combined with it. */
export function emitUpdate(
  k: KernelBuilder,
  out: Buffer,
  at: Expr,
  update: Expr,
  reduction: Exclude<Reduction, "none">,
): void {
  const old = k.load(out, at);
  const wide = out.dtype === "u32" || out.dtype === "u64";
  const combined = {
    add: () => add(old, update),
    mul: () => mul(old, update),
    min: () => (wide ? binary("min_u", old, update) : min(old, update)),
    max: () => (wide ? binary("max_u", old, update) : max(old, update)),
  }[reduction]();
  k.store(out, at, combined);
}

/** Buffers of a scatter kernel with the result already holding the data. */
export function scatterKernel(
  name: string,
  types: readonly TensorType[],
  outTypes: readonly TensorType[],
  reduction: Reduction,
) {
  // Combining needs the real element type; moving must not convert.
  const m = movementKernel(
    name,
    types,
    outTypes,
    reduction === "none" ? rawDType : (d: DType) => d,
  );
  const [data, indices, updates] = m.ins as [Buffer, Buffer, Buffer];
  const out = m.outs[0]!;
  if (out.size > 0) m.k.copy(out, 0, data, 0, out.size);
  return { k: m.k, out, indices, updates };
}
