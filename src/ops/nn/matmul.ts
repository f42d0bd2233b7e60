/**
 * @file Batched matrix product with NumPy broadcasting of the batch axes; either operand may be
 * given transposed. Float, integer or quantised. Source: ONNX MatMul, QLinearMatMul; TensorFlow
 * Lite BATCH_MATMUL.
 */
import { defineOp, type Sample } from "../../graph/op.ts";
import { add, affine, fma, KernelBuilder, mul } from "../../kernel/build.ts";
import { type Expr, isFloatElem, type Kernel } from "../../kernel/ir.ts";
import { isBig } from "../../tensor/dtype.ts";
import {
  broadcast,
  broadcastStrides,
  forEachIndex,
  offsetOf,
  strides,
} from "../../tensor/shape.ts";
import { numberWriter, type Tensor, type TensorType, zeros } from "../../tensor/tensor.ts";
import { UserError } from "../../util/errors.ts";
import { product } from "../../util/math.ts";
import { flatIndex, loopOver } from "../lowering.ts";
import { checkCount } from "./access.ts";
import {
  type ContractionAttrs,
  centred,
  contractionPorts,
  contractionType,
  finisher,
} from "./contraction.ts";
import { f32t, outQuant, perChannel, quantised, typed } from "./samples.ts";

export interface MatmulAttrs extends Omit<ContractionAttrs, "act"> {
  /** a is [..., K, M] instead of [..., M, K]. */
  readonly transA?: boolean;
  /** b is [..., N, K] instead of [..., K, N]. */
  readonly transB?: boolean;
}

/** Sizes, batch shape, and element strides along batch, m, n and k. */
export interface MatmulPlan {
  readonly m: number;
  readonly n: number;
  readonly k: number;
  readonly batch: readonly number[];
  readonly aBatch: readonly number[];
  readonly bBatch: readonly number[];
  readonly am: number;
  readonly ak: number;
  readonly bk: number;
  readonly bn: number;
}

/** How the matrices of operands of these shapes lie; null when they do not fit. */
export function matmulPlan(
  a: readonly number[],
  b: readonly number[],
  attrs: MatmulAttrs,
): MatmulPlan | null {
  if (a.length < 2 || b.length < 2) return null;
  const [a0, a1] = a.slice(-2) as [number, number];
  const [b0, b1] = b.slice(-2) as [number, number];
  const [m, k] = attrs.transA ? [a1, a0] : [a0, a1];
  const [kb, n] = attrs.transB ? [b1, b0] : [b0, b1];
  const batch = broadcast(a.slice(0, -2), b.slice(0, -2));
  if (k !== kb || batch === null) return null;
  const walk = (shape: readonly number[]): number[] =>
    broadcastStrides(shape.slice(0, -2), batch).map((s) => s * shape.at(-1)! * shape.at(-2)!);
  const [am, ak] = attrs.transA ? [1, m] : [k, 1];
  const [bk, bn] = attrs.transB ? [1, k] : [n, 1];
  return { m, n, k, batch, aBatch: walk(a), bBatch: walk(b), am, ak, bk, bn };
}

const DTYPES = ["f32", "f64", "f16", "bf16", "i32", "u32", "i64", "u64"];

function inferMatmul(ins: readonly TensorType[], attrs: MatmulAttrs): readonly TensorType[] {
  checkCount(ins, 2, 2);
  const [a, b] = ins as [TensorType, TensorType];
  const plan = matmulPlan(a.shape, b.shape, attrs);
  if (plan === null) {
    throw new UserError("E_SHAPE", `matrices of shapes [${a.shape}] and [${b.shape}] do not fit`);
  }
  const channelAxis = b.shape.length - (attrs.transB ? 2 : 1);
  const shape = [...plan.batch, plan.m, plan.n];
  return [contractionType({ x: a, w: b }, attrs, shape, channelAxis, (t) => DTYPES.includes(t))];
}

/** Calls `visit` with the offsets of a and b and the output index for every output element. */
function forEachCell(
  p: MatmulPlan,
  visit: (a: number, b: number, column: number, at: number) => void,
): void {
  forEachIndex(p.batch, (index, batch) => {
    const a = offsetOf(index, p.aBatch);
    const b = offsetOf(index, p.bBatch);
    for (let i = 0; i < p.m; i++) {
      for (let j = 0; j < p.n; j++) {
        visit(a + i * p.am, b + j * p.bn, j, (batch * p.m + i) * p.n + j);
      }
    }
  });
}

function evalMatmul(
  ins: readonly Tensor[],
  attrs: MatmulAttrs,
  outs: readonly TensorType[],
): readonly Tensor[] {
  const [a, b] = ins as [Tensor, Tensor];
  const p = matmulPlan(a.type.shape, b.type.shape, attrs)!;
  const out = zeros(outs[0]!);
  const { dtype } = a.type;
  if (isBig(dtype)) {
    const [xs, ws, ys] = [a.data, b.data, out.data] as BigInt64Array[] as [
      BigInt64Array,
      BigInt64Array,
      BigInt64Array,
    ];
    forEachCell(p, (x, w, _, at) => {
      let sum = 0n;
      for (let i = 0; i < p.k; i++) sum += xs[x + i * p.ak]! * ws[w + i * p.bk]!;
      ys[at] = sum;
    });
    return [out];
  }
  if (a.type.quant === undefined && (dtype === "i32" || dtype === "u32")) {
    const [xs, ws] = [a.data, b.data] as Int32Array[] as [Int32Array, Int32Array];
    forEachCell(p, (x, w, _, at) => {
      let sum = 0;
      for (let i = 0; i < p.k; i++)
        sum = (sum + Math.imul(xs[x + i * p.ak]!, ws[w + i * p.bk]!)) | 0;
      out.data[at] = sum;
    });
    return [out];
  }
  const write = numberWriter(out);
  const finish = finisher({ x: a, w: b }, attrs, outs[0]!);
  const xs = centred(a);
  const ws = centred(b);
  forEachCell(p, (x, w, column, at) => {
    let sum = 0;
    for (let i = 0; i < p.k; i++) sum += xs[x + i * p.ak]! * ws[w + i * p.bk]!;
    write(at, finish(sum, column, at));
  });
  return [out];
}

function lowerMatmul(
  ins: readonly TensorType[],
  attrs: MatmulAttrs,
  outs: readonly TensorType[],
): Kernel {
  const p = matmulPlan(ins[0]!.shape, ins[1]!.shape, attrs)!;
  const b = new KernelBuilder("matmul");
  const ports = contractionPorts(b, ins, outs[0]!, attrs);
  const batchStrides = strides(p.batch).map((s) => s * p.m * p.n);
  const matrix = (index: readonly Expr[]): void => {
    const aBatch = b.let("a", flatIndex(index, p.aBatch));
    const bBatch = b.let("b", flatIndex(index, p.bBatch));
    const yBatch = b.let("y", flatIndex(index, batchStrides));
    b.forParallel("i", 0, p.m, (i) => {
      b.forParallel("j", 0, p.n, (j) => {
        const row = b.let("row", affine(aBatch, [i, p.am]));
        const column = b.let("column", affine(bBatch, [j, p.bn]));
        const sum = b.reg("sum", ports.start(j));
        b.for("k", 0, p.k, (k) => {
          const x: Expr = ports.x(affine(row, [k, p.ak]));
          const w = ports.w(affine(column, [k, p.bk]), j);
          b.set(sum, isFloatElem(ports.acc) ? fma(x, w, sum) : add(sum, mul(x, w)));
        });
        ports.store(sum, j, b.let("at", affine(yBatch, [i, p.n], j)));
      });
    });
  };
  loopOver(b, p.batch, matrix, { parallel: true });
  return b.build();
}

function matmulAxes(ins: readonly TensorType[], attrs: MatmulAttrs): string {
  const [a, b] = ins.map((t) => t.shape) as [readonly number[], readonly number[]];
  const rank = Math.max(a.length, b.length) - 2;
  const lead = "abcdefgh".slice(0, rank);
  const other = "stuvwxyz";
  const out = broadcast(a.slice(0, -2), b.slice(0, -2))!;
  // An axis of size 1 that is stretched is no axis of the output.
  const letters = (shape: readonly number[]): string =>
    shape
      .slice(0, -2)
      .map((n, i) => {
        const at = rank - (shape.length - 2) + i;
        return n === out[at] ? lead[at] : other[at];
      })
      .join("");
  const left = letters(a) + (attrs.transA ? "km" : "mk");
  const right = letters(b) + (attrs.transB ? "nk" : "kn");
  return `${left},${right}->${lead}mn`;
}

/** Batch axes may be reordered when both operands have all of them. */
function permuteMatmul(
  attrs: MatmulAttrs,
  perm: readonly number[],
  ins: readonly TensorType[],
): MatmulAttrs | null {
  const rank = perm.length;
  const keepsMatrix = perm[rank - 1] === rank - 1 && perm[rank - 2] === rank - 2;
  const full = ins.every((t) => t.shape.length === rank || t.shape.length === 2);
  return keepsMatrix && full ? attrs : null;
}

const out = outQuant("u8", 0.2, 100);
const samples: readonly Sample<MatmulAttrs>[] = [
  { ins: [f32t(3, 4), f32t(4, 5)], attrs: {} },
  { ins: [f32t(2, 1, 3, 4), f32t(3, 5, 4)], attrs: { transB: true } },
  { ins: [f32t(2, 4, 3), f32t(4, 5)], attrs: { transA: true } },
  { ins: [f32t(4, 3), f32t(2, 5, 4)], attrs: { transA: true, transB: true } },
  { ins: [typed("f64", 3, 4), typed("f64", 4, 2)], attrs: {} },
  { ins: [typed("f16", 3, 4), typed("f16", 4, 2)], attrs: {} },
  { ins: [typed("bf16", 3, 4), typed("bf16", 4, 2)], attrs: {} },
  { ins: [typed("i32", 3, 4), typed("i32", 4, 2)], attrs: {} },
  { ins: [typed("u32", 3, 4), typed("u32", 4, 2)], attrs: {} },
  { ins: [typed("i64", 2, 3, 4), typed("i64", 4, 2)], attrs: {} },
  { ins: [typed("u64", 3, 4), typed("u64", 4, 2)], attrs: {} },
  {
    ins: [quantised("u8", [2, 3, 4], 0.05, 120), perChannel("i8", [4, 5], 1, 0.02)],
    attrs: { out },
    tolerance: 0,
  },
  {
    ins: [quantised("i8", [2, 3, 4], 0.05, -12), quantised("i8", [2, 5, 4], 0.04, 6)],
    attrs: { out: outQuant("i8", 0.1, 3), transB: true, arith: "tflite" },
    tolerance: 0,
  },
];

export const matmul = defineOp<MatmulAttrs>({
  name: "matmul",
  parameters: [0, 1],
  quant: "integer",
  infer: inferMatmul,
  axes: matmulAxes,
  contracts: true,
  eval: evalMatmul,
  cost: (ins, attrs, outs) => ({
    macs: product(outs[0]!.shape) * matmulPlan(ins[0]!.shape, ins[1]!.shape, attrs)!.k,
  }),
  lower: lowerMatmul,
  permute: permuteMatmul,
  samples,
});
