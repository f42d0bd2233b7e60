/**
 * @file The kernels of f32 Winograd convolution, NHWC. A band of tile rows at a time: input rows are transformed
 * down the columns, then along the rows into one matrix per point; for each panel of output channels the products
 * of all points, which are transformed back while they are in the cache. Weights: [panel][point][input
 * channel][output channel of the panel], transformed when the model is loaded.
 */
import type { Activation } from "../../graph/op.ts";
import { add, affine, constant, i32, KernelBuilder, min, mul, sub } from "../../kernel/build.ts";
import type { Buffer, Expr, Kernel, KType } from "../../kernel/ir.ts";
import { SCALARS } from "../../ops/scalar.ts";
import { type Tensor, tensorOf, tensorType } from "../../tensor/tensor.ts";
import { ceilDiv } from "../../util/math.ts";
import type { Capabilities } from "../capabilities.ts";
import { storeLanes } from "../gemm/f32.ts";
import { type ConvGeometry, panelWidth, type Tile } from "../gemm/geometry.ts";
import { forValidLanes } from "../gemm/loops.ts";
import { addProducts, openSums, vectorType } from "../gemm/micro.ts";
import { unfusedTile } from "../gemm/tile.ts";
import type { Operand, Step } from "../primitive.ts";
import { packedStorage, type WeightStorage } from "../storage.ts";
import { type Bands, packTaps, TAPS, weightKernel } from "./f32-plan.ts";
import { applyMatrix, type Matrix } from "./linear.ts";

/** A convolution 3x3 with stride 1 and what is fused into it. */
export interface F32Winograd {
  readonly geometry: ConvGeometry;
  readonly weights: Tensor;
  /** How the model stores the weights, when smaller than f32. */
  readonly weightStorage?: WeightStorage | undefined;
  readonly bias: Tensor | undefined;
  /** Input position of the residual, or null. */
  readonly residual: number | null;
  readonly act: Activation | undefined;
  readonly caps: Capabilities;
}

/** The kernel call; weights are stored untransformed. */
export function f32WinogradStep(spec: F32Winograd, b: Bands): Step {
  const { geometry: g, bias } = spec;
  const width = panelWidth(b.tile);
  const biases = Array.from({ length: b.panels * width }, (_, o) =>
    o < g.n && bias !== undefined ? (bias.data[o] as number) : 0,
  );
  const builder = new WinogradKernel(spec, b, b.tile);
  const made = weightKernel(g, b);
  const stored =
    spec.weightStorage &&
    packedStorage(spec.weightStorage, {
      pack: (w) => packTaps(w, g, b),
      ...{ block: TAPS * TAPS * g.c * width, width, order: () => [] },
    });
  const operands: Operand[] = [
    { kind: "in", index: 0 },
    {
      kind: "made",
      name: "weights",
      type: tensorType("f32", [made.buffers[1]!.size]),
      from: packTaps(spec.weights, g, b),
      kernel: made,
      ...(stored && { storage: stored }),
    },
    { kind: "const", name: "bias", tensor: tensorOf("f32", [biases.length], biases) },
    { kind: "out", index: 0 },
  ];
  if (spec.residual !== null) operands.push({ kind: "in", index: spec.residual });
  operands.push(...builder.scratch());
  const kernel = builder.build();
  const unfused = unfusedTile(b.tile);
  if (spec.caps.fma !== "some" || unfused.mr === b.tile.mr) return { kernel, operands, args: [] };
  const base = new WinogradKernel(spec, b, unfused).build();
  return { kernel: { ...base, forms: { fma: kernel } }, operands, args: [] };
}

class WinogradKernel {
  private readonly k: KernelBuilder;
  private readonly g: ConvGeometry;
  private readonly spec: F32Winograd;
  private readonly b: Bands;
  private readonly tile: Tile;
  private readonly x: Buffer;
  private readonly u: Buffer;
  private readonly bias: Buffer;
  private readonly y: Buffer;
  private readonly residual: Buffer | null;
  /** Input rows that touch padding; null when none does. */
  private readonly rows: Buffer | null;
  private readonly columns: Buffer;
  private readonly v: Buffer;
  private readonly m: Buffer;
  private readonly half: Buffer;
  /** Columns of input that tiles read. */
  private readonly width: number;

  constructor(spec: F32Winograd, b: Bands, tile: Tile) {
    const { geometry: g } = spec;
    const { outputs, span } = b.t;
    const k = new KernelBuilder(`f32_winograd_${outputs}x${outputs}`);
    [this.k, this.spec, this.g, this.b, this.tile] = [k, spec, g, b, tile];
    const width = panelWidth(b.tile);
    const pixels = g.batch * g.oh * g.ow;
    this.width = Math.min(g.w, b.columns * outputs + TAPS - 1 - g.padLeft);
    this.x = k.buffer("x", "f32", g.batch * g.h * g.w * g.c, "in");
    this.u = k.buffer("u", "f32", b.panels * span ** 2 * g.c * width, "const");
    this.bias = k.buffer("bias", "f32", b.panels * width, "const");
    this.y = k.buffer("y", "f32", pixels * g.n, "out");
    this.residual = spec.residual === null ? null : k.buffer("r", "f32", pixels * g.n, "in");
    const padded = g.padTop > 0 || b.tileRows * outputs + TAPS - 1 - g.padTop > g.h;
    this.rows = padded ? k.buffer("rows", "f32", span * this.width * g.c, "work") : null;
    this.columns = k.buffer("columns", "f32", span * b.pitch, "work");
    this.v = k.buffer("v", "f32", span ** 2 * b.tiles * g.c, "work");
    this.m = k.buffer("m", "f32", span ** 2 * b.tiles * width, "work");
    this.half = k.buffer("half", "f32", outputs * span * b.tile.lanes, "work");
  }

  scratch(): Operand[] {
    return [this.rows, this.columns, this.v, this.m, this.half].flatMap((s): Operand[] =>
      s === null ? [] : [{ kind: "work", id: s.name, bytes: 4 * s.size }],
    );
  }

  build(): Kernel {
    const { k, g, b } = this;
    this.fillEdges();
    const band = (image: Expr, index: Expr): void => {
      const first = k.let("first", min(mul(index, b.rows), b.tileRows - b.rows));
      k.for("r", 0, b.rows, (r) => {
        const top = k.let("top", affine([add(first, r), b.t.outputs], -g.padTop));
        this.transformColumns(k.let("x0", mul(image, g.h * g.w * g.c)), top);
        this.transformRows(mul(r, b.columns));
      });
      k.forParallel("panel", 0, b.panels, (panel) => {
        this.multiply(panel);
        k.for("r", 0, b.rows, (r) => {
          const oy = k.let("oy", mul(add(first, r), b.t.outputs));
          const y = k.let("y0", affine([image, g.oh * g.ow * g.n], [oy, g.ow * g.n]));
          this.finishRow(panel, mul(r, b.columns), y, k.let("left", sub(i32(g.oh), oy)));
        });
      });
    };
    k.forParallel("image", 0, g.batch, (image) => {
      k.forParallel("band", 0, b.bands, (index) => band(image, index), { tag: "outline" });
    });
    return k.build();
  }

  private apply(matrix: Matrix, xs: readonly Expr[]): Expr[] {
    return applyMatrix(matrix, xs, (hint, e) => this.k.let(hint, e));
  }

  /** The columns of padding, whose transform is zero. */
  private fillEdges(): void {
    const { k, g, b, columns } = this;
    const left = g.padLeft * g.c;
    const right = b.pitch - left - this.width * g.c;
    if (left + right === 0) return;
    k.for("edge", 0, b.t.span, (i) => {
      if (left > 0) k.fill(columns, mul(i, b.pitch), 0, left);
      if (right > 0) k.fill(columns, affine([i, b.pitch], left + this.width * g.c), 0, right);
    });
  }

  /** Transforms the input rows from `top` (which may lie outside) down the columns. */
  private transformColumns(image: Expr, top: Expr): void {
    const { k, g, b, x, rows } = this;
    const count = this.width * g.c;
    const inside = (): void => {
      this.columnsFrom(x, k.let("x_row", affine(image, [top, g.w * g.c])), g.w * g.c);
    };
    if (rows === null) {
      inside();
      return;
    }
    const border = (): void => {
      k.for("pack", 0, b.t.span, (i) => {
        const row = k.let("y_in", add(top, i));
        const to = k.let("to", mul(i, count));
        const from = affine(image, [row, g.w * g.c]);
        const within = { kind: "binary", type: "i32", op: "lt_u", a: row, b: i32(g.h) } as const;
        k.if(
          within,
          () => k.copy(rows, to, x, from, count),
          () => k.fill(rows, to, 0, count),
        );
      });
      this.columnsFrom(rows, i32(0), count);
    };
    const last = g.h - b.t.span;
    if (last < 0) border();
    else {
      const limit = i32(last + 1);
      k.if({ kind: "binary", type: "i32", op: "lt_u", a: top, b: limit }, inside, border);
    }
  }

  private columnsFrom(source: Buffer, at: Expr, stride: number): void {
    const { k, g, b, columns } = this;
    const type: KType = `f32x${b.lanes}`;
    k.for(
      "e",
      0,
      this.width * g.c,
      (e) => {
        const d = Array.from({ length: b.t.span }, (_, i) =>
          k.let("d", k.load(source, affine(at, e, i * stride), type)),
        );
        this.apply(b.t.input, d).forEach((t, i) => {
          k.store(columns, affine(e, i * b.pitch + g.padLeft * g.c), t);
        });
      },
      { step: b.lanes },
    );
  }

  /** Along the rows, of the row of tiles whose first is number `tile` of the band. */
  private transformRows(tile: Expr): void {
    const { k, g, b, columns, v } = this;
    const { span, outputs } = b.t;
    const type: KType = `f32x${b.lanes}`;
    k.for("tx", 0, b.columns, (tx) => {
      const x = k.let("x_tile", mul(tx, outputs * g.c));
      const to = k.let("v0", mul(add(tile, tx), g.c));
      k.for("i", 0, span, (i) => {
        k.for(
          "c",
          0,
          g.c,
          (c) => {
            const d = Array.from({ length: span }, (_, j) =>
              k.let("d", k.load(columns, affine(x, [i, b.pitch], c, j * g.c), type)),
            );
            this.apply(b.t.input, d).forEach((t, j) => {
              k.store(v, affine(to, [i, span * b.tiles * g.c], c, j * b.tiles * g.c), t);
            });
          },
          { step: b.lanes },
        );
      });
    });
  }

  /** The products of all points for one panel of output channels. */
  private multiply(panel: Expr): void {
    const { k, g, b, tile } = this;
    const width = panelWidth(tile);
    const points = b.t.span ** 2;
    const zeros = Array.from({ length: tile.nv }, () => constant(vectorType(tile), 0));
    k.for("point", 0, points, (point) => {
      const w = k.let("w0", affine([panel, points * g.c * width], [point, g.c * width]));
      k.for("tile", 0, ceilDiv(b.tiles, tile.mr), (t) => {
        const first = k.let("tile0", min(mul(t, tile.mr), b.tiles - tile.mr));
        const row = k.let("row", affine([point, b.tiles], first));
        const acc = openSums(k, tile, zeros);
        const a = { buffer: this.v, at: k.let("a0", mul(row, g.c)), stride: g.c };
        addProducts(k, tile, acc, a, { buffer: this.u, at: w }, g.c);
        const to = k.let("m0", mul(row, width));
        acc.forEach((sums, r) =>
          sums.forEach((s, j) => k.store(this.m, add(to, r * width + tile.lanes * j), s)),
        );
      });
    });
  }

  /** Transforms the products of a row of tiles back; `left` rows of the image remain from `y` on. */
  private finishRow(panel: Expr, tile: Expr, y: Expr, left: Expr): void {
    const { k, g, b } = this;
    const { outputs } = b.t;
    const full = Math.floor(g.ow / outputs);
    const height = g.oh % outputs === 0 ? i32(outputs) : k.let("height", min(left, outputs));
    const one = (tx: Expr, columns: number): void => {
      const m = k.let("m0", mul(add(tile, tx), panelWidth(this.tile)));
      const to = k.let("y_tile", affine(y, [tx, outputs * g.n], [panel, panelWidth(this.tile)]));
      const channel = k.let("channel", mul(panel, panelWidth(this.tile)));
      for (let j = 0; j < this.tile.nv; j++) {
        forValidLanes(k, b, g.n, channel, j, (lanes) => {
          this.sumColumns(add(m, this.tile.lanes * j));
          const start = add(channel, this.tile.lanes * j);
          this.sumRows(add(to, this.tile.lanes * j), start, height, columns, lanes);
        });
      }
    };
    k.for("tx", 0, full, (tx) => one(tx, outputs));
    if (g.ow % outputs > 0) one(i32(full), g.ow % outputs);
  }

  private sumColumns(from: Expr): void {
    const { k, b, m, half } = this;
    const { span } = b.t;
    const { lanes } = this.tile;
    const pointStride = b.tiles * panelWidth(this.tile);
    k.for("j", 0, span, (j) => {
      const points = Array.from({ length: span }, (_, i) =>
        k.let(
          "p",
          k.load(m, affine(from, [j, pointStride], i * span * pointStride), `f32x${lanes}`),
        ),
      );
      this.apply(b.t.output, points).forEach((z, i) => {
        k.store(half, affine([j, lanes], i * span * lanes), z);
      });
    });
  }

  private sumRows(to: Expr, channel: Expr, height: Expr, columns: number, valid: number): void {
    const { k, g, b, half } = this;
    const { span } = b.t;
    const { act } = this.spec;
    const { lanes } = this.tile;
    const type: KType = `f32x${lanes}`;
    const bias = k.let("b", k.load(this.bias, channel, type));
    k.for("i", 0, height, (i) => {
      const points = Array.from({ length: span }, (_, j) =>
        k.let("p", k.load(half, affine([i, span * lanes], j * lanes), type)),
      );
      const row = k.let("yp", affine(to, [i, g.ow * g.n]));
      const sums = this.apply(b.t.output.slice(0, columns), points);
      sums.forEach((z, j) => {
        const at = add(row, j * g.n);
        let value = add(z, bias);
        if (this.residual !== null) value = add(value, k.load(this.residual, at, type));
        if (act !== undefined) value = SCALARS[act.fn]!.expr(k.let("t", value), act);
        storeLanes(k, this.y, at, value, valid);
      });
    });
  }
}
