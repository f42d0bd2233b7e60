/**
 * @file The integer matrix kernel for targets with wide vectors: sums of mr pixels by nv vectors of channels in
 * registers, activations spread over a vector in groups of as many as the dot product takes (four bytes by dot8,
 * two 16-bit numbers by dot16). Pixels that lie as the dot product reads them are used in place.
 *
 * Weights: [group][panel][k / per][channel][per], i8, each run of input padded to a multiple of `per` with zeros.
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
  splat,
} from "../../kernel/build.ts";
import type { Buffer, Expr, KType } from "../../kernel/ir.ts";
import { tableConstant } from "../../ops/quant/requantize-rule.ts";
import { type Tensor, tensorOf } from "../../tensor/tensor.ts";
import { ceilDiv } from "../../util/math.ts";
import type { Capabilities } from "../capabilities.ts";
import type { Operand, Step } from "../primitive.ts";
import { storeWide } from "./byte-results.ts";
import { gemmMacs, type Loops, panelWidth, planLoops } from "./geometry.ts";
import {
  type I8Gemm,
  lastPanel,
  type Parameter,
  panelChannels,
  requantParameters,
  weightSums,
} from "./i8-pack.ts";
import { forEachRow, forEachRun, type Row } from "./loops.ts";
import type { GemmPlan } from "./plan.ts";
import { isTame } from "./quantised.ts";
import { fillBorders, packRows, type RowMover, workspaceSize } from "./rows.ts";
import { tileF32 } from "./tile.ts";

/** Elements that one lane of the dot product takes. */
type Per = 2 | 4;

interface Shape {
  readonly spec: I8Gemm;
  readonly loops: Loops;
  readonly per: Per;
  /** Pixels are read in place. */
  readonly direct: boolean;
  readonly params: readonly Parameter[];
  readonly starts: Tensor;
  readonly weights: Tensor;
  readonly tame: boolean;
}

/** The plan, or null when the rule has no vector form or the target no wide vectors. */
export function i8WidePlan(spec: I8Gemm, caps: Capabilities): GemmPlan | null {
  if (caps.vectorBytes < 32 || caps.dot8 === "some") return null;
  const { geometry: g } = spec;
  const per: Per = caps.dot8 === "all" ? 4 : 2;
  // One register holds what the input is xored with.
  const registers = { ...caps, registers: caps.registers - 1 };
  const loops = planLoops(g, (length, n) => tileF32(registers, length, n));
  const { wideTables, vectorTables } = spec.rule;
  if ((loops.tile.lanes > 4 ? wideTables : vectorTables) === null) return null;
  const direct = per === 4 && !g.padded && loops.runLength % 4 === 0 && g.c % 4 === 0;
  const bytes = g.batch * (g.h * g.w * g.c + g.oh * g.ow * g.n) + spec.weights.data.length;
  const moved = direct ? 0 : (4 / per) * loops.rows * workCount(spec, loops);
  const work = { macs: gemmMacs(g, loops), bytes: bytes + moved };
  return { tile: loops.tile, work, steps: () => [i8WideStep(spec, loops, per, direct)] };
}

/** Workspace elements; the last group may be read a few elements too far. */
const workCount = (spec: I8Gemm, loops: Loops): number => workspaceSize(spec.geometry, loops) + 4;

/** Groups of `per` elements in a run, and in all runs. */
const perRun = (loops: Loops, per: Per): number => ceilDiv(loops.runLength, per);
const depthOf = (loops: Loops, per: Per): number => loops.runs * perRun(loops, per);

function packWeights({ weights, geometry: g }: I8Gemm, loops: Loops, per: Per): Tensor {
  const width = panelWidth(loops.tile);
  const depth = loops.runs * loops.runLength;
  const channels = panelChannels(g, loops);
  const packed = new Int8Array(channels.length * depthOf(loops, per) * per);
  channels.forEach((o, i) => {
    if (o < 0) return;
    const first = Math.floor(i / width) * depthOf(loops, per);
    for (let e = 0; e < depth; e++) {
      const run = Math.floor(e / loops.runLength);
      const inRun = e % loops.runLength;
      const group = first + run * perRun(loops, per) + Math.floor(inRun / per);
      packed[(group * width + (i % width)) * per + (inRun % per)] = weights.data[
        o * depth + e
      ] as number;
    }
  });
  return { type: { dtype: "i8", shape: [packed.length] }, data: packed };
}

/** The bias less the zero point's share, for input read as stored, then as signed and as unsigned bytes. */
function startValues(spec: I8Gemm, loops: Loops): Tensor {
  const sums = weightSums(spec.weights, spec.geometry.n);
  const channels = panelChannels(spec.geometry, loops);
  const signed = spec.xDtype === "u8" ? spec.xZero - 128 : spec.xZero;
  const values = [spec.xZero, signed, signed + 128].flatMap((zero) =>
    channels.map((o) => {
      const bias = o < 0 || spec.bias === undefined ? 0 : (spec.bias.data[o] as number);
      return o < 0 ? 0 : (bias - Math.imul(zero, sums[o]!)) | 0;
    }),
  );
  return tensorOf("i32", [values.length], values);
}

function i8WideStep(spec: I8Gemm, loops: Loops, per: Per, direct: boolean): Step {
  const { geometry: g } = spec;
  const shape: Shape = {
    spec,
    loops,
    per,
    direct,
    params: requantParameters(spec.rule, panelChannels(g, loops), loops.tile.lanes)!,
    starts: startValues(spec, loops),
    weights: packWeights(spec, loops, per),
    tame: isTame(spec, g.n),
  };
  const operands: Operand[] = [
    { kind: "in", index: 0 },
    { kind: "const", name: "weights", tensor: shape.weights },
    { kind: "const", name: "bias", tensor: shape.starts },
  ];
  for (const p of shape.params) {
    if (p.tensor !== null) operands.push({ kind: "const", name: p.table.name, tensor: p.tensor });
  }
  operands.push({ kind: "out", index: 0 });
  if (!direct) {
    operands.push({ kind: "work", id: "rows", bytes: (4 / per) * workCount(spec, loops) });
  }
  return { kernel: new WideKernel(shape).build(), operands, args: ["flip"] };
}

/** A panel of channels: its number over all groups, its group, its first channel in the group. */
interface Panel {
  readonly index: Expr;
  readonly group: Expr;
  readonly channel: Expr;
}

class WideKernel {
  private readonly k: KernelBuilder;
  private readonly shape: Shape;
  private readonly x: Buffer;
  private readonly w: Buffer;
  private readonly start: Buffer;
  private readonly tables: readonly (Buffer | null)[];
  private readonly y: Buffer;
  private readonly work: Buffer | null;
  private readonly flip: Expr;
  /** What direct input is xored with, as a vector. */
  private readonly mask: Expr | null;

  constructor(shape: Shape) {
    const { spec, loops, params, per, direct } = shape;
    const g = spec.geometry;
    const k = new KernelBuilder(`i8_wide_${loops.tile.mr}x${panelWidth(loops.tile)}`);
    [this.k, this.shape] = [k, shape];
    const channels = g.groups * loops.panels * panelWidth(loops.tile);
    this.x = k.buffer("x", spec.xDtype, g.batch * g.h * g.w * g.c, "in");
    this.w = k.buffer("w", "i8", shape.weights.data.length, "const");
    this.start = k.buffer("bias", "i32", shape.starts.data.length, "const");
    this.tables = params.map((p) =>
      p.tensor === null ? null : k.buffer(p.table.name, p.table.dtype, channels, "const"),
    );
    this.y = k.buffer("y", spec.yDtype, g.batch * g.oh * g.ow * g.n, "out");
    const dtype = per === 4 ? "i8" : "i16";
    this.work = direct ? null : k.buffer("rows", dtype, workCount(spec, loops), "work");
    this.flip = k.arg("flip", "i32");
    const words = (value: Expr): Expr => splat(`i32x${loops.tile.lanes}`, value);
    this.mask = direct
      ? k.let("mask", cast(this.operandType(), "bits", words(this.flipped())))
      : null;
  }

  /** What makes stored bytes what the dot product reads, in each byte. */
  private flipped(): Expr {
    const toSigned = this.shape.spec.xDtype === "u8" ? 0x80808080 | 0 : 0;
    return binary("xor", this.flip, i32(toSigned));
  }

  /** The vectors that the dot product multiplies. */
  private operandType(): KType {
    const { per, loops } = this.shape;
    return `${per === 4 ? "i8" : "i16"}x${per * loops.tile.lanes}`;
  }

  build(): ReturnType<KernelBuilder["build"]> {
    const { k, work } = this;
    const { spec, loops } = this.shape;
    const g = spec.geometry;
    const mover = work === null ? null : this.mover(work);
    if (mover !== null) fillBorders(g, loops, mover);
    forEachRow(k, g, loops, (row) => {
      if (mover !== null) packRows(k, g, loops, row, mover);
      k.forParallel("group", 0, g.groups, (group) => {
        k.forParallel("panel", 0, loops.panels, (p) => {
          const index = k.let("panel_index", affine([group, loops.panels], p));
          const start = mul(p, panelWidth(loops.tile));
          const last = lastPanel(g, loops);
          const whole = last % panelWidth(loops.tile) === 0 || loops.panels === 1;
          const channel = k.let("channel", whole ? start : min(start, last));
          this.tiles({ index, group, channel }, row);
        });
      });
    });
    return k.build();
  }

  /** All tiles of a row in a panel. */
  private tiles(panel: Panel, row: Row): void {
    const { k } = this;
    const { spec, loops, direct } = this.shape;
    const g = spec.geometry;
    const { mr } = loops.tile;
    const to = k.let("y_panel", affine(row.y, [panel.group, g.n / g.groups], panel.channel));
    k.for("tile", 0, loops.tiles, (t) => {
      const start = mul(t, mr);
      const pixel = loops.length % mr === 0 ? start : k.let("pixel", min(start, loops.length - mr));
      const origin = direct ? [row.x] : [];
      const input = affine(...origin, [pixel, this.pixelStep()], [panel.group, g.c / g.groups]);
      const sums = this.accumulate(panel, k.let("a0", input));
      this.finish(panel, sums, k.let("yp", affine(to, [pixel, g.n])));
    });
  }

  private pixelStep(): number {
    const { loops, spec } = this.shape;
    return loops.flat ? spec.geometry.c : spec.geometry.sw * spec.geometry.c;
  }

  /** Moves input bytes into the workspace in the form the dot product reads. */
  private mover(work: Buffer): RowMover {
    const { k, x } = this;
    const { per, loops } = this.shape;
    const { xZero } = this.shape.spec;
    const bytes = per === 4;
    const wide = Math.max(8, per * loops.tile.lanes);
    const type = (lanes: number): KType => `${bytes ? "i8" : "i16"}x${lanes}`;
    const mask = bytes ? k.let("mask", this.flipped()) : null;
    const masks = (lanes: number): Expr | null =>
      mask === null ? null : cast(type(lanes), "bits", splat(`i32x${lanes / 4}`, mask));
    const pad = (lanes: number): Expr => {
      const zero = constant(type(lanes), (xZero << 24) >> 24);
      return mask === null
        ? constant(type(lanes), xZero)
        : k.let("pad", binary("xor", zero, masks(lanes)!));
    };
    const flip = (v: Expr, m: Expr | null): Expr => (m === null ? v : binary("xor", v, m));
    const sizes = [wide, wide / 2, wide / 4].filter((n) => n >= (bytes ? 16 : 8));
    const chunks = (count: number, body: (i: ExprLike, lanes: number) => void): void => {
      let done = 0;
      for (const lanes of [...sizes, 1]) {
        const end = count - ((count - done) % lanes);
        k.for("i", done, end, (i) => body(i, lanes), { step: lanes });
        done = end;
      }
    };
    return {
      copy: (from, to, count) =>
        chunks(count, (i, lanes) => {
          const at = add(from, i);
          const v = lanes === 1 ? k.load(x, at) : k.load(x, at, type(lanes));
          k.store(work, add(to, i), flip(v, lanes === 1 ? mask : masks(lanes)));
        }),
      fill: (to, count) =>
        chunks(count, (i, lanes) => {
          const one = mask === null ? i32(xZero) : binary("xor", i32((xZero << 24) >> 24), mask);
          k.store(work, add(to, i), lanes === 1 ? one : pad(lanes));
        }),
    };
  }

  /** The sums of a tile, [mr][nv]. */
  private accumulate(panel: Panel, first: Expr): Expr[][] {
    const { k, work, x, mask } = this;
    const { spec, loops, per } = this.shape;
    const g = spec.geometry;
    const { mr, nv, lanes } = loops.tile;
    const width = panelWidth(loops.tile);
    const starts = Array.from({ length: nv }, (_, j) => {
      const at = affine(this.startOffset(), [panel.index, width], lanes * j);
      return k.let("start", k.load(this.start, at, `i32x${lanes}`));
    });
    const acc = Array.from({ length: mr }, () => starts.map((s) => k.reg("acc", s)));
    const weights = k.let("w0", mul(panel.index, depthOf(loops, per) * width * per));
    const type = this.operandType();
    const group = (a: Expr, w: Expr): void => {
      const ws = Array.from({ length: nv }, (_, j) =>
        k.let("wv", k.load(this.w, affine(w, per * lanes * j), type)),
      );
      for (let r = 0; r < mr; r++) {
        const spread = k.loadGroup(work ?? x, affine(a, r * this.pixelStep()), type, per);
        const av = k.let("av", mask === null ? spread : binary("xor", spread, mask));
        ws.forEach((wv, j) => {
          const sum = acc[r]![j]!;
          k.set(sum, per === 4 ? dot8(wv, av, sum) : add(sum, dot16(wv, av)));
        });
      }
    };
    const rowStride = work === null ? g.dh * g.w * g.c : loops.flat ? 0 : g.span * g.c;
    const groups = perRun(loops, per);
    forEachRun(k, g, loops, rowStride, (offset, run) => {
      const a = add(first, offset);
      const w = affine(weights, [run, groups * width * per]);
      k.for("k", 0, groups, (i) => group(affine(a, [i, per]), affine(w, [i, width * per])));
    });
    return acc;
  }

  /** Requantises and stores the sums of a tile. */
  private finish(panel: Panel, acc: readonly (readonly Expr[])[], yp: Expr): void {
    const { k, y } = this;
    const { spec, loops, params, tame } = this.shape;
    const g = spec.geometry;
    const { nv, lanes } = loops.tile;
    const values = acc[0]!.map((sum, j) =>
      params.map((p, i) => {
        const buffer = this.tables[i];
        if (buffer == null) return tableConstant(p.table, sum);
        const at = affine([panel.index, panelWidth(loops.tile)], lanes * j);
        return k.let("m", k.load(buffer, at, `${p.table.dtype}x${lanes}`));
      }),
    );
    const result = { rule: spec.rule, yDtype: spec.yDtype, tame };
    const channels = Math.min(g.n / g.groups, panelWidth(loops.tile));
    // Four vectors of sums make one of bytes.
    for (let j = 0; j < nv && j * lanes < channels; ) {
      const count = nv - j >= 4 ? 4 : nv - j >= 2 ? 2 : 1;
      acc.forEach((row, r) => {
        const at = affine(yp, r * g.n + lanes * j);
        const stored = Math.min(count * lanes, channels - lanes * j);
        const part = <T>(list: readonly T[]): readonly T[] => list.slice(j, j + count);
        storeWide(k, y, at, result, part(row), part(values), stored);
      });
      j += count;
    }
  }

  /** Which of the three start tables applies (see startValues). */
  private startOffset(): ExprLike {
    if (this.shape.per === 2) return 0;
    const count = this.shape.starts.data.length / 3;
    return affine(count, [binary("shr_u", this.flip, i32(31)), count]);
  }
}
