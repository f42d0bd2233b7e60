/** @file arg_max and arg_min: the index of the largest or smallest element along an axis. */
import { defineOp, type Op, type Sample } from "../../graph/op.ts";
import { add, affine, KernelBuilder, mul } from "../../kernel/build.ts";
import { type DType, isBig } from "../../tensor/dtype.ts";
import { numberReader, type TensorType, tensorType, zeros } from "../../tensor/tensor.ts";
import { declare } from "../lowering.ts";
import { expectAxis, expectInputs, movedQuant, refuse } from "../shape/check.ts";
import { around } from "../shape/gather.ts";
import { asI64, type Comparable, precedes, precedesExpr } from "../shape/order.ts";
import { reducedShape, reduceLabels } from "./define.ts";

export interface ArgAttrs {
  readonly axis: number;
  /** Keep the axis with extent 1. */
  readonly keepDims: boolean;
  /** Of equal elements take the last one, not the first. */
  readonly selectLast: boolean;
}

const asReduce = ({ axis, keepDims }: ArgAttrs) => ({ axes: [axis], keepDims });

function lowerArg(name: string, largest: boolean, x: TensorType, attrs: ArgAttrs, y: TensorType) {
  const k = new KernelBuilder(name);
  const { ins, outs } = declare(k, [tensorType(x.dtype, x.shape)], [y]);
  const { outer, size, inner } = around(x.shape, attrs.axis);
  const load = (at: ReturnType<typeof add>) => k.load(ins[0]!, at);
  k.for("o", 0, outer, (o) =>
    k.for("j", 0, inner, (j) => {
      const base = k.let("base", affine([o, size * inner], j));
      const best = k.reg("best", load(base));
      const index = k.reg("index", 0);
      k.for("t", 1, size, (t) => {
        const v = k.let("v", load(add(base, mul(t, inner))));
        k.if(precedesExpr(v, best, x.dtype, largest, true, attrs.selectLast), () => {
          k.set(best, v);
          k.set(index, t);
        });
      });
      k.store(outs[0]!, affine([o, inner], j), asI64(index));
    }),
  );
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
