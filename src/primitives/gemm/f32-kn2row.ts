/**
 * @file The f32 convolution without scratch (kn2row, arXiv:1704.04428): one product of shifted rows per tap, summed
 * in the output itself; taps that fall into padding are left out. Weights are packed as for the kernel in f32.ts.
 */
import {
  add,
  affine,
  and,
  binary,
  i32,
  KernelBuilder,
  lt,
  max,
  min,
  mul,
} from "../../kernel/build.ts";
import type { Buffer, Expr, Kernel } from "../../kernel/ir.ts";
import { SCALARS } from "../../ops/scalar.ts";
import { ceilDiv } from "../../util/math.ts";
import { WASM } from "../capabilities.ts";
import type { Operand, Step } from "../primitive.ts";
import { type F32Gemm, packBias, weightsOperand } from "./f32.ts";
import { type ConvGeometry, panelWidth, type Tile } from "./geometry.ts";
import { addProducts, vectorType } from "./micro.ts";
import { packedSizes } from "./pack-run.ts";
import type { GemmPlan } from "./plan.ts";
import { tileF32, unfusedTile } from "./tile.ts";

/** The plan of a convolution tap by tap, or null when the kernel cannot express it. */
export function f32Kn2rowPlan(spec: F32Gemm): GemmPlan | null {
  const { geometry: g } = spec;
  if (spec.weights === null || spec.bias === null || g.groups !== 1) return null;
  if (spec.act !== undefined && SCALARS[spec.act.fn] === undefined) return null;
  const widest = tileF32(spec.caps ?? WASM, g.ow, g.n);
  const tile = g.n % panelWidth(widest) === 0 ? widest : { ...widest, nv: 1 };
  // Sums are whole vectors of the output; every tap meets at least the last column.
  const reaches = g.w - 1 + g.padLeft >= (g.kw - 1) * g.dw;
  if (g.kh * g.kw === 1 || g.n % panelWidth(tile) !== 0 || !reaches) return null;
  const pixels = g.batch * g.oh * g.ow;
  const taps = g.kh * g.kw;
  const work = {
    macs: pixels * taps * g.c * g.n,
    bytes: 4 * (pixels * (taps * g.c + (2 * taps + 2) * g.n) + taps * g.c * g.n),
  };
  return { tile, work, steps: () => [kn2rowStep(spec, tile)] };
}

function kn2rowStep(spec: F32Gemm, tile: Tile): Step {
  const { geometry: g } = spec;
  const loops = {
    ...{ rows: g.batch * g.oh, length: g.ow, flat: false, tile, tiles: ceilDiv(g.ow, tile.mr) },
    ...{ panels: g.n / panelWidth(tile), runs: g.kh * g.kw, runLength: g.c },
  };
  const operands: Operand[] = [
    { kind: "in", index: 0 },
    weightsOperand(spec, loops, packedSizes(g, loops).weights),
    { kind: "const", name: "bias", tensor: packBias(spec.bias ?? undefined, g, loops) },
    { kind: "out", index: 0 },
  ];
  if (spec.residual !== null) operands.push({ kind: "in", index: spec.residual });
  const kernel = new Kn2rowKernel(spec, tile).build();
  const unfused = unfusedTile(tile);
  if ((spec.caps ?? WASM).fma !== "some" || unfused.mr === tile.mr) {
    return { kernel, operands, args: [] };
  }
  const base = new Kn2rowKernel(spec, unfused).build();
  return { kernel: { ...base, forms: { fma: kernel } }, operands, args: [] };
}

class Kn2rowKernel {
  private readonly k: KernelBuilder;
  private readonly spec: F32Gemm;
  private readonly g: ConvGeometry;
  private readonly tile: Tile;
  private readonly x: Buffer;
  private readonly w: Buffer;
  private readonly bias: Buffer;
  private readonly y: Buffer;
  private readonly residual: Buffer | null;

  constructor(spec: F32Gemm, tile: Tile) {
    const { geometry: g } = spec;
    const pixels = g.batch * g.oh * g.ow;
    const k = new KernelBuilder(`f32_kn2row_${tile.mr}x${panelWidth(tile)}`);
    [this.k, this.spec, this.g, this.tile] = [k, spec, g, tile];
    this.x = k.buffer("x", "f32", g.batch * g.h * g.w * g.c, "in");
    this.w = k.buffer("w", "f32", g.n * g.kh * g.kw * g.c, "const");
    this.bias = k.buffer("bias", "f32", g.n, "const");
    this.y = k.buffer("y", "f32", pixels * g.n, "out");
    this.residual = spec.residual === null ? null : k.buffer("r", "f32", pixels * g.n, "in");
  }

  build(): Kernel {
    const { k, g, tile } = this;
    const width = panelWidth(tile);
    const row = (image: Expr, oy: Expr): void => {
      k.for("panel", 0, g.n / width, (panel) => {
        const to = affine([image, g.oh * g.ow * g.n], [oy, g.ow * g.n], [panel, width]);
        const y0 = k.let("y0", to);
        this.startRow(panel, y0);
        k.for("ky", 0, g.kh, (ky) => {
          const iy = k.let("iy", affine([oy, g.sh], [ky, g.dh], -g.padTop));
          const taps = (): void => {
            const x0 = k.let("x0", affine([image, g.h * g.w * g.c], [iy, g.w * g.c]));
            k.for("kx", 0, g.kw, (kx) => this.addTap(panel, ky, kx, x0, y0));
          };
          if (g.padded) k.if(and(lt(-1, iy), lt(iy, g.h)), taps);
          else taps();
        });
        this.finishRow(y0);
      });
    };
    k.forParallel("image", 0, g.batch, (image) => {
      k.forParallel("oy", 0, g.oh, (oy) => row(image, oy), { tag: "outline" });
    });
    return k.build();
  }

  private startRow(panel: Expr, y0: Expr): void {
    const { k, g, tile } = this;
    const at = k.let("b0", mul(panel, panelWidth(tile)));
    const start = Array.from({ length: tile.nv }, (_, j) =>
      k.let("b", k.load(this.bias, add(at, tile.lanes * j), vectorType(tile))),
    );
    k.for("ox", 0, g.ow, (ox) => {
      start.forEach((v, j) => k.store(this.y, affine(y0, [ox, g.n], tile.lanes * j), v));
    });
  }

  /** Adds the products of one tap to the pixels of a row whose input lies inside. */
  private addTap(panel: Expr, ky: Expr, kx: Expr, x0: Expr, y0: Expr): void {
    const { k, g, tile } = this;
    const shift = k.let("shift", affine(g.padLeft, [kx, -g.dw]));
    const before = add(max(shift, 0), g.sw - 1);
    const begin = k.let("begin", binary("div", before, i32(g.sw)));
    const reach = binary("div", add(shift, g.w - 1), i32(g.sw));
    const end = k.let("end", min(add(reach, 1), g.ow));
    const count = k.let("count", binary("sub", end, begin));
    const tap = affine([ky, g.kw], kx);
    const depth = g.kh * g.kw * g.c;
    const at = affine([panel, depth * panelWidth(tile)], [tap, g.c * panelWidth(tile)]);
    const weights = k.let("w0", at);
    const sums = (t: Tile, ox: Expr): void => {
      const column = binary("sub", mul(ox, g.sw), shift);
      const a = k.let("a0", affine(x0, [column, g.c]));
      const to = k.let("yp", affine(y0, [ox, g.n]));
      const cell = (r: number, j: number): Expr => add(to, r * g.n + t.lanes * j);
      const acc = Array.from({ length: t.mr }, (_, r) =>
        Array.from({ length: t.nv }, (_, j) =>
          k.reg("acc", k.load(this.y, cell(r, j), vectorType(t))),
        ),
      );
      const rows = { buffer: this.x, at: a, stride: g.sw * g.c };
      addProducts(k, t, acc, rows, { buffer: this.w, at: weights }, g.c);
      acc.forEach((row, r) => row.forEach((s, j) => k.store(this.y, cell(r, j), s)));
    };
    const tiles = k.let("tiles", binary("div", max(count, 0), i32(tile.mr)));
    k.for("t", 0, tiles, (t) => sums(tile, k.let("ox", affine(begin, [t, tile.mr]))));
    if (tile.mr > 1) {
      const rest = k.let("rest", affine(begin, [tiles, tile.mr]));
      k.for("ox", rest, end, (ox) => sums({ ...tile, mr: 1 }, ox));
    }
  }

  private finishRow(y0: Expr): void {
    const { k, g, tile } = this;
    const { act } = this.spec;
    if (act === undefined && this.residual === null) return;
    const type = vectorType(tile);
    k.for("ox", 0, g.ow, (ox) => {
      for (let j = 0; j < tile.nv; j++) {
        const at = k.let("at", affine(y0, [ox, g.n], tile.lanes * j));
        let v = k.load(this.y, at, type);
        if (this.residual !== null) v = add(v, k.load(this.residual, at, type));
        if (act !== undefined) v = SCALARS[act.fn]!.expr(k.let("t", v), act);
        k.store(this.y, at, v);
      }
    });
  }
}
