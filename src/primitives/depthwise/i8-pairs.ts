/**
 * @file The kernel of 8-bit depthwise convolution on pairs of rows. Workspace: [slot of the ring][block of 8
 * channels][column][half][4 channels][2 rows], i16, less the zero point, so that pairs of padding rows need not
 * be read. Weights: [block][half][output row][pair][kernel column][4 channels][2 rows], i16.
 */
import {
  add,
  affine,
  and,
  binary,
  constant,
  dot16,
  type ExprLike,
  i32,
  KernelBuilder,
  max,
  min,
  mul,
  shr,
  shuffle,
  splat,
  sub,
} from "../../kernel/build.ts";
import type { Buffer, Expr, Kernel } from "../../kernel/ir.ts";
import { tableConstant } from "../../ops/quant/requantize-rule.ts";
import { type Tensor, tensorOf, tensorType } from "../../tensor/tensor.ts";
import { ceilDiv } from "../../util/math.ts";
import { type ByteResult, storeFours } from "../gemm/byte-results.ts";
import type { ConvGeometry } from "../gemm/geometry.ts";
import { type Parameter, requantParameters } from "../gemm/i8-pack.ts";
import { isTame, type QuantisedNode } from "../gemm/quantised.ts";
import type { Operand, Step } from "../primitive.ts";

const BLOCK = 8;
/** Elements of a pair of rows at one column of a block. */
const CELL = 2 * BLOCK;
/** Vectors that hold sums and taps; the input and a product take two more. */
const REGISTERS = 13;
/** Groups of output rows that share a ring: more repeat less work at the edges, fewer split better. */
const BAND = 8;
/** Parts of the work, by bands and else by channels, that threads can share. */
const SHARES = 16;

/** How output rows and channels are cut. */
export interface PairPlan {
  /** Output rows made at a time, and how many such groups an image has. */
  readonly rows: 1 | 2;
  readonly groups: number;
  /** Groups in a band; the last band overlaps the one before. */
  readonly band: number;
  /** Pairs of input rows that a group reads. */
  readonly pairs: number;
  /** Output columns made at a time. */
  readonly columns: number;
  /** Blocks of channels; the last overlaps the one before. */
  readonly blocks: number;
}

export function planPairs(g: ConvGeometry): PairPlan {
  const rows = g.sh === 1 && g.oh > 1 ? 2 : 1;
  const groups = ceilDiv(g.oh, rows);
  const bands = ceilDiv(groups, BAND);
  return {
    rows,
    groups,
    band: ceilDiv(groups, bands),
    pairs: ceilDiv(g.kh + rows - 1, 2),
    columns: tileColumns(g),
    blocks: ceilDiv(g.c, BLOCK),
  };
}

/** The number of columns whose tiles cost least: taps and inputs are loaded once for each. */
function tileColumns(g: ConvGeometry): number {
  const most = Math.max(1, Math.min(g.ow, REGISTERS - g.kw));
  const cost = (t: number): number =>
    ceilDiv(g.ow, t) * (2 * g.kw * t + g.kw + (t - 1) * g.sw + g.kw + 3 * t + 4);
  let best = 1;
  for (let t = 2; t <= most; t++) if (cost(t) <= cost(best)) best = t;
  return best;
}

/** First channel of a block. */
const blockStart = (g: ConvGeometry, block: number): number => Math.min(block * BLOCK, g.c - BLOCK);

const tapCount = (g: ConvGeometry, p: PairPlan): number =>
  p.blocks * 2 * p.rows * p.pairs * g.kw * BLOCK;

/** Lays taps [channel][kh][kw] out in pairs, once when the model is loaded. */
function tapsKernel(g: ConvGeometry, p: PairPlan): Kernel {
  const k = new KernelBuilder("i8_depthwise_taps");
  const src = k.buffer("src", "i8", g.c * g.kh * g.kw, "const");
  const dst = k.buffer("dst", "i16", tapCount(g, p), "out");
  k.for("half", 0, 2 * p.blocks, (half) => {
    const c = k.let("c", min(mul(half, 4), affine([and(half, 1), 4], g.c - BLOCK)));
    k.for("row", 0, p.rows, (row) => {
      k.for("pair", 0, p.pairs, (pair) => {
        const at = k.let("at", mul(affine([affine([half, p.rows], row), p.pairs], pair), g.kw));
        k.for("kx", 0, g.kw, (kx) => {
          k.for("i", 0, BLOCK, (i) => {
            const ky = k.let("ky", sub(affine([pair, 2], and(i, 1)), row));
            const to = affine([add(at, kx), BLOCK], i);
            const from = affine([add(c, shr(i, 1)), g.kh * g.kw], [ky, g.kw], kx);
            const tap = (): void => k.store(dst, to, k.load(src, from));
            k.if(below(ky, g.kh), tap, () => k.store(dst, to, i32(0)));
          });
        });
      });
    });
  });
  return k.build();
}

/** 0 <= a < end. */
const below = (a: Expr, end: number): Expr => binary("lt_u", a, i32(end));

/** The channels of all blocks. */
const blockChannels = (g: ConvGeometry, p: PairPlan): number[] =>
  Array.from({ length: p.blocks * BLOCK }, (_, i) => blockStart(g, i >> 3) + (i & 7));

const startValues = (bias: Tensor | undefined, channels: readonly number[]): Tensor =>
  tensorOf(
    "i32",
    [channels.length],
    channels.map((c) => (bias === undefined ? 0 : (bias.data[c] as number))),
  );

/** Calls `body` for each pair of rows to read, with its place in the ring. */
type ForPairs = (body: (pair: Expr, slot: Expr) => void) => void;

export class DepthwiseKernel {
  private readonly k: KernelBuilder;
  private readonly g: ConvGeometry;
  private readonly node: QuantisedNode;
  private readonly p: PairPlan;
  private readonly starts: Tensor;
  private readonly params: readonly Parameter[];
  private readonly result: ByteResult;
  private readonly x: Buffer;
  private readonly w: Buffer;
  private readonly start: Buffer;
  private readonly tables: readonly (Buffer | null)[];
  private readonly y: Buffer;
  private readonly ring: Buffer;
  /** Blocks of channels that are being made. */
  private blocks: readonly [from: Expr, to: Expr] = [i32(0), i32(0)];
  /** Elements of a slot. */
  private readonly slot: number;

  constructor(g: ConvGeometry, node: QuantisedNode, p: PairPlan) {
    const k = new KernelBuilder(`i8_depthwise_pairs_${g.kh}x${g.kw}`);
    [this.k, this.g, this.node, this.p] = [k, g, node, p];
    const channels = blockChannels(g, p);
    this.starts = startValues(node.bias, channels);
    this.params = requantParameters(node.rule, channels)!;
    this.result = { rule: node.rule, yDtype: node.yDtype, tame: isTame(node, g.c) };
    this.slot = p.blocks * g.span * CELL;
    this.x = k.buffer("x", node.xDtype, g.batch * g.h * g.w * g.c, "in");
    this.w = k.buffer("w", "i16", tapCount(g, p), "const");
    this.start = k.buffer("bias", "i32", channels.length, "const");
    this.tables = this.params.map(({ table, tensor }) =>
      tensor === null ? null : k.buffer(table.name, table.dtype, channels.length, "const"),
    );
    this.y = k.buffer("y", node.yDtype, g.batch * g.oh * g.ow * g.c, "out");
    this.ring = k.buffer("ring", "i16", p.pairs * this.slot, "work");
  }

  step(): Step {
    const operands: Operand[] = [
      { kind: "in", index: 0 },
      {
        kind: "made",
        name: "weights",
        type: tensorType("i16", [tapCount(this.g, this.p)]),
        from: this.node.weights,
        kernel: tapsKernel(this.g, this.p),
      },
      { kind: "const", name: "bias", tensor: this.starts },
    ];
    for (const { table, tensor } of this.params) {
      if (tensor !== null) operands.push({ kind: "const", name: table.name, tensor });
    }
    operands.push(
      { kind: "out", index: 0 },
      { kind: "work", id: "ring", bytes: 2 * this.ring.size },
    );
    return { kernel: this.build(), operands, args: [] };
  }

  private build(): Kernel {
    const { k, g, p } = this;
    const padded = g.padLeft > 0 || g.padLeft + g.w < g.span;
    if (padded) k.fill(this.ring, 0, 0, this.ring.size);
    const bands = ceilDiv(p.groups, p.band);
    const share = Math.ceil(p.blocks / Math.ceil(SHARES / (g.batch * bands)));
    k.forParallel(
      "blocks",
      0,
      p.blocks,
      (from) => {
        const to = share >= p.blocks ? i32(p.blocks) : k.let("to", min(add(from, share), p.blocks));
        this.blocks = [from, to];
        this.bands(bands);
      },
      { step: share },
    );
    return k.build();
  }

  /** Everything for the channels of `blocks`. */
  private bands(bands: number): void {
    const { k, g, p } = this;
    k.forParallel("image", 0, g.batch, (image) => {
      k.forParallel("band", 0, bands, (band) => {
        const first = k.let("first", min(mul(band, p.band), p.groups - p.band));
        k.for("q", 0, p.pairs - 1, (q) => this.interleave(image, k.let("pair", add(first, q))));
        k.for(
          "group",
          0,
          p.band,
          (i) => {
            const group = k.let("group_index", add(first, i));
            this.interleave(image, k.let("pair", add(group, p.pairs - 1)));
            this.rowGroup(image, group);
          },
          { tag: "outline" },
        );
      });
    });
  }

  /** First element of a pair of rows in the ring. */
  private slotOf(pair: Expr): Expr {
    return mul(binary("rem_u", pair, i32(this.p.pairs)), this.slot);
  }

  /** Brings input rows 2 * pair and the next, counted from the first row of padding, into the ring. */
  private interleave(image: Expr, pair: Expr): void {
    const { k, g } = this;
    const to = k.let("slot", add(this.slotOf(pair), g.padLeft * CELL));
    const from = k.let("image_at", mul(image, g.h * g.w * g.c));
    const rows = [0, 1].map((d) => k.let("row", affine([pair, 2], d - g.padTop)));
    const inside = rows.map((row) => k.let("inside", below(row, g.h)));
    const whole = (): void => {
      const at = k.let("from", affine(from, [rows[0]!, g.w * g.c]));
      this.cells(to, (e) => [0, g.w * g.c].map((d) => this.centred(affine(at, e, d))));
    };
    const partial = (): void => {
      const read = rows.map((row, d) => {
        const held = max(min(row, i32(g.h - 1)), i32(0));
        const mask = k.let("mask", splat("i16x8", sub(i32(0), inside[d]!)));
        return { mask, at: k.let("from", affine(from, [held, g.w * g.c])) };
      });
      this.cells(to, (e) => read.map(({ mask, at }) => and(mask, this.centred(add(at, e)))));
    };
    const top = g.padTop > 0;
    const rowsRead = 2 * (this.p.groups + this.p.pairs - 1);
    if (!top && rowsRead <= g.h) whole();
    else k.if(and(inside[0]!, inside[1]!), whole, partial);
  }

  /** Eight input channels less the zero point. */
  private centred(at: Expr): Expr {
    const { xZero } = this.node;
    const v = this.k.load(this.x, at, "i16x8");
    return xZero === 0 ? v : sub(v, constant("i16x8", xZero));
  }

  /** Interleaves a row of cells; `load` gives the two rows' channels from an element of the row. */
  private cells(to: Expr, load: (e: Expr) => readonly Expr[]): void {
    const { k, g } = this;
    const columns = Math.min(g.w, g.span - g.padLeft);
    k.for("block", ...this.blocks, (block) => {
      const c = k.let("c", this.channel(block));
      const at = k.let("cell", affine(to, [block, g.span * CELL]));
      k.for("x", 0, columns, (x) => {
        const [a, b] = load(k.let("e", affine(c, [x, g.c]))).map((v) => k.let("v", v));
        const low = shuffle(a!, b!, [0, 8, 1, 9, 2, 10, 3, 11]);
        const high = shuffle(a!, b!, [4, 12, 5, 13, 6, 14, 7, 15]);
        k.store(this.ring, affine(at, [x, CELL]), low);
        k.store(this.ring, affine(at, [x, CELL], BLOCK), high);
      });
    });
  }

  /** First channel of a block. */
  private channel(block: Expr): Expr {
    const { g } = this;
    const start = mul(block, BLOCK);
    return g.c % BLOCK === 0 ? start : min(start, i32(g.c - BLOCK));
  }

  /** The output rows of a group. */
  private rowGroup(image: Expr, group: Expr): void {
    const { k, g, p } = this;
    const pairs = this.pairsOf(group);
    const oy = k.let("oy", mul(group, p.rows));
    const y = k.let("y_row", affine([image, g.oh * g.ow * g.c], [oy, g.ow * g.c]));
    const left = g.oh % p.rows === 0 ? i32(p.rows) : k.let("left", min(i32(p.rows), sub(g.oh, oy)));
    k.for("block", ...this.blocks, (block) => {
      const to = k.let("y_at", add(y, this.channel(block)));
      k.for("half", 0, 2, (half) => {
        const place = k.let("place", affine([block, BLOCK], [half, 4]));
        const cell = k.let("cell", affine([block, g.span * CELL], [half, BLOCK]));
        const start = k.let("start", k.load(this.start, place, "i32x4"));
        const values = this.parameters(place, start);
        k.for("row", 0, left, (row) => {
          const perRow = p.pairs * g.kw * BLOCK;
          const taps = affine([block, 2 * p.rows * perRow], [half, p.rows * perRow], [row, perRow]);
          const w = k.let("w_row", taps);
          const yp = k.let("y_half", affine(to, [half, 4], [row, g.ow * g.c]));
          this.row(cell, start, values, w, pairs, yp);
        });
      });
    });
  }

  /** The pairs that a group of rows reads. Where there are many, those that are all padding are left out. */
  private pairsOf(group: Expr): ForPairs {
    const { k, g, p } = this;
    const slot = (pair: ExprLike): Expr => k.let("slot", this.slotOf(add(group, pair)));
    const above = Math.floor(g.padTop / 2);
    const below = Math.floor((g.padTop + g.h + 1) / 2);
    if (above === 0 && p.groups - 1 + p.pairs <= below + 1) {
      const slots = Array.from({ length: p.pairs }, (_, i) => slot(i));
      return (body) => slots.forEach((at, i) => body(i32(i), at));
    }
    const from = k.let("from", max(i32(0), sub(i32(above), group)));
    const end = k.let("end", min(i32(p.pairs), sub(i32(below), group)));
    return (body) => k.for("pair", from, end, (pair) => body(pair, slot(pair)));
  }

  private parameters(place: Expr, like: Expr): Expr[] {
    return this.params.map(({ table }, i) => {
      const buffer = this.tables[i];
      if (buffer == null) return tableConstant(table, like);
      return this.k.let("m", this.k.load(buffer, place, table.dtype === "f32" ? "f32x4" : "i32x4"));
    });
  }

  /** A row of outputs of four channels. */
  private row(
    cell: Expr,
    start: Expr,
    values: readonly Expr[],
    w: Expr,
    pairs: ForPairs,
    y: Expr,
  ): void {
    const { k, g, p } = this;
    k.for("tile", 0, ceilDiv(g.ow, p.columns), (t) => {
      const first = mul(t, p.columns);
      const even = g.ow % p.columns === 0;
      const x = even ? first : k.let("x", min(first, i32(g.ow - p.columns)));
      const at = k.let("x_at", affine(cell, [x, g.sw * CELL]));
      const acc = Array.from({ length: p.columns }, () => k.reg("acc", start));
      pairs((pair, slot) => {
        const from = k.let("x_pair", add(slot, at));
        this.products(acc, k.let("w_pair", affine(w, [pair, g.kw * BLOCK])), from);
      });
      const yp = k.let("yp", affine(y, [x, g.c]));
      const to = acc.map((_, i) => add(yp, i * g.c));
      storeFours(k, this.y, to, this.result, acc, values);
    });
  }

  /** Adds the products of a pair of rows to the sums of a tile's columns. */
  private products(acc: readonly Expr[], w: Expr, from: Expr): void {
    const { k, g } = this;
    const taps = Array.from({ length: g.kw }, (_, kx) =>
      k.let("wv", k.load(this.w, add(w, kx * BLOCK), "i16x8")),
    );
    for (let column = 0; column < (acc.length - 1) * g.sw + g.kw; column++) {
      const v = k.let("v", k.load(this.ring, add(from, column * CELL), "i16x8"));
      acc.forEach((sum, t) => {
        const tap = taps[column - t * g.sw];
        if (tap !== undefined) k.set(sum, add(sum, dot16(v, tap)));
      });
    }
  }
}
