/** @file Maximum pooling in NHWC on f32 and bytes, 16 channels at a time. */
import {
  add,
  binary,
  constant,
  KernelBuilder,
  lt,
  max,
  ne,
  or,
  select,
} from "../../kernel/build.ts";
import type { Expr, KType } from "../../kernel/ir.ts";
import { maxPool } from "../../ops/nn/max-pool.ts";
import { poolPlan } from "../../ops/nn/pool.ts";
import { elementCount } from "../../tensor/tensor.ts";
import { storeFour } from "../gemm/byte-results.ts";
import type { Byte } from "../gemm/i8-pack.ts";
import { forEachBlock } from "../pool/nest.ts";
import { definePrimitive, operandBytes } from "../primitive.ts";

const NONE = constant("i32x4", 0);
const NAN = constant("f32x4", Number.NaN);

/** Registers of a block and what a maximum over nothing starts from. */
interface Form {
  readonly type: KType;
  readonly lanes: number;
  readonly lowest: number;
  readonly larger: (a: Expr, b: Expr) => Expr;
}

function formOf(dtype: string, width: number): Form | null {
  if (dtype === "f32") {
    const type = width === 1 ? "f32" : "f32x4";
    const lanes = Math.min(4, width);
    return { type, lanes, lowest: Number.NEGATIVE_INFINITY, larger: max };
  }
  if (dtype !== "i8" && dtype !== "u8") return null;
  if (width < 16) {
    const type = width === 1 ? "i32" : "i32x4";
    return { type, lanes: width, lowest: dtype === "u8" ? 0 : -128, larger: max };
  }
  return dtype === "i8"
    ? { type: "i8x16", lanes: 16, lowest: -128, larger: max }
    : { type: "i8x16", lanes: 16, lowest: 0, larger: (a, b) => binary("max_u", a, b) };
}

export const maxPoolNhwc = definePrimitive({
  name: "max_pool_nhwc",
  op: maxPool,
  candidates: (input) => {
    const { ins, outs, attrs } = input;
    const { dtype, shape } = ins[0]!;
    if (attrs.layout !== "nhwc" || formOf(dtype, 16) === null) return [];
    const work = { macs: 0, bytes: operandBytes(input) };
    return [
      {
        name: `${dtype}_max_pool_nhwc`,
        family: "pool",
        work,
        implement: () => {
          const k = new KernelBuilder("max_pool");
          const x = k.buffer("x", dtype, elementCount(shape), "in");
          const y = k.buffer("y", dtype, elementCount(outs[0]!.shape), "out");
          forEachBlock(k, poolPlan(ins[0]!, outs[0]!, attrs), ({ width, to, eachTap }) => {
            const { type, lanes, lowest, larger } = formOf(dtype, width)!;
            const best = Array.from({ length: width / lanes }, () =>
              k.reg("best", constant(type, lowest)),
            );
            // A maximum that minds NaN takes eight instructions; remembering NaN apart takes three.
            const unordered = type === "f32x4" ? best.map(() => k.reg("nan", NONE)) : [];
            eachTap((from) => {
              for (const [i, b] of best.entries()) {
                const v = k.let("v", k.load(x, add(from, i * lanes), type));
                const nan = unordered[i];
                k.set(b, nan === undefined ? larger(b, v) : select(lt(b, v), v, b));
                if (nan !== undefined) k.set(nan, or(nan, ne(v, v)));
              }
            });
            for (const [i, b] of best.entries()) {
              const nan = unordered[i];
              if (type === "i32x4") storeFour(k, y, to, b, dtype as Byte);
              else k.store(y, add(to, i * lanes), nan === undefined ? b : select(nan, NAN, b));
            }
          });
          const operands = [
            { kind: "in", index: 0 },
            { kind: "out", index: 0 },
          ] as const;
          const steps = [{ kernel: k.build(), operands, args: [] }];
          return { inPlace: false, steps };
        },
      },
    ];
  },
});
