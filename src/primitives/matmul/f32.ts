/**
 * @file f32 matrix products of two activations, batched: register tiles as in the matrix kernel of
 * convolutions. Columns of b are brought side by side first where they are not, or read where they lie.
 */
import { add, affine, binary, constant, fma, KernelBuilder, min, mul } from "../../kernel/build.ts";
import type { Buffer, Expr, Kernel, KType } from "../../kernel/ir.ts";
import { type MatmulPlan, matmul, matmulPlan } from "../../ops/nn/matmul.ts";
import { ceilDiv, product } from "../../util/math.ts";
import { storeLanes } from "../gemm/f32.ts";
import { panelWidth, type Tile } from "../gemm/geometry.ts";
import { tileF32, unfusedTile } from "../gemm/tile.ts";
import {
  type Candidate,
  definePrimitive,
  type Operand,
  operandBytes,
  type PrimitiveInput,
} from "../primitive.ts";
import { packColumns, packRows } from "./pack.ts";

/** The offset of a batch number in an operand with these strides along the batch axes. */
export function batchOffset(
  batch: Expr,
  shape: readonly number[],
  strides: readonly number[],
): Expr {
  let below = product(shape);
  const terms = shape.map((n, axis) => {
    const outer = below;
    below /= n;
    const row = below === 1 ? batch : binary("div", batch, constant("i32", below));
    const index = outer === product(shape) ? row : binary("rem", row, constant("i32", n));
    return [n === 1 ? 0 : index, strides[axis]!] as const;
  });
  return affine(...terms.filter(([, stride]) => stride !== 0));
}

/** A tile of the product: sums over k, then stored. */
function emitTile(
  k: KernelBuilder,
  p: MatmulPlan,
  tile: Tile,
  { a, source, y }: Readonly<Record<"a" | "source" | "y", Buffer>>,
  at: Readonly<Record<"a" | "source" | "y", Expr>>,
  sourceStep: number,
): void {
  const type: KType = `f32x${tile.lanes}`;
  const columns = Math.min(p.n, panelWidth(tile));
  const acc = Array.from({ length: tile.mr }, () =>
    Array.from({ length: tile.nv }, () => k.reg("acc", constant(type, 0))),
  );
  k.for("k", 0, p.k, (i) => {
    const row = k.let("b_at", affine(at.source, [i, sourceStep]));
    const from = k.let("a_at", affine(at.a, [i, p.ak]));
    const bs = acc[0]!.map((_, j) => k.let("bv", k.load(source, add(row, j * tile.lanes), type)));
    for (const [r, sums] of acc.entries()) {
      const av = k.let("av", k.loadGroup(a, add(from, r * p.am), type));
      for (const [j, sum] of sums.entries()) k.set(sum, fma(av, bs[j]!, sum));
    }
  });
  for (const [r, sums] of acc.entries()) {
    for (const [j, sum] of sums.entries()) {
      const lanes = Math.min(tile.lanes, columns - j * tile.lanes);
      storeLanes(k, y, add(at.y, r * p.n + j * tile.lanes), sum, lanes);
    }
  }
}

/** `packed`: panels of b are copied to scratch, one at a time. */
function tiledKernel(p: MatmulPlan, sizes: Sizes, tile: Tile, packed: boolean): Kernel {
  const width = panelWidth(tile);
  const columns = Math.min(p.n, width);
  const panels = ceilDiv(p.n, width);
  const k = new KernelBuilder(`f32_matmul_${tile.mr}x${width}`);
  const a = k.buffer("a", "f32", sizes.a, "in");
  const b = k.buffer("b", "f32", sizes.b, "in");
  const y = k.buffer("y", "f32", sizes.y, "out");
  const work = packed ? k.buffer("panel", "f32", p.k * width, "work") : null;
  const unit = (u: Expr): void => {
    const batch = k.let("batch", panels === 1 ? u : binary("div", u, constant("i32", panels)));
    const panel = panels === 1 ? constant("i32", 0) : binary("rem", u, constant("i32", panels));
    const column = k.let("column", min(mul(panel, width), p.n - columns));
    const aBatch = k.let("a0", batchOffset(batch, p.batch, p.aBatch));
    const b0 = affine(batchOffset(batch, p.batch, p.bBatch), [column, p.bn]);
    const first = k.let("b0", b0);
    const y0 = k.let("y0", affine([batch, p.m * p.n], column));
    if (work !== null) {
      if (p.bn === 1) packRows(k, work, b, first, width, { depth: p.k, step: p.bk, columns });
      else packColumns(k, work, b, first, width, { depth: p.k, step: p.bn, columns });
    }
    const source = work ?? b;
    k.for("tile", 0, ceilDiv(p.m, tile.mr), (t) => {
      const start = mul(t, tile.mr);
      const row = p.m % tile.mr === 0 ? start : k.let("row", min(start, p.m - tile.mr));
      const at = {
        a: k.let("a_row", affine(aBatch, [row, p.am])),
        source: work === null ? first : constant("i32", 0),
        y: k.let("y_row", affine(y0, [row, p.n])),
      };
      emitTile(k, p, tile, { a, source, y }, at, work === null ? p.bk : width);
    });
  };
  k.for("unit", 0, product(p.batch) * panels, unit, { tag: "outline", parallel: true });
  return k.build();
}

interface Sizes {
  readonly a: number;
  readonly b: number;
  readonly y: number;
}

function candidate(input: PrimitiveInput, p: MatmulPlan, tile: Tile, packed: boolean): Candidate {
  const [a, b] = input.ins.map((t) => product(t.shape));
  const sizes = { a: a!, b: b!, y: product(input.outs[0]!.shape) };
  const width = panelWidth(tile);
  const batch = product(p.batch);
  const panels = ceilDiv(p.n, width);
  const macs = batch * ceilDiv(p.m, tile.mr) * tile.mr * panels * width * p.k;
  const moved = packed ? 8 * batch * panels * width * p.k : 0;
  const operands: Operand[] = [
    { kind: "in", index: 0 },
    { kind: "in", index: 1 },
    { kind: "out", index: 0 },
  ];
  if (packed) operands.push({ kind: "work", id: "panel", bytes: 4 * p.k * width });
  return {
    name: `f32_matmul_${packed ? "packed" : "direct"}_${tile.mr}x${width}`,
    family: packed ? "packed" : "direct",
    work: { macs, bytes: operandBytes(input) + moved },
    implement: () => {
      const fused = tiledKernel(p, sizes, tile, packed);
      const lower = unfusedTile(tile);
      const differ = input.caps.fma === "some" && lower.mr !== tile.mr;
      const unfused = differ ? tiledKernel(p, sizes, lower, packed) : fused;
      const kernel = differ ? { ...unfused, forms: { fma: fused } } : fused;
      return { inPlace: false, steps: [{ kernel, operands, args: [] }] };
    },
  };
}

/** Copying a panel that need not be copied pays from this many rows on, for a matrix of this many elements. */
const PACK_ROWS = 64;
const PACK_ELEMENTS = 2 ** 14;

export const matmulF32 = definePrimitive({
  name: "f32_matmul",
  op: matmul,
  candidates: (input) => {
    const { ins, outs, attrs, caps } = input;
    const p = matmulPlan(ins[0]!.shape, ins[1]!.shape, attrs);
    if (p === null || outs[0]!.dtype !== "f32" || product(outs[0]!.shape) === 0) return [];
    const tile = tileF32(caps, p.m, p.n);
    const readable = p.bn === 1 && (p.n >= panelWidth(tile) || p.n % tile.lanes === 0);
    const copies = p.m >= PACK_ROWS && p.k * p.n > PACK_ELEMENTS;
    return (readable ? [copies, !copies] : [true]).map((packed) =>
      candidate(input, p, tile, packed),
    );
  },
});
