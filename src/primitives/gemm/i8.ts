/**
 * @file The integer matrix kernel, in two forms that read the same packed weights and give the same
 * integers: dot8 (engines with an exact 8-bit dot; four products a lane) and dot16 (every engine; activations
 * widened to i16, two products a lane, pairs of lanes summed at the end).
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
  lt,
  narrow,
  shuffle,
  splat,
} from "../../kernel/build.ts";
import type { Buffer, Expr, Kernel } from "../../kernel/ir.ts";
import { tableConstant } from "../../ops/quant/requantize-rule.ts";
import { ceilDiv } from "../../util/math.ts";
import type { Operand, Step } from "../primitive.ts";
import { gemmMacs, type Loops, pickTile, planLoops, type Tile } from "./geometry.ts";
import {
  type Byte,
  type I8Gemm,
  type Parameter,
  packWeights,
  quads,
  requantParameters,
  startValues,
} from "./i8-pack.ts";
import { forEachRow, forEachRun, forEachTile } from "./loops.ts";
import type { GemmPlan } from "./plan.ts";
import { fillBorders, packRows, type RowMover, workspaceSize } from "./rows.ts";

/** Tile heights that leave a register for the products (15 vector registers on x64). */
const VECTORS: Readonly<Record<number, number>> = { 1: 8, 2: 4, 3: 3, 4: 2, 5: 2 };
const THROUGHPUT: Readonly<Record<number, number>> = { 1: 38, 2: 60, 3: 70, 4: 83, 5: 84 };

const tileI8 = (length: number, n: number): Tile => pickTile(length, n, VECTORS, THROUGHPUT);
/** The plan of an integer product, or null when the rule has no vector form. */
export function i8GemmPlan(spec: I8Gemm): GemmPlan | null {
  const { geometry: g } = spec;
  const loops = planLoops(g, tileI8);
  const params = requantParameters(spec.rule, g, loops);
  if (params === null) return null;
  const bytes = g.batch * (g.h * g.w * g.c + g.oh * g.ow * g.n) + spec.weights.data.length;
  const packed = 2 * loops.rows * workCount(spec, loops);
  const work = { macs: gemmMacs(g, loops), bytes: bytes + packed };
  return { tile: loops.tile, work, step: () => i8GemmStep(spec, loops, params) };
}

/** The call of the kernel. */
function i8GemmStep(spec: I8Gemm, loops: Loops, params: readonly Parameter[]): Step {
  const { geometry: g } = spec;
  const weights = packWeights(spec.weights, g, loops);
  const starts = startValues(spec, loops);
  const shape: Shape = {
    spec,
    loops,
    params,
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
  operands.push({ kind: "work", id: "sums", bytes: 4 * sumCount(loops) });
  return { kernel, operands, args: ["flip"] };
}

/** Workspace elements; the last run may be read up to three elements too far. */
const workCount = (spec: I8Gemm, loops: Loops): number => workspaceSize(spec.geometry, loops) + 4;

/** Accumulators of a tile. */
const sumCount = (loops: Loops): number => 4 * loops.tile.mr * loops.tile.nv;

interface OpenPanel {
  readonly panel: Expr;
  readonly group: Expr;
  readonly channel: Expr;
}

interface Shape {
  readonly spec: I8Gemm;
  readonly loops: Loops;
  readonly params: readonly Parameter[];
  readonly weightCount: number;
  readonly startCount: number;
}

type Form = "dot8" | "dot16";

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
  private readonly sums: Buffer;
  private readonly flip: Expr;

  constructor(shape: Shape, form: Form) {
    const { spec, loops, params } = shape;
    const g = spec.geometry;
    const k = new KernelBuilder(`i8_gemm_${form}_${loops.tile.mr}x${4 * loops.tile.nv}`);
    this.k = k;
    this.shape = shape;
    this.form = form;
    const channels = g.groups * loops.panels * 4 * loops.tile.nv;
    this.x = k.buffer("x", spec.xDtype, g.batch * g.h * g.w * g.c, "in");
    this.w = k.buffer("w", "i8", shape.weightCount, "const");
    this.start = k.buffer("bias", "i32", shape.startCount, "const");
    this.tables = params.map((p) =>
      p.tensor === null ? null : k.buffer(p.table.name, p.table.dtype, channels, "const"),
    );
    this.y = k.buffer("y", spec.yDtype, g.batch * g.oh * g.ow * g.n, "out");
    this.work = k.buffer("rows", form === "dot8" ? "i8" : "i16", workCount(spec, loops), "work");
    this.sums = k.buffer("sums", "i32", sumCount(loops), "work");
    this.flip = k.arg("flip", "i32");
  }

  build(): Kernel {
    const { k } = this;
    const { spec, loops } = this.shape;
    const g = spec.geometry;
    const mover = this.mover();
    fillBorders(g, loops, mover);
    forEachRow(k, g, loops, (row) => {
      packRows(k, g, loops, row, mover);
      // dot16 makes several passes over a panel, few columns at a time: its accumulators hold pairs.
      const columns = this.columnsPerPass();
      let open: OpenPanel | null = null;
      forEachTile(
        k,
        g,
        loops,
        (panel, group, channel) => {
          open = { panel, group, channel };
        },
        (pixel) => {
          const { panel, group, channel } = open!;
          const step = loops.flat ? g.c : g.sw * g.c;
          const first = k.let("a0", affine([pixel, step], [group, g.c / g.groups]));
          const base = affine(row.y, [pixel, g.n], [group, g.n / g.groups], channel);
          const yp = k.let("yp", base);
          k.for(
            "column",
            0,
            4 * loops.tile.nv,
            (column) => this.accumulate(panel, first, column, columns),
            { step: columns },
          );
          this.finish(panel, channel, yp);
        },
      );
    });
    return k.build();
  }

  private columnsPerPass(): number {
    const { mr, nv } = this.shape.loops.tile;
    if (this.form === "dot8") return 4 * nv;
    return Math.min(4 * nv, mr >= 4 ? 4 : mr === 3 ? 4 : mr === 2 ? 8 : 16);
  }

  /** Moves input bytes into the workspace in the form the dot product reads. */
  private mover(): RowMover {
    const { k, x, work, form } = this;
    const { xDtype, xZero } = this.shape.spec;
    if (form === "dot16") {
      return {
        copy: (from, to, count) => {
          this.vectors(count, 8, from, to, (f, t) => k.store(work, t, k.load(x, f, "i16x8")));
        },
        fill: (to, count) => this.fillWith(to, count, constant("i16x8", xZero), i32(xZero), 8),
      };
    }
    const toSigned = xDtype === "u8" ? 0x80808080 | 0 : 0;
    const mask = k.let("mask", binary("xor", this.flip, i32(toSigned)));
    const wide = k.let("mask_v", cast("i8x16", "bits", splat("i32x4", mask)));
    const zero = k.let("zero", binary("xor", i32((xZero << 24) >> 24), mask));
    return {
      copy: (from, to, count) => {
        this.vectors(
          count,
          16,
          from,
          to,
          (f, t) => k.store(work, t, binary("xor", k.load(x, f, "i8x16"), wide)),
          (f, t) => k.store(work, t, binary("xor", k.load(x, f), mask)),
        );
      },
      fill: (to, count) => this.fillWith(to, count, splat("i8x16", zero), zero, 16),
    };
  }

  /** Moves `count` elements, `width` at a time; what is left is moved element by element. */
  private vectors(
    count: number,
    width: number,
    from: Expr,
    to: Expr,
    vector: (from: Expr, to: Expr) => void,
    scalar: (from: Expr, to: Expr) => void = (f, t) =>
      this.k.store(this.work, t, this.k.load(this.x, f)),
  ): void {
    const { k } = this;
    const whole = count - (count % width);
    k.for("i", 0, whole, (i) => vector(add(from, i), add(to, i)), { step: width });
    k.for("i", whole, count, (i) => scalar(add(from, i), add(to, i)));
  }

  private fillWith(to: Expr, count: number, wide: Expr, one: Expr, width: number): void {
    const { k, work } = this;
    const v = k.let("pad", wide);
    const whole = count - (count % width);
    k.for("i", 0, whole, (i) => k.store(work, add(to, i), v), { step: width });
    k.for("i", whole, count, (i) => k.store(work, add(to, i), one));
  }

  /** Leaves the sums of the panel's columns from `column` in the scratch buffer [mr][4 * nv]. */
  private accumulate(panel: Expr, first: Expr, column: Expr, columns: number): void {
    const { k, form, work, w } = this;
    const { spec, loops } = this.shape;
    const g = spec.geometry;
    const { mr, nv } = loops.tile;
    const width = 16 * nv;
    const perVector = form === "dot8" ? 4 : 2;
    const acc = Array.from({ length: mr }, () =>
      Array.from({ length: columns / perVector }, () => k.reg("acc", constant("i32x4", 0))),
    );
    const weights = k.let("w0", affine([panel, quads(loops) * width], [column, 4]));
    const type = form === "dot8" ? "i8x16" : "i16x8";
    const step = (a: Expr, wp: Expr): void => {
      const ws = acc[0]!.map((_, j) => k.let("wv", k.load(w, add(wp, 4 * perVector * j), type)));
      for (let r = 0; r < mr; r++) {
        const at = affine(a, r * (loops.flat ? g.c : g.sw * g.c));
        const av = k.let("av", k.loadGroup(work, at, type, 4));
        ws.forEach((wv, j) => {
          const sum = acc[r]![j]!;
          k.set(sum, form === "dot8" ? dot8(wv, av, sum) : add(sum, dot16(wv, av)));
        });
      }
    };
    const perRun = ceilDiv(loops.runLength, 4);
    forEachRun(k, g, loops, loops.flat ? 0 : g.span * g.c, (offset, run) => {
      const a = add(first, offset);
      const from = affine(weights, [run, perRun * width]);
      k.for("k", 0, perRun, (i) => step(affine(a, [i, 4]), affine(from, [i, width])));
    });
    acc.forEach((row, r) => {
      const sums = form === "dot8" ? row : sumPairs(row);
      sums.forEach((s, j) => k.store(this.sums, affine(column, r * 4 * nv + 4 * j), s));
    });
  }

  /** Requantises the sums of a panel: loops, since the code for one vector is long. */
  private finish(panel: Expr, channel: Expr, yp: Expr): void {
    const { k, y } = this;
    const { spec, loops, params } = this.shape;
    const g = spec.geometry;
    const width = 4 * loops.tile.nv;
    const vectors = loops.tile.nv % 2 === 0 ? 2 : 1;
    const block = (j: ExprLike): void => {
      const columns = Array.from({ length: vectors }, (_, v) => {
        const at = k.let("ch", affine([panel, width], j, 4 * v));
        const start = k.let("start", k.load(this.start, add(at, this.startOffset()), "i32x4"));
        const values = params.map((p, i) =>
          p.tensor === null
            ? tableConstant(p.table, start)
            : k.let("m", k.load(this.tables[i]!, at, p.table.dtype === "f32" ? "f32x4" : "i32x4")),
        );
        return { start, values };
      });
      k.for("r", 0, loops.tile.mr, (r) => {
        const from = affine([r, width], j);
        const qs = columns.map(({ start, values }, v) => {
          const sum = add(k.load(this.sums, add(from, 4 * v), "i32x4"), start);
          return k.let("q", spec.rule.expr(k.let("s", sum), values));
        });
        const to = k.let("to", affine(yp, [r, g.n], j));
        storeRow(k, y, to, qs, spec.yDtype, g.n / g.groups, width, add(channel, j));
      });
    };
    k.for("j", 0, width, block, { step: 4 * vectors });
  }

  /** Which of the three start tables applies (see startValues). */
  private startOffset(): ExprLike {
    if (this.form === "dot16") return 0;
    const count = this.shape.startCount / 3;
    return affine(count, [binary("shr_u", this.flip, i32(31)), count]);
  }
}

/** [c0a c0b c1a c1b] and [c2a c2b c3a c3b] to [c0 c1 c2 c3]. */
function sumPairs(row: readonly Expr[]): Expr[] {
  const out: Expr[] = [];
  for (let j = 0; j < row.length; j += 2) {
    const even = shuffle(row[j]!, row[j + 1]!, [0, 2, 4, 6]);
    const odd = shuffle(row[j]!, row[j + 1]!, [1, 3, 5, 7]);
    out.push(add(even, odd));
  }
  return out;
}

/** Stores one or two vectors as bytes, as far as the channels from `at` exist, of `channels` in panels of `width`. */
function storeRow(
  k: KernelBuilder,
  y: Buffer,
  to: Expr,
  qs: readonly Expr[],
  dtype: Byte,
  channels: number,
  width: number,
  at: Expr,
): void {
  const whole = (): void => {
    if (qs.length === 1) storeBytes(k, y, to, qs[0]!, dtype, 4);
    else storeEight(k, y, to, qs[0]!, qs[1]!, dtype);
  };
  if (channels % width === 0) {
    whole();
    return;
  }
  const tail = channels % 4;
  const parts = (): void =>
    qs.forEach((q, v) => {
      const first = add(at, 4 * v);
      const store = (lanes: number) => () => storeBytes(k, y, add(to, 4 * v), q, dtype, lanes);
      ifBelow(k, first, channels - tail, store(4), () => ifBelow(k, first, channels, store(tail)));
    });
  ifBelow(k, at, channels - 4 * qs.length + 1, whole, parts);
}

/** A choice by `at < limit`, made now where it can be: what is out of bounds is not even written. `at` >= 0. */
function ifBelow(
  k: KernelBuilder,
  at: Expr,
  limit: number,
  then: () => void,
  otherwise: () => void = () => {},
): void {
  if (limit <= 0) otherwise();
  else if (at.kind !== "const") k.if(lt(at, limit), then, otherwise);
  else if (Number(at.value) < limit) then();
  else otherwise();
}

/** Stores two i32x4 as eight bytes; the values are within the type's range. */
export function storeEight(
  k: KernelBuilder,
  y: Buffer,
  at: Expr,
  low: Expr,
  high: Expr,
  dtype: Byte,
): void {
  const words = k.let("h", narrow("i16x8", true, low, high));
  k.store(y, at, narrow("i8x16", dtype === "i8", words, words), 8);
}

/** Stores the first `lanes` lanes of an i32x4 as bytes; the values are within the type's range. */
export function storeBytes(
  k: KernelBuilder,
  y: Buffer,
  at: Expr,
  q: Expr,
  dtype: Byte,
  lanes: number,
): void {
  if (lanes === 4) {
    const words = k.let("h", narrow("i16x8", true, q, q));
    const bytes = narrow("i8x16", dtype === "i8", words, words);
    k.store(y, at, bytes, 4);
    return;
  }
  for (let i = 0; i < lanes; i++) {
    k.store(y, add(at, i), { kind: "extract", type: "i32", a: q, lane: i });
  }
}
