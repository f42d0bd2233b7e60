/**
 * @file The kernel of 8-bit depthwise convolution on pairs of rows. Workspace: [slot of the ring][block of 8
 * channels][column][half][4 channels][2 rows], i16, less the zero point, so that pairs of padding rows need not
 * be read. Weights: [block][pair][kernel column][half][output row][4 channels][2 rows], i8.
 */
import {
  add,
  affine,
  and,
  constant,
  dot16,
  i32,
  KernelBuilder,
  lt,
  max,
  min,
  mul,
  rem,
  shuffle,
  splat,
  sub,
} from "../../kernel/build.ts";
import type { Buffer, Expr, Kernel } from "../../kernel/ir.ts";
import { tableConstant } from "../../ops/quant/requantize-rule.ts";
import { type Tensor, tensorOf, tensorType } from "../../tensor/tensor.ts";
import { ceilDiv } from "../../util/math.ts";
import { type ByteResult, storeSums } from "../gemm/byte-results.ts";
import type { ConvGeometry } from "../gemm/geometry.ts";
import { type Parameter, requantParameters } from "../gemm/i8-pack.ts";
import { isTame, type QuantisedNode } from "../gemm/quantised.ts";
import type { Operand, Step } from "../primitive.ts";

const BLOCK = 8;
/** Elements of a pair of rows at one column of a block. */
const CELL = 2 * BLOCK;
/** Groups of output rows that share a ring: more repeat less work at the edges, fewer split better. */
const BAND = 8;

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
    columns: Math.min(g.ow, rows === 2 ? 2 : 4),
    blocks: ceilDiv(g.c, BLOCK),
  };
}

/** First channel of a block. */
const blockStart = (g: ConvGeometry, block: number): number => Math.min(block * BLOCK, g.c - BLOCK);

function packTaps(w: Tensor, g: ConvGeometry, p: PairPlan): Tensor {
  const packed = new Int8Array(p.blocks * g.kw * p.pairs * 2 * p.rows * BLOCK);
  const tap = (c: number, ky: number, kx: number): number =>
    ky < 0 || ky >= g.kh ? 0 : (w.data[(c * g.kh + ky) * g.kw + kx] as number);
  let at = 0;
  for (let block = 0; block < p.blocks; block++) {
    for (let pair = 0; pair < p.pairs; pair++) {
      for (let kx = 0; kx < g.kw; kx++) {
        for (let half = 0; half < 2; half++) {
          for (let row = 0; row < p.rows; row++) {
            for (let i = 0; i < BLOCK; i++) {
              const c = blockStart(g, block) + 4 * half + (i >> 1);
              packed[at++] = tap(c, 2 * pair + (i & 1) - row, kx);
            }
          }
        }
      }
    }
  }
  return { type: tensorType("i8", [packed.length]), data: packed };
}

/** The channels of all blocks. */
const blockChannels = (g: ConvGeometry, p: PairPlan): number[] =>
  Array.from({ length: p.blocks * BLOCK }, (_, i) => blockStart(g, i >> 3) + (i & 7));

const startValues = (bias: Tensor | undefined, channels: readonly number[]): Tensor =>
  tensorOf(
    "i32",
    [channels.length],
    channels.map((c) => (bias === undefined ? 0 : (bias.data[c] as number))),
  );

export class DepthwiseKernel {
  private readonly k: KernelBuilder;
  private readonly g: ConvGeometry;
  private readonly node: QuantisedNode;
  private readonly p: PairPlan;
  private readonly taps: Tensor;
  private readonly starts: Tensor;
  private readonly params: readonly Parameter[];
  private readonly result: ByteResult;
  private readonly x: Buffer;
  private readonly w: Buffer;
  private readonly start: Buffer;
  private readonly tables: readonly (Buffer | null)[];
  private readonly y: Buffer;
  private readonly ring: Buffer;
  /** Elements of a slot. */
  private readonly slot: number;

  constructor(g: ConvGeometry, node: QuantisedNode, p: PairPlan) {
    const k = new KernelBuilder(`i8_depthwise_pairs_${g.kh}x${g.kw}`);
    [this.k, this.g, this.node, this.p] = [k, g, node, p];
    const channels = blockChannels(g, p);
    this.taps = packTaps(node.weights, g, p);
    this.starts = startValues(node.bias, channels);
    this.params = requantParameters(node.rule, channels)!;
    this.result = { rule: node.rule, yDtype: node.yDtype, tame: isTame(node, g.c) };
    this.slot = p.blocks * g.span * CELL;
    this.x = k.buffer("x", node.xDtype, g.batch * g.h * g.w * g.c, "in");
    this.w = k.buffer("w", "i8", this.taps.data.length, "const");
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
      { kind: "const", name: "weights", tensor: this.taps },
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
    return k.build();
  }

  /** First element of a pair of rows in the ring. */
  private slotOf(pair: Expr): Expr {
    return mul(rem(pair, i32(this.p.pairs)), this.slot);
  }

  /** Brings input rows 2 * pair and the next, counted from the first row of padding, into the ring. */
  private interleave(image: Expr, pair: Expr): void {
    const { k, g } = this;
    const to = k.let("slot", add(this.slotOf(pair), g.padLeft * CELL));
    const from = k.let("image_at", mul(image, g.h * g.w * g.c));
    const rows = [0, 1].map((d) => k.let("row", affine([pair, 2], d - g.padTop)));
    const all = { kind: "binary", type: "i32", op: "lt_u" } as const;
    const inside = rows.map((row) => k.let("inside", { ...all, a: row, b: i32(g.h) }));
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
    const { k, g, p } = this;
    const columns = Math.min(g.w, g.span - g.padLeft);
    k.for("block", 0, p.blocks, (block) => {
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
    // Pairs of rows that are all padding are left out.
    const above = Math.floor(g.padTop / 2);
    const below = Math.floor((g.padTop + g.h + 1) / 2);
    const from = above > 0 ? k.let("from", max(i32(0), sub(i32(above), group))) : i32(0);
    const most = 2 * (p.groups - 1 + p.pairs);
    const inside = most <= g.padTop + g.h + 1;
    const end = inside ? i32(p.pairs) : k.let("end", min(i32(p.pairs), sub(i32(below), group)));
    const oy = k.let("oy", mul(group, p.rows));
    const y = k.let("y_row", affine([image, g.oh * g.ow * g.c], [oy, g.ow * g.c]));
    k.for("block", 0, p.blocks, (block) => {
      const to = k.let("y_at", add(y, this.channel(block)));
      const cell = k.let("cell", mul(block, g.span * CELL));
      k.for("tile", 0, ceilDiv(g.ow, p.columns), (t) => {
        const start = mul(t, p.columns);
        const even = g.ow % p.columns === 0;
        const x = even ? start : k.let("x", min(start, i32(g.ow - p.columns)));
        const at = k.let("x_at", affine(cell, [x, g.sw * CELL]));
        const acc = this.sums(block, (body) =>
          k.for("pair", from, end, (pair) => {
            body(pair, k.let("x_pair", add(this.slotOf(add(group, pair)), at)));
          }),
        );
        this.finish(block, acc, oy, k.let("yp", affine(to, [x, g.c])));
      });
    });
  }

  /** Sums of a tile: [output row][column][half]; `forEach` gives pairs and where the tile reads them. */
  private sums(block: Expr, forEach: (body: (pair: Expr, at: Expr) => void) => void): Expr[][][] {
    const { k, g, p } = this;
    const starts = [0, 4].map((d) =>
      k.let("start", k.load(this.start, affine([block, BLOCK], d), "i32x4")),
    );
    const acc = Array.from({ length: p.rows }, () =>
      Array.from({ length: p.columns }, () => starts.map((s) => k.reg("acc", s))),
    );
    const perPair = g.kw * 2 * p.rows * BLOCK;
    forEach((pair, at) => {
      const w = k.let("w_at", affine([block, p.pairs * perPair], [pair, perPair]));
      for (let tap = 0; tap < 2 * g.kw; tap++) {
        const half = tap & 1;
        const ws = acc.map((_, row) => {
          const from = add(w, (tap * p.rows + row) * BLOCK);
          return k.let("wv", k.load(this.w, from, "i16x8"));
        });
        for (let t = 0; t < p.columns; t++) {
          const cell = add(at, ((tap >> 1) + t * g.sw) * CELL + half * BLOCK);
          const v = k.let("v", k.load(this.ring, cell, "i16x8"));
          acc.forEach((columns, row) => {
            const sum = columns[t]![half]!;
            k.set(sum, add(sum, dot16(v, ws[row]!)));
          });
        }
      }
    });
    return acc;
  }

  private finish(
    block: Expr,
    acc: readonly (readonly (readonly Expr[])[])[],
    oy: Expr,
    yp: Expr,
  ): void {
    const { k, g } = this;
    const values = [0, 4].map((d) =>
      this.params.map(({ table }, i) => {
        const buffer = this.tables[i];
        if (buffer == null) return tableConstant(table, acc[0]![0]![0]!);
        const type = table.dtype === "f32" ? "f32x4" : "i32x4";
        return k.let("m", k.load(buffer, affine([block, BLOCK], d), type));
      }),
    );
    acc.forEach((columns, row) => {
      const store = (): void =>
        columns.forEach((sums, t) => {
          const to = affine(yp, (row * g.ow + t) * g.c);
          storeSums(k, this.y, to, this.result, sums, values, BLOCK);
        });
      if (row === 0 || g.oh % 2 === 0) store();
      else k.if(lt(add(oy, 1), i32(g.oh)), store);
    });
  }
}
