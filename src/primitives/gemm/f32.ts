/**
 * @file The f32 matrix kernel: accumulators of mr pixels by nv vectors of channels in registers, weights
 * packed as [panel][k][channel] with the channels of a panel adjacent.
 */
import type { Activation } from "../../graph/op.ts";
import { add, affine, type ExprLike, KernelBuilder, mul } from "../../kernel/build.ts";
import { type Buffer, type Expr, type Kernel, lanesOf } from "../../kernel/ir.ts";
import { SCALARS } from "../../ops/scalar.ts";
import { type Tensor, tensorOf } from "../../tensor/tensor.ts";
import { invariant } from "../../util/errors.ts";
import { ceilDiv } from "../../util/math.ts";
import { type Capabilities, WASM } from "../capabilities.ts";
import type { Operand, Step } from "../primitive.ts";
import { type PackedStorage, packedStorage, type WeightStorage } from "../storage.ts";
import {
  type ConvGeometry,
  gemmMacs,
  type Loops,
  panelWidth,
  perChannel,
  planLoops,
} from "./geometry.ts";
import { forEachRow, forEachRun, forEachTile, forValidLanes } from "./loops.ts";
import { addProducts, openSums, vectorType } from "./micro.ts";
import { packedSizes, packStep } from "./pack-run.ts";
import type { GemmPlan } from "./plan.ts";
import { fillBorders, packRows, type RowMover, workspaceSize } from "./rows.ts";
import { tileF32, unfusedTile } from "./tile.ts";

/** Weights [O, K] (rows in the order of `planLoops` runs) as [group][panel][k][channel], zero-padded. */
function packWeights(w: Tensor, g: ConvGeometry, loops: Loops): Tensor {
  const width = panelWidth(loops.tile);
  const perGroup = g.n / g.groups;
  const depth = w.data.length / g.n;
  const packed = new Float32Array(g.groups * loops.panels * depth * width);
  for (let o = 0; o < g.n; o++) {
    const group = Math.floor(o / perGroup);
    const channel = o % perGroup;
    const panel = group * loops.panels + Math.floor(channel / width);
    for (let k = 0; k < depth; k++) {
      packed[(panel * depth + k) * width + (channel % width)] = w.data[o * depth + k] as number;
    }
  }
  return { type: { dtype: "f32", shape: [packed.length] }, data: packed };
}

/** One bias per channel in panel order. */
export function packBias(bias: Tensor | undefined, g: ConvGeometry, loops: Loops): Tensor {
  const packed = perChannel(
    (o) => (bias === undefined ? 0 : (bias.data[o] as number)),
    g,
    loops,
    0,
  );
  return tensorOf("f32", [packed.length], packed);
}

/** What the f32 matrix kernel computes beside the product. */
export interface F32Gemm {
  readonly geometry: ConvGeometry;
  /** Weights [O, ...K], f32; null: input 1, packed before each product. */
  readonly weights: Tensor | null;
  /** null: input 2, as weights. */
  readonly bias: Tensor | undefined | null;
  /** Input position of the residual, or null. */
  readonly residual: number | null;
  readonly act: Activation | undefined;
  /** The vector registers of the target; absent: those of WebAssembly. */
  readonly caps?: Capabilities;
  /** How the model stores the weights, when smaller than f32. */
  readonly weightStorage: WeightStorage | undefined;
}

/** The plan of an f32 product, or null when the kernel cannot express it. */
export function f32GemmPlan(spec: F32Gemm): GemmPlan | null {
  const { geometry: g } = spec;
  const caps = spec.caps ?? WASM;
  const loops = planLoops(g, (length, n) => tileF32(caps, length, n));
  if (spec.act !== undefined && SCALARS[spec.act.fn] === undefined) return null;
  const bytes = 4 * g.batch * (g.h * g.w * g.c + g.oh * g.ow * g.n);
  const packed = g.padded ? 4 * loops.rows * workspaceSize(g, loops) : 0;
  const work = {
    macs: gemmMacs(g, loops),
    bytes: bytes + packed + 4 * packedSizes(g, loops).weights,
  };
  return { tile: loops.tile, work, steps: () => f32GemmSteps(spec, loops) };
}

/** The call of the kernel, after that which packs what is not known at compile time. */
function f32GemmSteps(spec: F32Gemm, loops: Loops): Step[] {
  const { geometry: g } = spec;
  const sizes = packedSizes(g, loops);
  const kernel = withForms(spec, loops, sizes.weights);
  const operands: Operand[] = [
    { kind: "in", index: 0 },
    weightsOperand(spec, loops, sizes.weights),
    spec.bias === null
      ? { kind: "work", id: "bias", bytes: 4 * sizes.bias }
      : { kind: "const", name: "bias", tensor: packBias(spec.bias, g, loops) },
    { kind: "out", index: 0 },
  ];
  if (spec.residual !== null) operands.push({ kind: "in", index: spec.residual });
  if (g.padded) operands.push({ kind: "work", id: "rows", bytes: 4 * workspaceSize(g, loops) });
  if (finishesLater(spec, loops)) {
    operands.push({ kind: "work", id: "sums", bytes: 4 * loops.tile.mr * panelWidth(loops.tile) });
  }
  const step = { kernel, operands, args: [] };
  return spec.weights === null ? [packStep(g, loops, spec.bias === null), step] : [step];
}

/** The packed weights: a constant, or room for those packed at each run. */
export function weightsOperand(spec: F32Gemm, loops: Loops, count: number): Operand {
  const { geometry: g, weights } = spec;
  if (weights === null) return { kind: "work", id: "weights", bytes: 4 * count };
  const storage = spec.weightStorage && storageOf(spec.weightStorage, g, loops);
  const tensor = packWeights(weights, g, loops);
  return { kind: "const", name: "weights", tensor, ...(storage && { storage }) };
}

/** The kernel and, where engines differ, its form for those that fuse: a taller tile over the same buffers. */
function withForms(spec: F32Gemm, loops: Loops, weightCount: number): Kernel {
  const most = loops.tile.mr;
  const kernel = f32Kernel(spec, loops, weightCount, most);
  const tile = unfusedTile(loops.tile);
  if ((spec.caps ?? WASM).fma !== "some" || tile.mr === loops.tile.mr) return kernel;
  const unfused = { ...loops, tile, tiles: ceilDiv(loops.length, tile.mr) };
  return { ...f32Kernel(spec, unfused, weightCount, most), forms: { fma: kernel } };
}

/** Whether the activation is more than a clamp: it has constants, perhaps calls. */
export const isInvolved = (act: Activation | undefined): boolean =>
  act !== undefined && SCALARS[act.fn]!.bounds === undefined;

/**
 * Involved activations get the sums of a tile by way of memory, in a loop of their own: applied to sums in
 * registers, their constants would be made anew for each sum, and calls would save and restore all sums.
 */
const finishesLater = ({ act }: F32Gemm, loops: Loops): boolean =>
  loops.tile.mr > 1 && isInvolved(act);

function storageOf(
  storage: WeightStorage,
  g: ConvGeometry,
  loops: Loops,
): PackedStorage | undefined {
  const width = panelWidth(loops.tile);
  return packedStorage(storage, {
    pack: (w) => packWeights(w, g, loops),
    block: loops.runs * loops.runLength * width,
    width,
    order: (scale) => perChannel(scale, g, loops, 1),
  });
}

/** `most`: rows of the tallest tile among the forms, which share their buffers. */
function f32Kernel(spec: F32Gemm, loops: Loops, weightCount: number, most: number): Kernel {
  const { geometry: g } = spec;
  const width = panelWidth(loops.tile);
  const pixels = g.batch * g.oh * g.ow;
  const k = new KernelBuilder(`f32_gemm_${loops.tile.mr}x${width}`);
  const x = k.buffer("x", "f32", g.batch * g.h * g.w * g.c, "in");
  const w = k.buffer("w", "f32", weightCount, "const");
  const bias = k.buffer("bias", "f32", g.groups * loops.panels * width, "const");
  const y = k.buffer("y", "f32", pixels * g.n, "out");
  const residual = spec.residual === null ? null : k.buffer("residual", "f32", pixels * g.n, "in");
  const work = g.padded ? k.buffer("rows", "f32", workspaceSize(g, loops), "work") : null;
  const later = finishesLater(spec, loops);
  const sums = later ? k.buffer("sums", "f32", most * width, "work") : null;
  const source = work ?? x;
  const rowStride = work === null ? g.dh * g.w * g.c : g.span * g.c;
  const mover: RowMover = {
    copy: (from, to, count) => k.copy(source, to, x, from, count),
    fill: (to, count) => k.fill(source, to, 0, count),
  };
  if (work !== null) fillBorders(g, loops, mover);
  forEachRow(k, g, loops, (row) => {
    if (work !== null) packRows(k, g, loops, row, mover);
    let panelState: Panel | null = null;
    forEachTile(
      k,
      g,
      loops,
      (panel, group, channel) => {
        panelState = openPanel(k, g, loops, panel, group, channel);
      },
      (pixel) => {
        const panel = panelState;
        invariant(panel !== null, () => "tile outside a panel");
        const origin = work === null ? row.x : null;
        const first = affine(...(origin ? [origin] : []), [pixel, g.sw * g.c], panel.input);
        const acc = accumulate(
          k,
          g,
          loops,
          { source, w, bias },
          rowStride,
          k.let("a0", first),
          panel,
        );
        finish(k, g, loops, spec.act, acc, panel, { y, residual, sums }, row.y, pixel);
      },
    );
  });
  return k.build();
}

interface Panel {
  /** First weight element, first bias element, input channel offset, first channel within the group. */
  readonly weights: Expr;
  readonly bias: Expr;
  readonly input: Expr;
  readonly channel: Expr;
  /** First output channel over all groups. */
  readonly output: Expr;
}

function openPanel(
  k: KernelBuilder,
  g: ConvGeometry,
  loops: Loops,
  panel: Expr,
  group: Expr,
  channel: Expr,
): Panel {
  const width = panelWidth(loops.tile);
  const depth = loops.runs * loops.runLength;
  return {
    weights: k.let("w0", mul(panel, depth * width)),
    bias: k.let("b0", mul(panel, width)),
    input: mul(group, g.c / g.groups),
    channel,
    output: k.let("n0", affine([group, g.n / g.groups], channel)),
  };
}

function accumulate(
  k: KernelBuilder,
  g: ConvGeometry,
  loops: Loops,
  { source, w, bias }: { readonly source: Buffer; readonly w: Buffer; readonly bias: Buffer },
  rowStride: number,
  first: Expr,
  panel: Panel,
): Expr[][] {
  const { nv, lanes } = loops.tile;
  const type = vectorType(loops.tile);
  const width = panelWidth(loops.tile);
  // Loaded for each tile: held across tiles, the bias would need registers the accumulators take.
  const start = Array.from({ length: nv }, (_, j) =>
    k.let("b", k.load(bias, add(panel.bias, lanes * j), type)),
  );
  const acc = openSums(k, loops.tile, start);
  forEachRun(k, g, loops, rowStride, (offset, run) => {
    const rows = { buffer: source, at: add(first, offset), stride: g.sw * g.c };
    const at = affine(panel.weights, [run, loops.runLength * width]);
    addProducts(k, loops.tile, acc, rows, { buffer: w, at }, loops.runLength);
  });
  return acc;
}

/** What a finished tile reads and writes beside its sums. */
interface Results {
  readonly y: Buffer;
  readonly residual: Buffer | null;
  /** Where the sums go before the activation, if they do. */
  readonly sums: Buffer | null;
}

function finish(
  k: KernelBuilder,
  g: ConvGeometry,
  loops: Loops,
  act: Activation | undefined,
  acc: readonly (readonly Expr[])[],
  panel: Panel,
  { y, residual, sums }: Results,
  rowStart: Expr,
  pixel: Expr,
): void {
  const scalar = act === undefined ? null : SCALARS[act.fn]!;
  const type = vectorType(loops.tile);
  const { lanes: width, mr, nv } = loops.tile;
  const base = k.let("yp", affine(rowStart, [pixel, g.n], panel.output));
  const store = (j: number, rows: readonly (readonly [ExprLike, Expr])[]): void =>
    forValidLanes(k, loops, g.n / g.groups, panel.channel, j, (lanes) => {
      for (const [r, sum] of rows) {
        const at = affine(base, [r, g.n], width * j);
        const activated = (v: Expr): Expr =>
          scalar === null ? v : scalar.expr(k.let("t", v), act!);
        if (residual === null) storeLanes(k, y, at, activated(sum), lanes);
        else if (lanes === width) {
          k.store(y, at, activated(add(sum, k.load(residual, at, type))));
        } else {
          // A vector would read past the end of the row, which may be that of the buffer.
          const v = k.let("v", sum);
          for (let lane = 0; lane < lanes; lane++) {
            const one = { kind: "extract", type: "f32", a: v, lane } as const;
            k.store(y, add(at, lane), activated(add(one, k.load(residual, add(at, lane)))));
          }
        }
      }
    });
  const vectors = Array.from({ length: nv }, (_, j) => j);
  if (sums === null) {
    for (const j of vectors) {
      store(
        j,
        acc.map((row, r) => [r, row[j]!] as const),
      );
    }
    return;
  }
  const at = (r: ExprLike, j: number): Expr => affine([r, nv * width], width * j);
  for (const [r, row] of acc.entries()) {
    for (const [j, sum] of row.entries()) k.store(sums, at(r, j), sum);
  }
  k.for("r", 0, mr, (r) => {
    for (const j of vectors) store(j, [[r, k.load(sums, at(r, j), type)]]);
  });
}

/** Stores the first lanes of an f32 vector. */
export function storeLanes(
  k: KernelBuilder,
  y: Buffer,
  at: Expr,
  value: Expr,
  lanes: number,
): void {
  const width = lanesOf(value.type);
  if (lanes === width) {
    k.store(y, at, value);
    return;
  }
  if (width > 4) {
    k.store(y, at, value, lanes);
    return;
  }
  const v = k.let("v", value);
  if (lanes >= 2) k.store(y, at, v, 2);
  if (lanes % 2 === 1) {
    const lane = lanes - 1;
    k.store(y, add(at, lane), { kind: "extract", type: "f32", a: v, lane });
  }
}
