/**
 * @file The f32 matrix kernel for weights that exceed the caches: blocks of pixels by blocks of depth. The rows a
 * block of pixels needs are copied into a small matrix (im2row, only what the block of depth reads, padding as
 * zeros), and sums are kept in memory between blocks of depth, so that weights are read once per block of pixels.
 * Weights are packed as for the kernel in f32.ts.
 */
import { add, affine, and, binary, i32, KernelBuilder, lt, min, mul } from "../../kernel/build.ts";
import type { Buffer, Expr, Kernel } from "../../kernel/ir.ts";
import { SCALARS } from "../../ops/scalar.ts";
import { alignUp, ceilDiv } from "../../util/math.ts";
import { WASM } from "../capabilities.ts";
import type { Operand, Step } from "../primitive.ts";
import { type F32Gemm, packBias, storeLanes, weightsOperand } from "./f32.ts";
import { type ConvGeometry, panelWidth, type Tile } from "./geometry.ts";
import { forValidLanes } from "./loops.ts";
import { addProducts, vectorType } from "./micro.ts";
import { packedSizes } from "./pack-run.ts";
import type { GemmPlan } from "./plan.ts";
import { tileF32, unfusedTile } from "./tile.ts";

/** Bytes of the weights of one panel and block of depth: half of a first-level cache. */
const PANEL_BYTES = 16 * 1024;
/** Bytes that the copied rows of a block may take, to stay in the second-level cache. */
const ROWS_BYTES = 192 * 1024;
/** Output channels that share copied rows. */
const SHARED_CHANNELS = 256;
/** Weights of fewer elements stay in the cache anyway; fewer pixels do not fill a tile. */
const FEWEST_WEIGHTS = 1 << 14;
const FEWEST_PIXELS = 6;

interface Blocks {
  readonly tile: Tile;
  readonly panels: number;
  /** Runs of input elements that lie side by side for every pixel, the length of each. */
  readonly runs: number;
  readonly runLength: number;
  /** Blocks of depth in a run, elements in each. */
  readonly pieces: number;
  readonly depth: number;
  /** Pixels of a block, blocks (the last overlaps), rows of a block with those that fill its last tile. */
  readonly rows: number;
  readonly rowBlocks: number;
  readonly rowsHeld: number;
  /** Panels of a block of channels, blocks. */
  readonly panelBlock: number;
  readonly channelBlocks: number;
}

/** Cuts a run into the fewest equal pieces of at most `most` elements; null when it has no such divisor. */
function piecesOf(run: number, most: number): number | null {
  for (let pieces = ceilDiv(run, most); pieces <= 4 * ceilDiv(run, most); pieces++) {
    if (run % pieces === 0) return pieces;
  }
  return null;
}

function planBlocks(spec: F32Gemm): Blocks | null {
  const { geometry: g } = spec;
  const pixels = g.batch * g.oh * g.ow;
  const tile = tileF32(spec.caps ?? WASM, Math.min(pixels, 96), g.n);
  const width = panelWidth(tile);
  const whole = g.dw === 1 && !g.padded;
  const runs = whole ? g.kh : g.kh * g.kw;
  const runLength = whole ? g.kw * g.c : g.c;
  const pieces = piecesOf(runLength, Math.floor(PANEL_BYTES / 4 / width));
  if (pieces === null) return null;
  const depth = runLength / pieces;
  const most = Math.max(tile.mr, Math.floor(ROWS_BYTES / 4 / depth));
  const rowBlocks = ceilDiv(pixels, Math.min(most, pixels));
  const rows = ceilDiv(pixels, rowBlocks);
  const panels = ceilDiv(g.n, width);
  const panelBlock = Math.min(panels, Math.max(1, Math.floor(SHARED_CHANNELS / width)));
  // A height that every form's tile divides up to.
  const heights = [tile.mr, unfusedTile(tile).mr];
  const rowsHeld = Math.max(...heights.map((mr) => alignUp(rows, mr)));
  const channelBlocks = ceilDiv(panels, panelBlock);
  return {
    ...{ tile, panels, runs, runLength, pieces, depth, rows, rowBlocks, rowsHeld },
    ...{ panelBlock, channelBlocks },
  };
}

/** The plan of an f32 product in blocks, or null when the kernel cannot express it or blocks cannot pay. */
export function f32Im2rowPlan(spec: F32Gemm): GemmPlan | null {
  const { geometry: g } = spec;
  const pixels = g.batch * g.oh * g.ow;
  if (spec.weights === null || spec.bias === null || g.groups !== 1) return null;
  if (spec.weights.data.length < FEWEST_WEIGHTS || pixels < FEWEST_PIXELS) return null;
  if (spec.act !== undefined && SCALARS[spec.act.fn] === undefined) return null;
  const b = planBlocks(spec);
  if (b === null || (spec.residual !== null && g.n % b.tile.lanes !== 0)) return null;
  const width = panelWidth(b.tile);
  const depth = b.runs * b.runLength;
  const held = b.rowBlocks * alignUp(b.rows, b.tile.mr);
  const macs = held * depth * b.panels * width;
  const copied = 2 * b.rowBlocks * b.rows * depth * b.channelBlocks;
  const sums = 2 * held * b.panels * width * (1 + b.runs * b.pieces);
  const weights = b.rowBlocks * depth * b.panels * width;
  const work = { macs, bytes: 4 * (copied + sums + weights + pixels * g.n) };
  return { tile: b.tile, work, steps: () => [im2rowStep(spec, b)] };
}

function im2rowStep(spec: F32Gemm, b: Blocks): Step {
  const { geometry: g } = spec;
  const loops = { ...b, rows: 1, length: b.rows, flat: true, tiles: 1 };
  const operands: Operand[] = [
    { kind: "in", index: 0 },
    weightsOperand(spec, loops, packedSizes(g, loops).weights),
    { kind: "const", name: "bias", tensor: packBias(spec.bias ?? undefined, g, loops) },
    { kind: "out", index: 0 },
  ];
  if (spec.residual !== null) operands.push({ kind: "in", index: spec.residual });
  const builder = new Im2rowKernel(spec, b, b.tile);
  operands.push(...builder.scratch());
  const kernel = builder.build();
  const unfused = unfusedTile(b.tile);
  if ((spec.caps ?? WASM).fma !== "some" || unfused.mr === b.tile.mr) {
    return { kernel, operands, args: [] };
  }
  const base = new Im2rowKernel(spec, b, unfused).build();
  return { kernel: { ...base, forms: { fma: kernel } }, operands, args: [] };
}

class Im2rowKernel {
  private readonly k: KernelBuilder;
  private readonly spec: F32Gemm;
  private readonly g: ConvGeometry;
  private readonly b: Blocks;
  private readonly tile: Tile;
  private readonly width: number;
  private readonly x: Buffer;
  private readonly w: Buffer;
  private readonly bias: Buffer;
  private readonly y: Buffer;
  private readonly residual: Buffer | null;
  /** [row][depth of a block]. */
  private readonly rows: Buffer;
  /** [panel of the block][row][channel of the panel]. */
  private readonly sums: Buffer;

  constructor(spec: F32Gemm, b: Blocks, tile: Tile) {
    const { geometry: g } = spec;
    const width = panelWidth(tile);
    const pixels = g.batch * g.oh * g.ow;
    const k = new KernelBuilder(`f32_im2row_${tile.mr}x${width}`);
    [this.k, this.spec, this.g, this.b, this.tile, this.width] = [k, spec, g, b, tile, width];
    this.x = k.buffer("x", "f32", g.batch * g.h * g.w * g.c, "in");
    this.w = k.buffer("w", "f32", b.panels * b.runs * b.runLength * width, "const");
    this.bias = k.buffer("bias", "f32", b.panels * width, "const");
    this.y = k.buffer("y", "f32", pixels * g.n, "out");
    this.residual = spec.residual === null ? null : k.buffer("r", "f32", pixels * g.n, "in");
    this.rows = k.buffer("rows", "f32", b.rowsHeld * b.depth, "work");
    this.sums = k.buffer("sums", "f32", b.panelBlock * b.rowsHeld * width, "work");
  }

  scratch(): Operand[] {
    return [this.rows, this.sums].map((s) => ({ kind: "work", id: s.name, bytes: 4 * s.size }));
  }

  build(): Kernel {
    const { k, g, b, tile } = this;
    const spare = alignUp(b.rows, tile.mr) - b.rows;
    if (spare > 0) k.fill(this.rows, i32(b.rows * b.depth), 0, spare * b.depth);
    const last = g.batch * g.oh * g.ow - b.rows;
    k.forParallel("block", 0, b.rowBlocks, (block) => {
      const first = k.let("first", min(mul(block, b.rows), last));
      k.forParallel("channels", 0, b.channelBlocks, (index) => this.channelBlock(first, index), {
        tag: "outline",
      });
    });
    return k.build();
  }

  private channelBlock(first: Expr, index: Expr): void {
    const { k, b } = this;
    const panel0 = k.let("panel0", mul(index, b.panelBlock));
    const exact = b.panels % b.panelBlock === 0;
    const rest = binary("sub", i32(b.panels), panel0);
    const count = exact ? i32(b.panelBlock) : k.let("count", min(rest, b.panelBlock));
    k.for("panel", 0, count, (p) => this.startSums(panel0, p));
    const perRow = b.runs / this.g.kh;
    k.for("ky", 0, this.g.kh, (ky) => {
      k.for("kx", 0, perRow, (kx) => {
        k.for("piece", 0, b.pieces, (piece) => {
          this.copyRows(first, ky, kx, piece);
          const run = k.let("run", affine([ky, perRow], kx));
          const at = k.let("k0", affine([run, b.runLength], [piece, b.depth]));
          k.for("panel", 0, count, (p) => this.addBlock(panel0, p, at));
        });
      });
    });
    k.for("panel", 0, count, (p) => this.finish(first, panel0, p));
  }

  private startSums(panel0: Expr, panel: Expr): void {
    const { k, b, tile, width, sums } = this;
    const at = k.let("b0", mul(add(panel0, panel), width));
    const start = Array.from({ length: tile.nv }, (_, j) =>
      k.let("b", k.load(this.bias, add(at, tile.lanes * j), vectorType(tile))),
    );
    const to = k.let("to", mul(panel, b.rowsHeld * width));
    k.for("row", 0, alignUp(b.rows, tile.mr), (r) => {
      start.forEach((v, j) => k.store(sums, affine(to, [r, width], tile.lanes * j), v));
    });
  }

  /** Copies what one block of depth reads for every pixel of the block. */
  private copyRows(first: Expr, ky: Expr, kx: Expr, piece: Expr): void {
    const { k, g, b, x, rows } = this;
    const offset = k.let("offset", mul(piece, b.depth));
    k.for("p", 0, b.rows, (p) => {
      const pixel = k.let("pixel", add(first, p));
      const to = mul(p, b.depth);
      const image = k.let("image", binary("div", pixel, i32(g.oh * g.ow)));
      const within = k.let("within", binary("rem", pixel, i32(g.oh * g.ow)));
      const [oy, ox] = [binary("div", within, i32(g.ow)), binary("rem", within, i32(g.ow))];
      const iy = k.let("iy", affine([oy, g.sh], [ky, g.dh], -g.padTop));
      const ix = k.let("ix", affine([ox, g.sw], [kx, g.dw], -g.padLeft));
      const pixelAt = affine([image, g.h * g.w], [iy, g.w], ix);
      const copy = (): void => k.copy(rows, to, x, affine([pixelAt, g.c], offset), b.depth);
      if (!g.padded) {
        copy();
        return;
      }
      const inside = (v: Expr, limit: number): Expr => and(lt(-1, v), lt(v, limit));
      k.if(and(inside(iy, g.h), inside(ix, g.w)), copy, () => k.fill(rows, to, 0, b.depth));
    });
  }

  /** Adds the products of a block of depth to the sums of one panel. */
  private addBlock(panel0: Expr, panel: Expr, at: Expr): void {
    const { k, b, tile, width, sums } = this;
    const type = vectorType(tile);
    const full = b.runs * b.runLength * width;
    const weights = k.let("w0", affine([add(panel0, panel), full], [at, width]));
    const first = k.let("s0", mul(panel, b.rowsHeld * width));
    k.for("tile", 0, ceilDiv(b.rows, tile.mr), (t) => {
      const from = k.let("from", affine(first, [t, tile.mr * width]));
      const cell = (r: number, j: number): Expr => add(from, r * width + tile.lanes * j);
      const acc = Array.from({ length: tile.mr }, (_, r) =>
        Array.from({ length: tile.nv }, (_, j) => k.reg("acc", k.load(sums, cell(r, j), type))),
      );
      const a = k.let("a0", mul(t, tile.mr * b.depth));
      const left = { buffer: this.rows, at: a, stride: b.depth };
      addProducts(k, tile, acc, left, { buffer: this.w, at: weights }, b.depth);
      acc.forEach((row, r) => row.forEach((s, j) => k.store(sums, cell(r, j), s)));
    });
  }

  private finish(first: Expr, panel0: Expr, panel: Expr): void {
    const { k, g, b, tile, width, sums } = this;
    const { act } = this.spec;
    const type = vectorType(tile);
    const channel = k.let("channel", mul(add(panel0, panel), width));
    const from = k.let("s0", mul(panel, b.rowsHeld * width));
    const to = k.let("y0", affine([first, g.n], channel));
    for (let j = 0; j < tile.nv; j++) {
      forValidLanes(k, b, g.n, channel, j, (lanes) => {
        k.for("row", 0, b.rows, (r) => {
          const at = k.let("yp", affine(to, [r, g.n], tile.lanes * j));
          let v = k.load(sums, affine(from, [r, width], tile.lanes * j), type);
          if (this.residual !== null) v = add(v, k.load(this.residual, at, type));
          if (act !== undefined) v = SCALARS[act.fn]!.expr(k.let("t", v), act);
          storeLanes(k, this.y, at, v, lanes);
        });
      });
    }
  }
}
