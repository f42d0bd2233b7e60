/** @file Layer and root-mean-square normalisation of contiguous rows in vectors: mean, deviation, result in three passes. */
import type { Op } from "../../graph/op.ts";
import {
  add,
  binary,
  constant,
  fma,
  KernelBuilder,
  mul,
  splat,
  sub,
  unary,
} from "../../kernel/build.ts";
import type { Expr, Kernel, KType } from "../../kernel/ir.ts";
import { layerNorm, type RowNormAttrs, rmsNorm } from "../../ops/nn/row-norm.ts";
import { product } from "../../util/math.ts";
import { definePrimitive, type Operand, operandBytes, type Primitive } from "../primitive.ts";
import { sumLanes } from "../vector/lanes.ts";

/** Vectors summed apart, so that sums do not wait for each other. */
const UNROLL = 4;

interface Rows {
  readonly rows: number;
  readonly count: number;
  readonly epsilon: number;
  /** Inputs: the value, its scale, its shift. */
  readonly inputs: number;
  /** Subtract the mean. */
  readonly centre: boolean;
}

/** The sum over a row of what `term` makes of the element at an index. */
function rowSum(
  k: KernelBuilder,
  count: number,
  term: (i: Expr, type: KType, acc: Expr) => Expr,
): Expr {
  const block = 4 * UNROLL;
  const blocks = count - (count % block);
  const whole = count - (count % 4);
  const used = blocks > 0 ? UNROLL : 1;
  const sums = Array.from({ length: used }, () => k.reg("sum", constant("f32x4", 0)));
  const tail = k.reg("tail", constant("f32", 0));
  k.for(
    "i",
    0,
    blocks,
    (i) => {
      for (const [u, sum] of sums.entries()) k.set(sum, term(add(i, 4 * u), "f32x4", sum));
    },
    { step: block },
  );
  k.for("i", blocks, whole, (i) => k.set(sums[0]!, term(i, "f32x4", sums[0]!)), { step: 4 });
  k.for("i", whole, count, (i) => k.set(tail, term(i, "f32", tail)));
  const vector = k.let(
    "v",
    sums.reduce((a, b) => add(a, b)),
  );
  return k.let("total", add(sumLanes(k, vector), tail));
}

function kernelOf(name: string, { rows, count, epsilon, inputs, centre }: Rows): Kernel {
  const k = new KernelBuilder(name);
  const x = k.buffer("x", "f32", rows * count, "in");
  const gamma = inputs > 1 ? k.buffer("gamma", "f32", count, "in") : null;
  const beta = inputs > 2 ? k.buffer("beta", "f32", count, "in") : null;
  const y = k.buffer("y", "f32", rows * count, "out");
  k.forParallel(
    "row",
    0,
    rows,
    (row) => {
      const base = k.let("base", mul(row, count));
      const n = constant("f32", count);
      const load = (i: Expr, type: KType): Expr => k.load(x, add(base, i), type);
      const mean = centre
        ? k.let(
            "mean",
            binary(
              "div",
              rowSum(k, count, (i, type, acc) => add(acc, load(i, type))),
              n,
            ),
          )
        : null;
      const wide = mean && k.let("means", splat("f32x4", mean));
      const centred = (i: Expr, type: KType): Expr => {
        if (mean === null || wide === null) return load(i, type);
        return sub(load(i, type), type === "f32" ? mean : wide);
      };
      const squares = rowSum(k, count, (i, type, acc) => {
        const d = k.let("d", centred(i, type));
        return fma(d, d, acc);
      });
      const deviation = unary("sqrt", add(binary("div", squares, n), constant("f32", epsilon)));
      const inverse = k.let("inverse", binary("div", constant("f32", 1), deviation));
      const factor = k.let("factor", splat("f32x4", inverse));
      const finish = (type: KType) => (i: Expr) => {
        const normal = mul(centred(i, type), type === "f32" ? inverse : factor);
        const scaled = gamma === null ? normal : mul(normal, k.load(gamma, i, type));
        const shifted = beta === null ? scaled : add(scaled, k.load(beta, i, type));
        k.store(y, add(base, i), shifted);
      };
      const whole = count - (count % 4);
      k.for("i", 0, whole, finish("f32x4"), { step: 4 });
      k.for("i", whole, count, finish("f32"));
    },
    { tag: "outline" },
  );
  return k.build();
}

const rowNorm = (op: Op<RowNormAttrs>, centre: boolean): Primitive<RowNormAttrs> =>
  definePrimitive({
    name: `f32_${op.name}_rows`,
    op,
    candidates: (input) => {
      const { ins, outs, attrs } = input;
      const { shape } = ins[0]!;
      const [rows, count] = [product(shape.slice(0, attrs.axis)), product(shape.slice(attrs.axis))];
      const f32 = [...ins, ...outs].every((t) => t.dtype === "f32");
      if (!f32 || rows === 0 || count === 0) return [];
      const spec = { rows, count, epsilon: attrs.epsilon, inputs: ins.length, centre };
      const implement = () => {
        const operands: Operand[] = ins.map((_, index) => ({ kind: "in", index }));
        operands.push({ kind: "out", index: 0 });
        return { inPlace: true, steps: [{ kernel: kernelOf(op.name, spec), operands, args: [] }] };
      };
      const work = { macs: 0, bytes: operandBytes(input) };
      return [{ name: `f32_${op.name}_rows`, family: "rows", work, implement }];
    },
  });

export const layerNormRows = rowNorm(layerNorm, true);
export const rmsNormRows = rowNorm(rmsNorm, false);
