/**
 * @file The kernels of integer Winograd convolution. A band of tile rows at a time: input rows are brought into
 * a workspace with their padding, transformed down the columns, then along the rows into one matrix for each of
 * the 36 points; 36 products with the transformed weights; the sums are transformed back and requantised.
 * Weights: [point][panel of 8 output channels][pair of input channels][8][2], i16.
 */
import {
  add,
  affine,
  constant,
  dot16,
  gt,
  i32,
  KernelBuilder,
  min,
  mul,
} from "../../kernel/build.ts";
import type { Buffer, Expr, Kernel } from "../../kernel/ir.ts";
import { tableConstant } from "../../ops/quant/requantize-rule.ts";
import { tensorOf, tensorType } from "../../tensor/tensor.ts";
import { ceilDiv } from "../../util/math.ts";
import { type ByteResult, storeSums } from "../gemm/byte-results.ts";
import type { ConvGeometry } from "../gemm/geometry.ts";
import { isTame, type QuantisedNode } from "../gemm/quantised.ts";
import type { Operand, Step } from "../primitive.ts";
import {
  CONSTANT_GAIN,
  divide,
  OUTPUT_SHIFTS,
  POINTS,
  SPAN,
  TAPS,
  TILE,
  transformEvenly,
  transformInput,
  transformOutput,
} from "./exact.ts";
import { type Bands, HEIGHT, PANEL, packTaps, planBands, weightKernel } from "./i8-plan.ts";

/** Parts of the work, by bands and else by channels, that threads can share. */
const SHARES = 8;

/** The kernel call; weights may be larger than the model file's, which holds them untransformed. */
export function winogradStep(g: ConvGeometry, node: QuantisedNode): Step {
  const b = planBands(g);
  const bias = Array.from({ length: b.n }, (_, o) =>
    o < g.n && node.bias !== undefined ? (node.bias.data[o] as number) : 0,
  );
  const tables = node.rule.vectorTables!.map((table) => {
    if (table.values.length === 1) return null;
    const values = Array.from({ length: b.n }, (_, o) => table.values[Math.min(o, g.n - 1)]!);
    return tensorOf(table.dtype, [b.n], values);
  });
  const builder = new WinogradKernel(g, node, b);
  const operands: Operand[] = [
    { kind: "in", index: 0 },
    {
      kind: "made",
      name: "weights",
      type: tensorType("i16", [POINTS * b.n * b.c]),
      from: packTaps(node.weights, g, b),
      kernel: weightKernel(b),
    },
    { kind: "const", name: "bias", tensor: tensorOf("i32", [b.n], bias) },
  ];
  tables.forEach((tensor, i) => {
    const { name } = node.rule.vectorTables![i]!;
    if (tensor !== null) operands.push({ kind: "const", name, tensor });
  });
  operands.push({ kind: "out", index: 0 }, ...builder.scratch());
  return { kernel: builder.build(), operands, args: [] };
}

class WinogradKernel {
  private readonly k = new KernelBuilder("i8_winograd_4x4");
  private readonly g: ConvGeometry;
  private readonly node: QuantisedNode;
  private readonly b: Bands;
  private readonly x: Buffer;
  private readonly u: Buffer;
  private readonly bias: Buffer;
  private readonly tables: readonly (Buffer | null)[];
  private readonly y: Buffer;
  private readonly rows: Buffer;
  private readonly columns: Buffer;
  private readonly v: Buffer;
  private readonly m: Buffer;
  private readonly half: Buffer;
  private readonly result: ByteResult;

  constructor(g: ConvGeometry, node: QuantisedNode, b: Bands) {
    const { k } = this;
    [this.g, this.node, this.b] = [g, node, b];
    this.result = { rule: node.rule, yDtype: node.yDtype, tame: isTame(node, g.n) };
    this.x = k.buffer("x", node.xDtype, g.batch * g.h * g.w * g.c, "in");
    this.u = k.buffer("u", "i16", POINTS * b.n * b.c, "const");
    this.bias = k.buffer("bias", "i32", b.n, "const");
    this.tables = node.rule.vectorTables!.map((t) =>
      t.values.length === 1 ? null : k.buffer(t.name, t.dtype, b.n, "const"),
    );
    this.y = k.buffer("y", node.yDtype, g.batch * g.oh * g.ow * g.n, "out");
    this.rows = k.buffer("rows", node.xDtype, SPAN * b.pitch, "work");
    this.columns = k.buffer("columns", "i16", SPAN * b.pitch + PANEL, "work");
    this.v = k.buffer("v", "i16", POINTS * b.tiles * b.c, "work");
    this.m = k.buffer("m", "i32", POINTS * b.tiles * b.n, "work");
    this.half = k.buffer("half", "i32", TILE * SPAN * PANEL, "work");
  }

  scratch(): Operand[] {
    const { rows, columns, v, m, half } = this;
    const bytes = { u8: 1, i8: 1, i16: 2, i32: 4 };
    return [rows, columns, v, m, half].map((s) => ({
      kind: "work",
      id: s.name,
      bytes: s.size * bytes[s.dtype as keyof typeof bytes],
    }));
  }

  build(): Kernel {
    const { k, g, b } = this;
    const body = (image: Expr, band: Expr): void => {
      const first = k.let("first", min(mul(band, b.rows), b.tileRows - b.rows));
      k.for("r", 0, b.rows, (r) => {
        const top = k.let("top", min(mul(add(first, r), TILE), g.oh - TILE));
        this.packRows(image, top);
        this.transformColumns();
        this.transformRows(mul(r, b.columns));
      });
      const panels = b.n / PANEL;
      const share = Math.ceil(panels / Math.ceil(SHARES / (g.batch * b.bands)));
      const channels = (from: Expr): void => {
        const to = share >= panels ? i32(panels) : k.let("to", min(add(from, share), panels));
        this.multiply(from, to);
        k.for("r", 0, b.rows, (r) => {
          const top = k.let("top", min(mul(add(first, r), TILE), g.oh - TILE));
          const y = k.let("y0", affine([image, g.oh * g.ow * g.n], [top, g.ow * g.n]));
          this.finishRow(mul(r, b.columns), y, from, to);
        });
      };
      k.forParallel("panels", 0, panels, channels, { step: share });
    };
    k.forParallel("image", 0, g.batch, (image) => {
      k.forParallel("band", 0, b.bands, (band) => body(image, band), { tag: "outline" });
    });
    return k.build();
  }

  /** Brings the input rows of a row of tiles into the workspace, padding included. */
  private packRows(image: Expr, top: Expr): void {
    const { k, g, b, x, rows } = this;
    const { xZero } = this.node;
    const left = g.padLeft;
    const span = g.ow + TAPS - 1;
    const width = Math.min(g.w, span - left);
    k.for("pack", 0, SPAN, (i) => {
      const from = k.let("y_in", affine(top, i, -g.padTop));
      const to = k.let("to", mul(i, b.pitch));
      const copy = (): void => {
        if (left > 0) k.fill(rows, to, xZero, left * g.c);
        const at = k.let("from", affine([image, g.h * g.w * g.c], [from, g.w * g.c]));
        k.copy(rows, add(to, left * g.c), x, at, width * g.c);
        const right = b.pitch - (left + width) * g.c;
        if (right > 0) k.fill(rows, add(to, (left + width) * g.c), xZero, right);
      };
      if (!g.padded) copy();
      else {
        const inside = { kind: "binary", type: "i32", op: "lt_u", a: from, b: i32(g.h) } as const;
        k.if(inside, copy, () => k.fill(rows, to, xZero, b.pitch));
      }
    });
  }

  private transformColumns(): void {
    const { k, b, rows, columns } = this;
    const zero = this.node.xZero;
    k.for(
      "e",
      0,
      b.pitch,
      (e) => {
        const d = Array.from({ length: SPAN }, (_, i) =>
          k.let("d", k.load(rows, add(e, i * b.pitch), "i16x8")),
        );
        transformInput(d, (hint, v) => k.let(hint, v)).forEach((t, i) => {
          const gain = CONSTANT_GAIN[i]! * zero;
          const exact = gain === 0 ? t : add(t, constant("i16x8", -gain));
          k.store(columns, add(e, i * b.pitch), exact);
        });
      },
      { step: PANEL },
    );
  }

  /** Of the row of tiles whose first is number `tile` of the band. */
  private transformRows(tile: Expr): void {
    const { k, g, b, columns, v } = this;
    k.for("tx", 0, b.columns, (tx) => {
      const x = k.let("x0", mul(min(mul(tx, TILE), g.ow - TILE), g.c));
      const to = k.let("v0", mul(add(tile, tx), b.c));
      k.for("point", 0, SPAN, (i) => {
        k.for(
          "c",
          0,
          b.c,
          (c) => {
            const from = k.let("from", affine(x, [i, b.pitch], c));
            const d = Array.from({ length: SPAN }, (_, j) =>
              k.let("d", k.load(columns, add(from, j * g.c), "i16x8")),
            );
            const at = k.let("to", affine(to, [i, SPAN * b.tiles * b.c], c));
            transformInput(d, (hint, e) => k.let(hint, e)).forEach((t, j) => {
              k.store(v, add(at, j * b.tiles * b.c), t);
            });
          },
          { step: PANEL },
        );
      });
    });
  }

  /** The 36 products, of some panels of channels. */
  private multiply(from: Expr, end: Expr): void {
    const { k, b } = this;
    const mr = Math.min(HEIGHT, b.tiles);
    k.for("point", 0, POINTS, (point) => {
      k.for("panel", from, end, (panel) => {
        const w = k.let("w0", affine([point, b.n * b.c], [panel, PANEL * b.c]));
        k.for("tile", 0, ceilDiv(b.tiles, mr), (t) => {
          const tile = k.let("tile0", min(mul(t, mr), b.tiles - mr));
          const a = k.let("a0", affine([point, b.tiles * b.c], [tile, b.c]));
          const to = k.let("m0", affine([point, b.tiles * b.n], [tile, b.n], [panel, PANEL]));
          this.product(mr, a, w, to);
        });
      });
    });
  }

  private product(mr: number, a: Expr, weights: Expr, to: Expr): void {
    const { k, b, v, u, m } = this;
    const zero = constant("i32x4", 0);
    const acc = Array.from({ length: mr }, () => [k.reg("acc", zero), k.reg("acc", zero)]);
    k.for("k", 0, b.c / 2, (i) => {
      const at = affine(weights, [i, 2 * PANEL]);
      const ws = [0, 8].map((d) => k.let("wv", k.load(u, add(at, d), "i16x8")));
      acc.forEach((row, r) => {
        const av = k.let("av", k.loadGroup(v, affine(a, [i, 2], r * b.c), "i16x8", 2));
        row.forEach((sum, j) => k.set(sum, add(sum, dot16(ws[j]!, av))));
      });
    });
    acc.forEach((row, r) => row.forEach((s, j) => k.store(m, affine(to, r * b.n + 4 * j), s)));
  }

  /** Transforms the sums of a row of tiles back, of panels `from` to `end`, and stores the results. */
  private finishRow(tile: Expr, y: Expr, from: Expr, end: Expr): void {
    const { k, g, b } = this;
    k.for("tx", 0, b.columns, (tx) => {
      const x = k.let("x0", affine(y, [min(mul(tx, TILE), g.ow - TILE), g.n]));
      const m = k.let("m0", mul(add(tile, tx), b.n));
      const tail = g.n % PANEL;
      const panel = (n: Expr, lanes: number): void => {
        this.sumColumns(add(m, n));
        this.sumRows(n, lanes, add(x, n));
      };
      const whole = g.n - tail;
      const last = k.let("last", min(mul(end, PANEL), whole));
      k.for("n", mul(from, PANEL), last, (n) => panel(n, PANEL), { step: PANEL });
      if (tail > 0) {
        k.if(gt(end, whole / PANEL), () => panel(i32(whole), tail));
      }
    });
  }

  private sumColumns(from: Expr): void {
    const { k, b, m, half } = this;
    k.for("j", 0, SPAN, (j) => {
      const at = k.let("from", affine(from, [j, b.tiles * b.n]));
      for (const d of [0, 4]) {
        const points = Array.from({ length: SPAN }, (_, i) =>
          k.let("p", k.load(m, add(at, i * SPAN * b.tiles * b.n + d), "i32x4")),
        );
        transformEvenly(points, (hint, e) => k.let(hint, e)).forEach((z, i) => {
          k.store(half, affine([j, PANEL], i * SPAN * PANEL + d), z);
        });
      }
    });
  }

  private sumRows(n: Expr, lanes: number, to: Expr): void {
    const { k, g, node, bias, half } = this;
    const halves = lanes > 4 ? [0, 4] : [0];
    const parameters = halves.map((d) => {
      const start = k.let("start", k.load(bias, add(n, d), "i32x4"));
      const values = node.rule.vectorTables!.map((table, i) => {
        const buffer = this.tables[i];
        if (buffer == null) return tableConstant(table, start);
        return k.let("p", k.load(buffer, add(n, d), table.dtype === "f32" ? "f32x4" : "i32x4"));
      });
      return { start, values };
    });
    k.for("i", 0, TILE, (i) => {
      const sums = halves.map((d) => {
        const points = Array.from({ length: SPAN }, (_, j) =>
          k.let("p", k.load(half, affine([i, SPAN * PANEL], j * PANEL + d), "i32x4")),
        );
        return transformOutput(points, (hint, e) => k.let(hint, e));
      });
      const row = k.let("yp", affine(to, [i, g.ow * g.n]));
      for (let j = 0; j < TILE; j++) {
        const shift = OUTPUT_SHIFTS[0]! + OUTPUT_SHIFTS[j]!;
        const all = sums.map((z, h) => add(divide(z[j]!, shift), parameters[h]!.start));
        const values = parameters.map((p) => p.values);
        storeSums(k, this.y, add(row, j * g.n), this.result, all, values, lanes);
      }
    });
  }
}
