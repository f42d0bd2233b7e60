/**
 * @file The integer matrix kernel, in two forms that read the same packed weights and give the same
 * integers: dot8 (engines with an exact 8-bit dot; four products a lane) and dot16 (every engine; activations
 * widened to i16, two products a lane). Sums stay in registers until they are requantised and stored.
 */
import {
  add,
  affine,
  binary,
  cast,
  constant,
  dot8,
  dot16,
  type ExprLike,
  i32,
  KernelBuilder,
  min,
  mul,
  shuffle,
  splat,
} from "../../kernel/build.ts";
import type { Buffer, Expr, Kernel } from "../../kernel/ir.ts";
import { tableConstant } from "../../ops/quant/requantize-rule.ts";
import { ceilDiv } from "../../util/math.ts";
import type { Operand, Step } from "../primitive.ts";
import { storeSums } from "./byte-results.ts";
import { gemmMacs, type Loops, panelWidth, planLoops, type Tile } from "./geometry.ts";
import {
  type I8Gemm,
  lastPanel,
  type Parameter,
  packWeights,
  panelChannels,
  QUAD_ORDER,
  quads,
  requantParameters,
  startValues,
} from "./i8-pack.ts";
import { forEachRow, forEachRun } from "./loops.ts";
import type { GemmPlan } from "./plan.ts";
import { isTame } from "./quantised.ts";
import { fillBorders, packRows, type RowMover, workspaceSize } from "./rows.ts";

/** Tile heights and the vectors of channels each can hold (15 vector registers on x64). */
const VECTORS: Readonly<Record<number, number>> = { 1: 8, 2: 4, 3: 2, 4: 2, 5: 2 };

/** Instructions of a tile: per quad, products and sums, spread inputs, weights; then the results. */
const tileCost = (mr: number, nv: number, depth: number): number =>
  depth * (4 * mr * nv + 2 * mr + 4 * nv) + 5 * mr * nv + 3 * mr * ceilDiv(nv, 2) + 2 * nv + 12;

/** The tile that needs the fewest instructions for a row of `length` pixels and `n` channels. */
function tileI8(length: number, n: number, depth: number): Tile {
  let best: { readonly tile: Tile; readonly time: number } | null = null;
  for (const [key, limit] of Object.entries(VECTORS)) {
    const mr = Number(key);
    if (mr > length) continue;
    for (let nv = 1; nv <= limit && (nv === 1 || 4 * nv <= n); nv++) {
      const time = ceilDiv(length, mr) * ceilDiv(n, 4 * nv) * tileCost(mr, nv, depth);
      if (best === null || time <= best.time) best = { tile: { mr, nv, lanes: 4 }, time };
    }
  }
  return best!.tile;
}

/** The plan of an integer product, or null when the rule has no vector form. */
export function i8GemmPlan(spec: I8Gemm): GemmPlan | null {
  if (spec.rule.vectorTables === null) return null;
  const { geometry: g } = spec;
  const depth = ceilDiv((g.kh * g.kw * g.c) / g.groups, 4);
  const loops = planLoops(g, (length, n) => tileI8(length, n, depth));
  const bytes = g.batch * (g.h * g.w * g.c + g.oh * g.ow * g.n) + spec.weights.data.length;
  const packed = 2 * loops.rows * workCount(spec, loops);
  const work = { macs: gemmMacs(g, loops), bytes: bytes + packed };
  return { tile: loops.tile, work, steps: () => [i8GemmStep(spec, loops)] };
}

/** The call of the kernel. */
function i8GemmStep(spec: I8Gemm, loops: Loops): Step {
  const { geometry: g } = spec;
  const weights = packWeights(spec.weights, g, loops);
  const starts = startValues(spec, loops);
  const params = requantParameters(spec.rule, panelChannels(g, loops))!;
  const shape: Shape = {
    spec,
    loops,
    params,
    tame: isTame(spec, g.n),
    weightCount: weights.data.length,
    startCount: starts.data.length,
  };
  const base = new I8Kernel(shape, "dot16").build();
  const kernel: Kernel = { ...base, forms: { dot8: new I8Kernel(shape, "dot8").build() } };
  const operands: Operand[] = [
    { kind: "in", index: 0 },
    { kind: "const", name: "weights", tensor: weights },
    { kind: "const", name: "bias", tensor: starts },
  ];
  for (const p of params) {
    if (p.tensor !== null) operands.push({ kind: "const", name: p.table.name, tensor: p.tensor });
  }
  operands.push({ kind: "out", index: 0 });
  operands.push({ kind: "work", id: "rows", bytes: 2 * workCount(spec, loops) });
  return { kernel, operands, args: ["flip"] };
}

/** Workspace elements; the last run may be read up to three elements too far. */
const workCount = (spec: I8Gemm, loops: Loops): number => workspaceSize(spec.geometry, loops) + 4;

interface Shape {
  readonly spec: I8Gemm;
  readonly loops: Loops;
  readonly params: readonly Parameter[];
  readonly tame: boolean;
  readonly weightCount: number;
  readonly startCount: number;
}

type Form = "dot8" | "dot16";

/** A panel of channels: its number over all groups, its group, its first channel in the group. */
interface Panel {
  readonly index: Expr;
  readonly group: Expr;
  readonly channel: Expr;
}

/** Builds one form of the kernel. */
class I8Kernel {
  private readonly k: KernelBuilder;
  private readonly shape: Shape;
  private readonly form: Form;
  private readonly x: Buffer;
  private readonly w: Buffer;
  private readonly start: Buffer;
  private readonly tables: readonly (Buffer | null)[];
  private readonly y: Buffer;
  private readonly work: Buffer;
  private readonly flip: Expr;
  /** dot8: quads of the workspace already lie in QUAD_ORDER. */
  private readonly ordered: boolean;

  constructor(shape: Shape, form: Form) {
    const { spec, loops, params } = shape;
    const g = spec.geometry;
    const k = new KernelBuilder(`i8_gemm_${form}_${loops.tile.mr}x${panelWidth(loops.tile)}`);
    [this.k, this.shape, this.form] = [k, shape, form];
    const channels = g.groups * loops.panels * panelWidth(loops.tile);
    this.x = k.buffer("x", spec.xDtype, g.batch * g.h * g.w * g.c, "in");
    this.w = k.buffer("w", "i8", shape.weightCount, "const");
    this.start = k.buffer("bias", "i32", shape.startCount, "const");
    this.tables = params.map((p) =>
      p.tensor === null ? null : k.buffer(p.table.name, p.table.dtype, channels, "const"),
    );
    this.y = k.buffer("y", spec.yDtype, g.batch * g.oh * g.ow * g.n, "out");
    this.work = k.buffer("rows", form === "dot8" ? "i8" : "i16", workCount(spec, loops), "work");
    this.flip = k.arg("flip", "i32");
    this.ordered = g.c % 4 === 0 && (g.c / g.groups) % 4 === 0;
  }

  build(): Kernel {
    const { k } = this;
    const { spec, loops } = this.shape;
    const g = spec.geometry;
    const mover = this.mover();
    fillBorders(g, loops, mover);
    forEachRow(k, g, loops, (row) => {
      packRows(k, g, loops, row, mover);
      k.forParallel("group", 0, g.groups, (group) => {
        k.forParallel("panel", 0, loops.panels, (p) => {
          const index = k.let("panel_index", affine([group, loops.panels], p));
          const start = mul(p, panelWidth(loops.tile));
          const last = lastPanel(g, loops);
          const whole = last % panelWidth(loops.tile) === 0 || loops.panels === 1;
          const channel = k.let("channel", whole ? start : min(start, last));
          this.tiles({ index, group, channel }, row.y);
        });
      });
    });
    return k.build();
  }

  /** All tiles of a row in a panel. */
  private tiles(panel: Panel, y: Expr): void {
    const { k } = this;
    const { spec, loops } = this.shape;
    const g = spec.geometry;
    const { mr } = loops.tile;
    const to = k.let("y_panel", affine(y, [panel.group, g.n / g.groups], panel.channel));
    k.forParallel("tile", 0, loops.tiles, (t) => {
      const start = mul(t, mr);
      const pixel = loops.length % mr === 0 ? start : k.let("pixel", min(start, loops.length - mr));
      const step = loops.flat ? g.c : g.sw * g.c;
      const first = k.let("a0", affine([pixel, step], [panel.group, g.c / g.groups]));
      const sums = this.accumulate(panel, first);
      this.finish(panel, sums, k.let("yp", affine(to, [pixel, g.n])));
    });
  }

  /** Moves input bytes into the workspace in the form the dot product reads. */
  private mover(): RowMover {
    const { k, x, work, form } = this;
    const { xDtype, xZero } = this.shape.spec;
    if (form === "dot16") {
      return {
        copy: (from, to, count) => {
          const one = (f: Expr, t: Expr): void => k.store(work, t, k.load(x, f));
          this.vectors(count, 8, from, to, one, (f, t) => k.store(work, t, k.load(x, f, "i16x8")));
        },
        fill: (to, count) => this.fillWith(to, count, constant("i16x8", xZero), i32(xZero), 8),
      };
    }
    const toSigned = xDtype === "u8" ? 0x80808080 | 0 : 0;
    const mask = k.let("mask", binary("xor", this.flip, i32(toSigned)));
    const wide = k.let("mask_v", cast("i8x16", "bits", splat("i32x4", mask)));
    const zero = k.let("zero", binary("xor", i32((xZero << 24) >> 24), mask));
    const order = (v: Expr): Expr => (this.ordered ? inQuadOrder(k, v) : v);
    const scalar = (f: Expr, t: Expr): void => k.store(work, t, binary("xor", k.load(x, f), mask));
    const quad = (f: Expr, t: Expr): void =>
      k.store(work, t, order(binary("xor", k.loadGroup(x, f, "i8x16", 4), wide)), 4);
    const sixteen = (f: Expr, t: Expr): void =>
      k.store(work, t, order(binary("xor", k.load(x, f, "i8x16"), wide)));
    return {
      copy: (from, to, count) => {
        if (this.ordered) this.vectors(count, 16, from, to, quad, sixteen, 4);
        else this.vectors(count, 16, from, to, scalar, sixteen);
      },
      fill: (to, count) => this.fillWith(to, count, splat("i8x16", zero), zero, 16),
    };
  }

  /** Moves `count` elements, `width` at a time; what is left is moved `part` at a time. */
  private vectors(
    count: number,
    width: number,
    from: Expr,
    to: Expr,
    small: (from: Expr, to: Expr) => void,
    vector: (from: Expr, to: Expr) => void,
    part = 1,
  ): void {
    const { k } = this;
    const whole = count - (count % width);
    k.for("i", 0, whole, (i) => vector(add(from, i), add(to, i)), { step: width });
    k.for("i", whole, count, (i) => small(add(from, i), add(to, i)), { step: part });
  }

  private fillWith(to: Expr, count: number, wide: Expr, one: Expr, width: number): void {
    const { k, work } = this;
    const v = k.let("pad", wide);
    const whole = count - (count % width);
    k.for("i", 0, whole, (i) => k.store(work, add(to, i), v), { step: width });
    k.for("i", whole, count, (i) => k.store(work, add(to, i), one));
  }

  /** The sums of a tile, [mr][nv]. */
  private accumulate(panel: Panel, first: Expr): Expr[][] {
    const { k } = this;
    const { spec, loops } = this.shape;
    const g = spec.geometry;
    const { mr, nv } = loops.tile;
    const width = 16 * nv;
    const starts = Array.from({ length: nv }, (_, j) => {
      const at = affine(this.startOffset(), [panel.index, 4 * nv], 4 * j);
      return k.let("start", k.load(this.start, at, "i32x4"));
    });
    const acc = Array.from({ length: mr }, () => starts.map((s) => k.reg("acc", s)));
    const weights = k.let("w0", mul(panel.index, quads(loops) * width));
    const perRun = ceilDiv(loops.runLength, 4);
    const left = loops.runLength % 4;
    // A last quad of one or two elements is a pair.
    const whole = this.form === "dot16" && (left === 1 || left === 2) ? perRun - 1 : perRun;
    forEachRun(k, g, loops, loops.flat ? 0 : g.span * g.c, (offset, run) => {
      const a = add(first, offset);
      const w = affine(weights, [run, perRun * width]);
      const at = (i: ExprLike): [Expr, Expr] => [affine(a, [i, 4]), affine(w, [i, width])];
      k.for("k", 0, whole, (i) => this.quad(acc, ...at(i), 2));
      if (whole < perRun) this.quad(acc, ...at(whole), 1);
    });
    return acc;
  }

  /** Adds the products of a quad, or of its first pair. */
  private quad(acc: readonly (readonly Expr[])[], a: Expr, w: Expr, pairs: number): void {
    const { k, form, work } = this;
    const { loops } = this.shape;
    const g = this.shape.spec.geometry;
    const step = loops.flat ? g.c : g.sw * g.c;
    const weights = (j: number): Expr => k.load(this.w, affine(w, 16 * j), "i8x16");
    if (form === "dot8") {
      const ws = acc[0]!.map((_, j) => k.let("wv", weights(j)));
      acc.forEach((row, r) => {
        const loaded = k.loadGroup(work, affine(a, r * step), "i8x16", 4);
        const av = k.let("av", this.ordered ? loaded : inQuadOrder(k, loaded));
        row.forEach((sum, j) => k.set(sum, dot8(ws[j]!, av, sum)));
      });
      return;
    }
    const input = (r: number, pair: number): Expr =>
      k.let("av", k.loadGroup(work, affine(a, r * step + 2 * pair), "i16x8", 2));
    const words = (j: number): Expr => k.let("v", cast("i16x8", "bits", weights(j)));
    const product = (sum: Expr, wv: Expr, av: Expr): void => k.set(sum, add(sum, dot16(wv, av)));
    if (acc.length <= 2) {
      const inputs = acc.map((_, r) => Array.from({ length: pairs }, (__, p) => input(r, p)));
      acc[0]!.forEach((_, j) => {
        const v = words(j);
        for (let p = 0; p < pairs; p++) {
          const wv = k.let("wv", pairOf(v, p));
          acc.forEach((row, r) => product(row[j]!, wv, inputs[r]![p]!));
        }
      });
      return;
    }
    const vs = acc[0]!.map((_, j) => words(j));
    for (let p = 0; p < pairs; p++) {
      const ws = vs.map((v) => k.let("wv", pairOf(v, p)));
      acc.forEach((row, r) => {
        const av = input(r, p);
        row.forEach((sum, j) => product(sum, ws[j]!, av));
      });
    }
  }

  /** Requantises and stores the sums of a tile. */
  private finish(panel: Panel, acc: readonly (readonly Expr[])[], yp: Expr): void {
    const { k, y } = this;
    const { spec, loops, params, tame } = this.shape;
    const g = spec.geometry;
    const { nv } = loops.tile;
    const lanes = Math.min(4, g.n / g.groups);
    const values = acc[0]!.map((sum, j) =>
      params.map((p, i) => {
        const buffer = this.tables[i];
        if (buffer == null) return tableConstant(p.table, sum);
        const at = affine([panel.index, 4 * nv], 4 * j);
        return k.let("m", k.load(buffer, at, p.table.dtype === "f32" ? "f32x4" : "i32x4"));
      }),
    );
    const result = { rule: spec.rule, yDtype: spec.yDtype, tame };
    for (let j = 0; j < nv; j += 2) {
      const pair = j + 1 < nv ? [j, j + 1] : [j];
      acc.forEach((row, r) => {
        const sums = pair.map((i) => row[i]!);
        const of = pair.map((i) => values[i]!);
        const count = pair.length === 2 ? 8 : lanes;
        storeSums(k, y, affine(yp, r * g.n + 4 * j), result, sums, of, count);
      });
    }
  }

  /** Which of the three start tables applies (see startValues). */
  private startOffset(): ExprLike {
    if (this.form === "dot16") return 0;
    const count = this.shape.startCount / 3;
    return affine(count, [binary("shr_u", this.flip, i32(31)), count]);
  }
}

/** The even (0) or odd (1) bytes of a vector as i16. */
const pairOf = (v: Expr, pair: number): Expr =>
  binary("shr", pair === 0 ? binary("shl", v, i32(8)) : v, i32(8));

/** The bytes of each quad in QUAD_ORDER. */
function inQuadOrder(k: KernelBuilder, v: Expr): Expr {
  const bytes = k.let("bytes", v);
  const indices = Array.from({ length: 16 }, (_, i) => (i & ~3) + QUAD_ORDER[i & 3]!);
  return shuffle(bytes, bytes, indices);
}
