/**
 * @file Emits kernels that move elements: a strided copy between two buffers, in as few and as long runs
 * as the strides allow. Every shape operator whose index map is affine lowers to this.
 */
import { add, constant, type ExprLike, KernelBuilder, mul, shuffle } from "../../kernel/build.ts";
import { type Buffer, type Expr, type KType, lanesOf } from "../../kernel/ir.ts";
import { type DType, sizeOf } from "../../tensor/dtype.ts";
import { strides } from "../../tensor/shape.ts";
import { elementCount, type Shape, type TensorType } from "../../tensor/tensor.ts";
import { copyChunks } from "../lowering.ts";
import { range } from "./check.ts";

/** One axis of the copied box: its extent, and the step in elements on either side. */
export interface CopyAxis {
  readonly n: number;
  readonly dst: number;
  readonly src: number;
}

/** Runs up to this many bytes are moved by loads and stores, longer ones by `copy` or `fill`. */
const SHORT_RUN = 128;
/** Rows of the source visited before the next column block, so that their cache lines stay near. */
const TILE_ROWS = 32;

/** The dtype a buffer has in a kernel that only moves its elements: nothing is converted. */
export function rawDType(dtype: DType): DType {
  if (dtype === "f16" || dtype === "bf16") return "u16";
  return dtype === "bool" ? "u8" : dtype;
}

/** The 128-bit vector type that holds elements of this dtype as they are stored. */
export function rawVector(dtype: DType): KType {
  if (dtype === "f32") return "f32x4";
  if (dtype === "f64") return "f64x2";
  const bits = sizeOf(dtype) * 8;
  return `i${bits}x${128 / bits}` as KType;
}

/** Drops axes of extent 1 and merges neighbours that are one axis on both sides. */
export function mergeAxes(axes: readonly CopyAxis[]): CopyAxis[] {
  const out: CopyAxis[] = [];
  for (const axis of axes) {
    if (axis.n === 1) continue;
    const last = out.at(-1);
    if (last && last.dst === axis.n * axis.dst && last.src === axis.n * axis.src) {
      out[out.length - 1] = { n: last.n * axis.n, dst: axis.dst, src: axis.src };
    } else out.push(axis);
  }
  return out;
}

type Leaf = (dst: Expr, src: Expr) => void;

/** Like `nest`, for leaves that do not depend on each other; one leaf is a loop of one iteration. */
export function nestParallel(
  k: KernelBuilder,
  axes: readonly CopyAxis[],
  dst: ExprLike,
  src: ExprLike,
  leaf: Leaf,
): void {
  const [axis = { n: 1, dst: 0, src: 0 }, ...rest] = axes;
  const inner = rest.length > 1 || (rest[0]?.n ?? 0) > 4 ? nestParallel : nest;
  k.forParallel("i", 0, axis.n, (i) => {
    const d = k.let("d", add(dst, mul(i, axis.dst)));
    inner(k, rest, d, k.let("s", add(src, mul(i, axis.src))), leaf);
  });
}

/** Loops over the axes, outermost first, and calls `leaf` with the index of each element. */
export function nest(
  k: KernelBuilder,
  axes: readonly CopyAxis[],
  dst: ExprLike,
  src: ExprLike,
  leaf: Leaf,
): void {
  const [axis, ...rest] = axes;
  if (axis === undefined) {
    leaf(k.let("d", add(dst, 0)), k.let("s", add(src, 0)));
    return;
  }
  const tag = rest.length === 0 && axis.n <= 4 ? "unroll" : "serial";
  const body = (i: Expr): void => {
    const d = k.let("d", add(dst, mul(i, axis.dst)));
    nest(k, rest, d, k.let("s", add(src, mul(i, axis.src))), leaf);
  };
  k.for("i", 0, axis.n, body, { tag });
}

/** Pieces of a run of `n` elements: vectors of 16, 8 and 4 bytes, then single elements. */
function pieces(n: number, size: number): { at: number; count: number }[] {
  const out: { at: number; count: number }[] = [];
  let at = 0;
  for (const bytes of [16, 8, 4]) {
    const count = bytes / size;
    while (count > 1 && n - at >= count) {
      out.push({ at, count });
      at += count;
    }
  }
  for (; at < n; at++) out.push({ at, count: 1 });
  return out;
}

/** Copies `n` (a constant) neighbouring elements. */
export function emitRun(
  k: KernelBuilder,
  dst: Buffer,
  dstIndex: ExprLike,
  src: Buffer,
  srcIndex: ExprLike,
  n: number,
): void {
  if (n === 0) return;
  const size = sizeOf(dst.dtype);
  if (n * size > SHORT_RUN) {
    k.copy(dst, dstIndex, src, srcIndex, n);
    return;
  }
  const vector = rawVector(dst.dtype);
  const full = lanesOf(vector);
  for (const { at, count } of pieces(n, size)) {
    const from = add(srcIndex, at);
    const to = add(dstIndex, at);
    if (count === 1) k.store(dst, to, k.load(src, from));
    else if (count === full) k.store(dst, to, k.load(src, from, vector));
    else k.store(dst, to, k.loadGroup(src, from, vector, count), count);
  }
}

/** Fills `n` (a constant) neighbouring elements with a value in the buffer's own terms. */
export function emitFill(
  k: KernelBuilder,
  dst: Buffer,
  index: ExprLike,
  value: number,
  n: number,
): void {
  if (n === 0) return;
  const size = sizeOf(dst.dtype);
  if (n * size > SHORT_RUN || n === 1) {
    k.fill(dst, index, value, n);
    return;
  }
  const vector = rawVector(dst.dtype);
  const full = lanesOf(vector);
  const lane = vector.startsWith("i64") ? BigInt(value) : value;
  for (const { at, count } of pieces(n, size)) {
    if (count === 1) k.fill(dst, add(index, at), value, 1);
    else k.store(dst, add(index, at), constant(vector, lane), count === full ? undefined : count);
  }
}

/** Repeats one element `n` times. */
function emitSplat(k: KernelBuilder, dst: Buffer, d: Expr, src: Buffer, s: Expr, n: number): void {
  const vector = rawVector(dst.dtype);
  const step = lanesOf(vector);
  const whole = n - (n % step);
  if (whole > 0) {
    const v = k.let("v", k.loadGroup(src, s, vector, 1));
    k.for("i", 0, whole, (i) => k.store(dst, add(d, i), v), { step });
  }
  if (whole === n) return;
  const x = k.let("x", k.load(src, s));
  for (let i = whole; i < n; i++) k.store(dst, add(d, i), x);
}

/** Lane order that takes lanes alternately from the lower (or upper) halves of two vectors. */
const zip = (lanes: number, upper: boolean): number[] =>
  range(lanes).map((i) => (i >> 1) + (upper ? lanes / 2 : 0) + (i % 2) * lanes);

/** Transposes a square block held in `rows`: log2(n) rounds of interleaving row i with row i + n/2. */
function transposeBlock(k: KernelBuilder, rows: readonly Expr[]): readonly Expr[] {
  const n = rows.length;
  const low = zip(n, false);
  const high = zip(n, true);
  let block = rows;
  for (let round = 1; round < n; round *= 2) {
    const from = block;
    block = range(n).map((i) => {
      const a = from[i >> 1]!;
      const b = from[(i >> 1) + n / 2]!;
      return k.let("t", shuffle(a, b, i % 2 === 0 ? low : high));
    });
  }
  return block;
}

/** A two-dimensional transpose: `row` has dst step 1, `col` has src step 1. */
function emitTranspose(
  k: KernelBuilder,
  dst: Buffer,
  d: Expr,
  src: Buffer,
  s: Expr,
  row: CopyAxis,
  col: CopyAxis,
): void {
  const vector = rawVector(dst.dtype);
  const n = lanesOf(vector);
  const rows = row.n - (row.n % n);
  const cols = col.n - (col.n % n);
  const tile = Math.min(rows, TILE_ROWS);
  const block = (r: Expr, c: Expr): void => {
    const from = k.let("from", add(add(s, mul(r, row.src)), c));
    const to = k.let("to", add(add(d, mul(c, col.dst)), r));
    const loaded = range(n).map((i) => k.let("v", k.load(src, add(from, i * row.src), vector)));
    const turned = transposeBlock(k, loaded);
    for (const [i, v] of turned.entries()) k.store(dst, add(to, i * col.dst), v);
  };
  const tiles = (begin: number, end: number, size: number): void =>
    k.forParallel(
      "tile",
      begin,
      end,
      (t) =>
        k.forParallel(
          "c",
          0,
          cols,
          (c) => k.for("r", 0, size, (r) => block(add(t, r), c), { step: n }),
          {
            step: n,
          },
        ),
      { step: size },
    );
  const whole = rows - (rows % tile);
  tiles(0, whole, tile);
  if (rows > whole) tiles(whole, rows, rows - whole);
  const single: Leaf = (to, from) => k.store(dst, to, k.load(src, from));
  if (row.n > rows) {
    const left = [col, { ...row, n: row.n - rows }];
    nestParallel(k, left, add(d, rows), add(s, rows * row.src), single);
  }
  if (col.n > cols) {
    const left = [
      { ...col, n: col.n - cols },
      { ...row, n: rows },
    ];
    nestParallel(k, left, add(d, cols * col.dst), add(s, cols), single);
  }
}

/**
 * Copies a box of elements: for each index vector i, dst[dstOffset + sum(i * axis.dst)] =
 * src[srcOffset + sum(i * axis.src)]. Axes come outermost first in the order of the destination.
 */
export function emitStrided(
  k: KernelBuilder,
  dst: Buffer,
  dstOffset: ExprLike,
  src: Buffer,
  srcOffset: ExprLike,
  box: readonly CopyAxis[],
): void {
  if (box.some((a) => a.n === 0)) return;
  const axes = mergeAxes(box);
  const inner = axes.at(-1);
  const outer = axes.slice(0, -1);
  const each = (over: readonly CopyAxis[], leaf: Leaf): void =>
    nestParallel(k, over, dstOffset, srcOffset, leaf);
  if (inner !== undefined && inner.dst === 1) {
    if (inner.src === 1) {
      if (outer.length === 0) copyChunks(k, dst, dstOffset, src, srcOffset, inner.n);
      else each(outer, (d, s) => emitRun(k, dst, d, src, s, inner.n));
      return;
    }
    if (inner.src === 0) {
      each(outer, (d, s) => emitSplat(k, dst, d, src, s, inner.n));
      return;
    }
    const block = lanesOf(rawVector(dst.dtype));
    const col = outer.find((a) => a.src === 1 && a.n >= block);
    if (col !== undefined && inner.n >= block) {
      const rest = outer.filter((a) => a !== col);
      const turn: Leaf = (d, s) => emitTranspose(k, dst, d, src, s, inner, col);
      if (rest.length === 0) nest(k, rest, dstOffset, srcOffset, turn);
      else each(rest, turn);
      return;
    }
  }
  each(axes, (d, s) => k.store(dst, d, k.load(src, s)));
}

/** A kernel builder with one buffer per operand, raw unless `dtypeOf` says otherwise. */
export function movementKernel(
  name: string,
  ins: readonly TensorType[],
  outs: readonly TensorType[],
  dtypeOf: (dtype: DType) => DType = rawDType,
): {
  readonly k: KernelBuilder;
  readonly ins: readonly Buffer[];
  readonly outs: readonly Buffer[];
} {
  const k = new KernelBuilder(name);
  const buffer = (hint: string, t: TensorType, i: number, role: "in" | "out"): Buffer =>
    k.buffer(`${hint}${i}`, dtypeOf(t.dtype), elementCount(t.shape), role);
  return {
    k,
    ins: ins.map((t, i) => buffer("x", t, i, "in")),
    outs: outs.map((t, i) => buffer("y", t, i, "out")),
  };
}

/** The box of a whole tensor of this shape, read with the given steps. */
export function boxOf(shape: Shape, src: readonly number[], dst = strides(shape)): CopyAxis[] {
  return shape.map((n, i) => ({ n, dst: dst[i]!, src: src[i]! }));
}
