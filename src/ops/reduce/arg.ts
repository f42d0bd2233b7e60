/** @file arg_max and arg_min: the index of the largest or smallest element along an axis. */
import { defineOp, type Op, type Sample } from "../../graph/op.ts";
import { add, affine, constant, KernelBuilder, mul, select } from "../../kernel/build.ts";
import { type Expr, elemOf, scalarTypeOf } from "../../kernel/ir.ts";
import { type DType, isBig } from "../../tensor/dtype.ts";
import { numberReader, type TensorType, tensorType, zeros } from "../../tensor/tensor.ts";
import { declare } from "../lowering.ts";
import { expectAxis, expectInputs, movedQuant, refuse } from "../shape/check.ts";
import { around } from "../shape/gather.ts";
import { asI64, type Comparable, precedes, precedesExpr } from "../shape/order.ts";
import { reducedShape, reduceLabels, vectorReads } from "./define.ts";
import { eachLane, spread, typeOf } from "./fold.ts";

export interface ArgAttrs {
  readonly axis: number;
  /** Keep the axis with extent 1. */
  readonly keepDims: boolean;
  /** Of equal elements take the last one, not the first. */
  readonly selectLast: boolean;
}

const asReduce = ({ axis, keepDims }: ArgAttrs) => ({ axes: [axis], keepDims });

/** One or four neighbouring lines along the axis at once, by selection without branches. */
function lowerArg(name: string, largest: boolean, x: TensorType, attrs: ArgAttrs, y: TensorType) {
  const k = new KernelBuilder(name);
  const { ins, outs } = declare(k, [tensorType(x.dtype, x.shape)], [y]);
  const { outer, size, inner } = around(x.shape, attrs.axis);
  const element = scalarTypeOf(x.dtype);
  const lines = (o: Expr, lanes: number) => (j: Expr) => {
    const type = typeOf(elemOf(element), lanes);
    const counter = typeOf("i32", lanes);
    const base = k.let("base", affine([o, size * inner], j));
    const best = k.reg("best", k.load(ins[0]!, base, type));
    const index = k.reg("index", constant(counter, 0));
    k.for("t", 1, size, (t) => {
      const v = k.let("v", k.load(ins[0]!, add(base, mul(t, inner)), type));
      const before = precedesExpr(v, best, x.dtype, largest, true, attrs.selectLast);
      const wins = k.let("wins", before);
      k.set(best, select(wins, v, best));
      k.set(index, select(wins, spread(t, counter), index));
    });
    eachLane(k, affine([o, inner], j), index, (at, i) => k.store(outs[0]!, at, asI64(i)));
  };
  const whole = vectorReads(tensorType(x.dtype, x.shape)) ? inner - (inner % 4) : 0;
  k.forParallel("o", 0, outer, (o) => {
    k.forParallel("j", 0, whole, lines(o, 4), { step: 4 });
    k.forParallel("j", whole, inner, lines(o, 1));
  });
  return k.build();
}

const t = (dtype: DType, ...shape: number[]): TensorType => tensorType(dtype, shape);
const samples: readonly Sample<ArgAttrs>[] = [
  { ins: [t("f32", 3, 7)], attrs: { axis: 1, keepDims: false, selectLast: false } },
  { ins: [t("f32", 2, 5, 3)], attrs: { axis: 1, keepDims: true, selectLast: true } },
  {
    ins: [t("f32", 6)],
    attrs: { axis: 0, keepDims: false, selectLast: false },
    values: { 0: [1, -3, Number.NaN, 1, Number.NaN, -3] },
  },
  { ins: [t("u32", 5, 9)], attrs: { axis: 0, keepDims: false, selectLast: false } },
  {
    ins: [t("f32", 3, 4)],
    attrs: { axis: 0, keepDims: false, selectLast: true },
    values: { 0: [1, Number.NaN, 2, 0, Number.NaN, 5, 2, -0, Number.NaN, 9, 1, 0] },
  },
  { ins: [t("i8", 4, 6)], attrs: { axis: 0, keepDims: false, selectLast: true } },
  { ins: [t("u64", 2, 6)], attrs: { axis: 1, keepDims: true, selectLast: false } },
  { ins: [t("bf16", 2, 6)], attrs: { axis: 1, keepDims: true, selectLast: false } },
  {
    ins: [tensorType("u8", [3, 4], { scale: [0.1], zeroPoint: [7], axis: null })],
    attrs: { axis: 1, keepDims: false, selectLast: false },
  },
];

function defineArg(name: string, largest: boolean): Op<ArgAttrs> {
  return defineOp<ArgAttrs>({
    name,
    quant: "integer",
    infer(ins, attrs) {
      expectInputs(ins, 1);
      const x = ins[0]!;
      expectAxis(attrs.axis, x.shape.length);
      movedQuant(ins);
      if (x.shape[attrs.axis] === 0) {
        refuse("E_SHAPE", `axis ${attrs.axis} of [${x.shape}] has no elements`);
      }
      return [tensorType("i64", reducedShape(x.shape, asReduce(attrs)))];
    },
    axes: ([x], attrs) => reduceLabels(x!.shape.length, asReduce(attrs)),
    eval([x], { axis, selectLast }, [type]) {
      const out = zeros(type!);
      const number = numberReader(x!);
      const big = isBig(x!.type.dtype);
      const read = (i: number): Comparable => (big ? (x!.data[i] as bigint) : number(i));
      const { outer, size, inner } = around(x!.type.shape, axis);
      for (let line = 0; line < outer * inner; line++) {
        const base = Math.floor(line / inner) * size * inner + (line % inner);
        let best = 0;
        for (let j = 1; j < size; j++) {
          const [a, b] = [read(base + j * inner), read(base + best * inner)];
          if (precedes(a, b, largest, true, selectLast)) best = j;
        }
        out.data[line] = BigInt(best);
      }
      return [out];
    },
    lower: ([x], attrs, [y]) => lowerArg(name, largest, x!, attrs, y!),
    permute: (attrs, perm) =>
      attrs.keepDims ? { ...attrs, axis: perm.indexOf(attrs.axis) } : null,
    samples,
  });
}

export const argMax = defineArg("arg_max", true);
export const argMin = defineArg("arg_min", false);
