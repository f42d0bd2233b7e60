/**
 * @file The f32 matrix kernel for weights in sparse 1x4 blocks (../sparse/blocks.ts): as the dense one, but each
 * panel of four channels walks its own list of input elements.
 */
import type { Activation } from "../../graph/op.ts";
import { add, affine, fma, KernelBuilder, mul } from "../../kernel/build.ts";
import type { Expr, Kernel } from "../../kernel/ir.ts";
import { SCALARS } from "../../ops/scalar.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { tensorOf } from "../../tensor/tensor.ts";
import { invariant } from "../../util/errors.ts";
import type { Candidate, Operand } from "../primitive.ts";
import { BLOCK, countBlocks, type SparseBlocks, sparseBlocks } from "../sparse/blocks.ts";
import { storeLanes } from "./f32.ts";
import { type ConvGeometry, type Loops, perChannel, pickTile, planLoops } from "./geometry.ts";
import { forEachRow, forEachTile, forValidLanes } from "./loops.ts";
import { fillBorders, packRows, type RowMover, workspaceSize } from "./rows.ts";

/** Block densities above this are not worth a candidate: dense always wins. */
const MOST_DENSE = 0.75;

const VECTORS: Readonly<Record<number, number>> = { 1: 1, 2: 1, 4: 1, 6: 1, 8: 1, 12: 1 };
const THROUGHPUT: Readonly<Record<number, number>> = { 1: 8, 2: 15, 4: 27, 6: 33, 8: 37, 12: 40 };

export interface BlockProduct {
  readonly geometry: ConvGeometry;
  /** Weights [O, ...K], f32. */
  readonly weights: Tensor;
  readonly bias: Tensor | undefined;
  readonly act: Activation | undefined;
}

/** The candidates `<name>_<rows>x4` of a product with sparse weights: one, or none where dense is better. */
export function blockCandidates(name: string, spec: BlockProduct): readonly Candidate[] {
  const { geometry: g, weights, act } = spec;
  if (g.groups !== 1 || (act !== undefined && SCALARS[act.fn] === undefined)) return [];
  const blocks = countBlocks(weights, g.n);
  if (blocks * BLOCK > MOST_DENSE * weights.data.length) return [];
  const loops = planLoops(g, (length, n) => pickTile(length, n, VECTORS, THROUGHPUT));
  const pixels = loops.rows * loops.tiles * loops.tile.mr;
  const moved = g.batch * (g.h * g.w * g.c + g.oh * g.ow * g.n);
  const packed = g.padded ? loops.rows * workspaceSize(g, loops) : 0;
  return [
    {
      name: `${name}_${loops.tile.mr}x${BLOCK}`,
      family: "blocks",
      work: { macs: pixels * blocks * BLOCK, bytes: 4 * (moved + packed) + 18 * blocks },
      data: `blocks=${blocks}`,
      implement: () => {
        const rowStride = g.padded ? g.span * g.c : g.dh * g.w * g.c;
        const row = g.kw * g.c;
        const sparse = sparseBlocks(weights, g.n, (k) => {
          const [ky, kx] = [Math.floor(k / row), Math.floor((k % row) / g.c)];
          return ky * rowStride + kx * g.dw * g.c + (k % g.c);
        });
        const biasOf = (o: number): number => (spec.bias?.data[o] as number | undefined) ?? 0;
        const bias = perChannel(biasOf, g, loops, 0);
        const operands: Operand[] = [
          { kind: "in", index: 0 },
          { kind: "const", name: "weights", tensor: sparse.values },
          { kind: "const", name: "offsets", tensor: sparse.offsets },
          { kind: "const", name: "rows", tensor: sparse.starts },
          { kind: "const", name: "bias", tensor: tensorOf("f32", [bias.length], bias) },
          { kind: "out", index: 0 },
        ];
        if (g.padded) {
          operands.push({ kind: "work", id: "rows", bytes: 4 * workspaceSize(g, loops) });
        }
        const kernel = blockKernel(spec, loops, sparse);
        return { inPlace: false, steps: [{ kernel, operands, args: [] }] };
      },
    },
  ];
}

interface Panel {
  /** First weight block and the end. */
  readonly from: Expr;
  readonly to: Expr;
  readonly channel: Expr;
}

function blockKernel({ geometry: g, act }: BlockProduct, loops: Loops, s: SparseBlocks): Kernel {
  const { mr } = loops.tile;
  const pixels = g.batch * g.oh * g.ow;
  const k = new KernelBuilder(`f32_blocks_${mr}x${BLOCK}`);
  const x = k.buffer("x", "f32", g.batch * g.h * g.w * g.c, "in");
  const w = k.buffer("w", "f32", s.values.data.length, "const");
  const offsets = k.buffer("offsets", s.offsets.type.dtype, s.offsets.data.length, "const");
  const starts = k.buffer("starts", "i32", s.panels + 1, "const");
  const bias = k.buffer("bias", "f32", s.panels * BLOCK, "const");
  const y = k.buffer("y", "f32", pixels * g.n, "out");
  const work = g.padded ? k.buffer("rows", "f32", workspaceSize(g, loops), "work") : null;
  const source = work ?? x;
  const mover: RowMover = {
    copy: (from, to, count) => k.copy(source, to, x, from, count),
    fill: (to, count) => k.fill(source, to, 0, count),
  };
  if (work !== null) fillBorders(g, loops, mover);
  forEachRow(k, g, loops, (row) => {
    if (work !== null) packRows(k, g, loops, row, mover);
    let panelState: Panel | null = null;
    const open = (panel: Expr, _: Expr, channel: Expr): void => {
      const from = k.let("from", k.load(starts, panel));
      panelState = { from, to: k.let("to", k.load(starts, add(panel, 1))), channel };
    };
    forEachTile(k, g, loops, open, (pixel) => {
      const panel = panelState;
      invariant(panel !== null, () => "tile outside a panel");
      const origin = work === null ? [row.x] : [];
      const a0 = k.let("a0", affine(...origin, [pixel, g.sw * g.c]));
      const start = k.let("b", k.load(bias, panel.channel, "f32x4"));
      const acc = Array.from({ length: mr }, () => k.reg("acc", start));
      k.for("z", panel.from, panel.to, (z) => {
        const weights = k.let("wv", k.load(w, mul(z, BLOCK), "f32x4"));
        const a = k.let("a", add(a0, k.load(offsets, z)));
        acc.forEach((sum, r) => {
          const value = k.loadGroup(source, affine(a, r * g.sw * g.c), "f32x4");
          k.set(sum, fma(value, weights, sum));
        });
      });
      const base = k.let("yp", affine(row.y, [pixel, g.n], panel.channel));
      forValidLanes(k, loops, g.n, panel.channel, 0, (lanes) => {
        acc.forEach((sum, r) => {
          const v = act === undefined ? sum : SCALARS[act.fn]!.expr(k.let("t", sum), act);
          storeLanes(k, y, add(base, r * g.n), v, lanes);
        });
      });
    });
  });
  return k.build();
}
