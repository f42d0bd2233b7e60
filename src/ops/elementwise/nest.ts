/**
 * @file The loop nest of element-wise operators: broadcasting over collapsed axes, vectors of four
 * with a scalar tail where every operand is f32 or 8-bit quantised and walks the innermost axis by
 * 0 or 1; sixteen elements a step for short functions of bytes.
 */
import { add, extract, KernelBuilder, mul, splat } from "../../kernel/build.ts";
import type { Expr, Kernel, KType } from "../../kernel/ir.ts";
import { operandsOf } from "../../kernel/walk.ts";
import { broadcastStrides } from "../../tensor/shape.ts";
import type { TensorType } from "../../tensor/tensor.ts";
import { collapse, declare, flatIndex, loopOver } from "../lowering.ts";
import { type Bounds, inPort, isByte, outPort, type Registers } from "./ports.ts";

/**
 * Computes the result register of one element, or of four (f32x4), from the operands' registers.
 */
export type ElementFn = (args: readonly Expr[], b: KernelBuilder) => Expr;

export interface ElementwiseSpec {
  readonly name: string;
  readonly ins: readonly TensorType[];
  readonly out: TensorType;
  /** Operands arrive as f32 where quantised, else in the register type of their dtype. */
  readonly compute: ElementFn;
  /** Whether `compute` also takes and gives vectors of four lanes. */
  readonly vector: boolean;
  /** What `compute` gets and gives for quantised types; default "real". The others: 8 bits only. */
  readonly registers?: Registers;
  /** Clamps the stored integers of an 8-bit result. */
  readonly bounds?: Bounds;
  /** `compute` is a few instructions: worth repeating for sixteen elements where there are bytes. */
  readonly short?: boolean;
}

const hasVector = (t: TensorType, registers: Registers): boolean =>
  registers === "integer"
    ? isByte(t)
    : t.quant === undefined
      ? t.dtype === "f32"
      : isByte(t) && t.quant.axis === null;

const hasCall = (e: Expr): boolean => e.kind === "call" || operandsOf(e).some(hasCall);

/**
 * The scalar result by way of the vector form, so that a maths function is needed in one form
 * only.
 */
const throughLanes =
  (compute: ElementFn): ElementFn =>
  (args, b) => {
    const spread = args.map((x) => b.let("xs", splat(`${x.type}x4` as KType, x)));
    return extract(compute(spread, b), 0);
  };

/** The kernel of an element-wise operator. */
export function elementwiseKernel(spec: ElementwiseSpec): Kernel {
  const { ins, out, registers = "real" } = spec;
  const b = new KernelBuilder(spec.name);
  const buffers = declare(b, ins, [out]);
  const operands = ins.map((t, k) => inPort(b, buffers.ins[k]!, t, registers));
  const result = outPort(b, buffers.outs[0]!, out, registers, spec.bounds);
  const all = [...ins, out].map((t) => broadcastStrides(t.shape, out.shape));
  const { shape, strides } = collapse(out.shape, all);
  const last = shape.length - 1;
  const count = shape[last] ?? 1;
  const step = strides.map((s) => s[last] ?? 0);
  const types = [...ins, out];
  const vector =
    spec.vector && step.every((s) => s <= 1) && types.every((t) => hasVector(t, registers));
  const wide = vector && spec.short === true && types.some(isByte);

  const rows = (index: readonly Expr[]): void => {
    const base = strides.map((s) => b.let("row", flatIndex(index, s.slice(0, -1))));
    const fixed = operands.map((o, k) => (step[k] === 0 ? b.let("x", o.scalar(base[k]!)) : null));
    const at = (k: number, i: Expr): Expr => add(base[k]!, mul(i, step[k]!));
    let tail = spec.compute;
    let done = 0;
    const blocks = (width: number): void => {
      const end = count - ((count - done) % width);
      if (end === done) return;
      const spread = fixed.map((x) => x && b.let("xs", splat(`${x.type}x4` as KType, x)));
      b.forParallel(
        "i",
        done,
        end,
        (i) => {
          const args = operands.map((o, k) =>
            spread[k] ? null : o.block(at(k, i), width).map((x) => b.let("x", x)),
          );
          const values = Array.from({ length: width / 4 }, (_, part) => {
            const value = spec.compute(
              args.map((xs, k) => xs?.[part] ?? spread[k]!),
              b,
            );
            if (hasCall(value)) tail = throughLanes(spec.compute);
            return b.let("y", value);
          });
          result.block(at(ins.length, i), values);
        },
        { step: width },
      );
      done = end;
    };
    if (wide) blocks(16);
    if (vector) blocks(4);
    b.forParallel("i", done, count, (i) => {
      const args = operands.map((o, k) => fixed[k] ?? b.let("x", o.scalar(at(k, i))));
      result.scalar(at(ins.length, i), tail(args, b));
    });
  };
  loopOver(b, shape.slice(0, -1), rows, { parallel: true });
  return b.build();
}
