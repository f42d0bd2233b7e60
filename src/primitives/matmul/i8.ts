/**
 * @file 8-bit matrix products of two activations, batched. Both operands are widened and centred once: a by rows,
 * b in panels of eight columns with pairs along k interleaved for dot16.
 */
import {
  add,
  affine,
  constant,
  dot16,
  i32,
  KernelBuilder,
  min,
  mul,
  shuffle,
  sub,
} from "../../kernel/build.ts";
import type { Buffer, Expr, Kernel } from "../../kernel/ir.ts";
import { type MatmulPlan, matmul, matmulPlan } from "../../ops/nn/matmul.ts";
import { LOOSE_STEPS, requantRule, tableConstant } from "../../ops/quant/requantize-rule.ts";
import { DTYPES, isByte } from "../../tensor/dtype.ts";
import type { TensorType } from "../../tensor/tensor.ts";
import { alignUp, ceilDiv, product } from "../../util/math.ts";
import { type ByteResult, storeSums } from "../gemm/byte-results.ts";
import type { Byte } from "../gemm/i8-pack.ts";
import { definePrimitive, operandBytes } from "../primitive.ts";
import { batchOffset } from "./f32.ts";

/** Columns of a panel, and rows that share a load of it. */
const PANEL = 8;
const HEIGHT = 4;

interface Operands {
  readonly a: TensorType;
  readonly b: TensorType;
  readonly y: TensorType;
}

const perTensor = (t: TensorType): boolean => isByte(t.dtype) && t.quant?.axis === null;

/** Farthest a value may be from its zero point. */
function reach({ dtype, quant }: TensorType): number {
  const { min: lo, max: hi } = DTYPES[dtype];
  const zero = quant!.zeroPoint[0]!;
  return Math.max(hi - zero, zero - lo);
}

class MatmulKernel {
  private readonly k = new KernelBuilder("i8_matmul_4x8");
  private readonly p: MatmulPlan;
  private readonly types: Operands;
  private readonly result: ByteResult;
  private readonly a: Buffer;
  private readonly b: Buffer;
  private readonly y: Buffer;
  private readonly rows: Buffer;
  private readonly panel: Buffer;
  /** k rounded up to pairs. */
  private readonly depth: number;

  constructor(p: MatmulPlan, types: Operands, result: ByteResult) {
    const { k } = this;
    [this.p, this.types, this.result] = [p, types, result];
    this.depth = alignUp(p.k, 2);
    this.a = k.buffer("a", types.a.dtype as Byte, product(types.a.shape), "in");
    this.b = k.buffer("b", types.b.dtype as Byte, product(types.b.shape), "in");
    this.y = k.buffer("y", types.y.dtype as Byte, product(types.y.shape), "out");
    this.rows = k.buffer("rows", "i16", p.m * this.depth, "work");
    this.panel = k.buffer("panel", "i16", this.depth * PANEL, "work");
  }

  build(): Kernel {
    const { k, p } = this;
    const batches = product(p.batch);
    k.for(
      "batch",
      0,
      batches,
      (batch) => {
        const a0 = k.let("a0", batchOffset(batch, p.batch, p.aBatch));
        const b0 = k.let("b0", batchOffset(batch, p.batch, p.bBatch));
        this.packRows(a0);
        k.for("panel", 0, ceilDiv(p.n, PANEL), (i) => {
          const start = mul(i, PANEL);
          const column = k.let("column", p.n % PANEL === 0 ? start : min(start, i32(p.n - PANEL)));
          this.packPanel(add(b0, mul(column, p.bn)));
          this.multiply(k.let("y0", affine([batch, p.m * p.n], column)));
        });
      },
      { tag: "outline", parallel: true },
    );
    return k.build();
  }

  scratch(): readonly Buffer[] {
    return [this.rows, this.panel];
  }

  /** a [m][depth], less its zero point; behind an odd k lies what is multiplied by zero. */
  private packRows(from: Expr): void {
    const { k, p, a, rows, depth } = this;
    const zero = this.types.a.quant!.zeroPoint[0]!;
    const whole = p.ak === 1 ? p.k - (p.k % 8) : 0;
    k.for("m", 0, p.m, (m) => {
      const row = k.let("a_row", affine(from, [m, p.am]));
      const to = k.let("to", mul(m, depth));
      k.for(
        "i",
        0,
        whole,
        (i) => {
          const v = sub(k.load(a, add(row, i), "i16x8"), constant("i16x8", zero));
          k.store(rows, add(to, i), v);
        },
        { step: 8 },
      );
      k.for("i", whole, p.k, (i) => {
        k.store(rows, add(to, i), sub(k.load(a, affine(row, [i, p.ak])), zero));
      });
    });
  }

  /** Eight columns of b, [depth / 2][8][2], less the zero point. */
  private packPanel(from: Expr): void {
    const { k, p, b, panel } = this;
    const zero = this.types.b.quant!.zeroPoint[0]!;
    const first = k.let("b_at", from);
    if (p.k % 2 !== 0) k.fill(panel, (this.depth - 2) * PANEL, 0, 2 * PANEL);
    if (p.bn !== 1) {
      k.for("j", 0, PANEL, (j) => {
        const row = k.let("b_row", affine(first, [j, p.bn]));
        k.for("pair", 0, Math.floor(p.k / 2), (i) => {
          for (const d of [0, 1]) {
            const v = sub(k.load(b, affine(row, [i, 2 * p.bk], d * p.bk)), zero);
            k.store(panel, affine([i, 2 * PANEL], [j, 2], d), v);
          }
        });
        if (p.k % 2 === 0) return;
        const v = sub(k.load(b, add(row, (p.k - 1) * p.bk)), zero);
        k.store(panel, affine((p.k - 1) * PANEL, [j, 2]), v);
      });
      return;
    }
    const load = (at: Expr): Expr =>
      k.let("v", sub(k.load(b, at, "i16x8"), constant("i16x8", zero)));
    const store = (low: Expr, high: Expr, to: Expr): void => {
      k.store(panel, to, shuffle(low, high, [0, 8, 1, 9, 2, 10, 3, 11]));
      k.store(panel, add(to, PANEL), shuffle(low, high, [4, 12, 5, 13, 6, 14, 7, 15]));
    };
    k.for("pair", 0, Math.floor(p.k / 2), (i) => {
      const row = k.let("b_row", affine(first, [i, 2 * p.bk]));
      store(load(row), load(add(row, p.bk)), mul(i, 2 * PANEL));
    });
    if (p.k % 2 === 0) return;
    const last = load(add(first, (p.k - 1) * p.bk));
    store(last, constant("i16x8", 0), i32((p.k - 1) * PANEL));
  }

  private multiply(y0: Expr): void {
    const { k, p, rows, panel, depth } = this;
    const mr = Math.min(HEIGHT, p.m);
    const zero = constant("i32x4", 0);
    k.for("tile", 0, ceilDiv(p.m, mr), (t) => {
      const start = mul(t, mr);
      const row = k.let("row", p.m % mr === 0 ? start : min(start, i32(p.m - mr)));
      const a = k.let("a_tile", mul(row, depth));
      const acc = Array.from({ length: mr }, () => [k.reg("acc", zero), k.reg("acc", zero)]);
      k.for("k", 0, depth / 2, (i) => {
        const bs = [0, PANEL].map((d) =>
          k.let("bv", k.load(panel, affine([i, 2 * PANEL], d), "i16x8")),
        );
        acc.forEach((sums, r) => {
          const av = k.let("av", k.loadGroup(rows, affine(a, [i, 2], r * depth), "i16x8", 2));
          sums.forEach((sum, j) => k.set(sum, add(sum, dot16(bs[j]!, av))));
        });
      });
      const to = k.let("to", affine(y0, [row, p.n]));
      const values = this.result.rule.vectorTables!.map((table) => tableConstant(table, zero));
      acc.forEach((sums, r) => {
        storeSums(k, this.y, add(to, r * p.n), this.result, sums, [values, values], PANEL);
      });
    });
  }
}

export const matmulI8 = definePrimitive({
  name: "i8_matmul",
  op: matmul,
  candidates: (input) => {
    const { ins, outs, attrs } = input;
    const types: Operands = { a: ins[0]!, b: ins[1]!, y: outs[0]! };
    const p = matmulPlan(types.a.shape, types.b.shape, attrs);
    if (p === null || p.n < PANEL || p.m === 0 || p.k === 0 || product(p.batch) === 0) return [];
    if (![types.a, types.b, types.y].every(perTensor)) return [];
    const { a, b, y } = types;
    const rule = requantRule(a.quant!, b.quant!, y.quant!, y.dtype, undefined, attrs.arith);
    if (rule.vectorTables === null) return [];
    const farthest = p.k * reach(a) * reach(b);
    const tame = farthest < rule.looseReach && farthest * rule.multiplier[0]! < LOOSE_STEPS;
    if (farthest >= 2 ** 31) return [];
    const panels = product(p.batch) * ceilDiv(p.n, PANEL);
    const rowsHigh = alignUp(p.m, Math.min(HEIGHT, p.m));
    const packed = product(p.batch) * p.m * p.k * 2 + panels * PANEL * p.k * 2;
    return [
      {
        name: "i8_matmul_packed_4x8",
        family: "packed",
        work: { macs: panels * PANEL * rowsHigh * p.k, bytes: operandBytes(input) + 2 * packed },
        implement: () => {
          const made = new MatmulKernel(p, types, { rule, yDtype: y.dtype as Byte, tame });
          const kernel = made.build();
          const work = made
            .scratch()
            .map(({ name, size }) => ({ kind: "work", id: name, bytes: 2 * size }) as const);
          const operands = [
            { kind: "in", index: 0 },
            { kind: "in", index: 1 },
            { kind: "out", index: 0 },
            ...work,
          ] as const;
          return { inPlace: false, steps: [{ kernel, operands, args: [] }] };
        },
      },
    ];
  },
});
