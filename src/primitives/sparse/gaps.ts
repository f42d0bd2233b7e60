/**
 * @file Positions of rare elements as gaps of four bits, and what kernels need of them, made when a model is loaded.
 * A gap below 15 is that many elements passed over, then one that counts; 15 passes over fifteen and no more. At 90 %
 * zeros that is 5 bits for each element that counts, where 4.7 are the least.
 */
import {
  add,
  and,
  binary,
  i32,
  KernelBuilder,
  lt,
  mul,
  rem,
  shl,
  shr,
  unary,
  xor,
} from "../../kernel/build.ts";
import type { Expr, Kernel, KType } from "../../kernel/ir.ts";

/** Gap that stands for elements passed over only. */
const FAR = 15;

/** The stream of ascending positions, two gaps a byte, low half first; `count` gaps. */
export interface Gaps {
  readonly bytes: Uint8Array;
  readonly count: number;
}

/** Number of gaps for ascending positions. */
export function countGaps(positions: ArrayLike<number>): number {
  let [count, next] = [0, 0];
  for (let i = 0; i < positions.length; i++) {
    count += Math.floor((positions[i]! - next) / FAR) + 1;
    next = positions[i]! + 1;
  }
  return count;
}

export function packGaps(positions: ArrayLike<number>): Gaps {
  const count = countGaps(positions);
  const bytes = new Uint8Array(Math.ceil(count / 2));
  let [at, next] = [0, 0];
  const push = (gap: number): void => {
    bytes[at >> 1]! |= gap << (4 * (at & 1));
    at++;
  };
  for (let i = 0; i < positions.length; i++) {
    let gap = positions[i]! - next;
    for (; gap >= FAR; gap -= FAR) push(FAR);
    push(gap);
    next = positions[i]! + 1;
  }
  return { bytes, count };
}

/** A kernel over a stream: `begin` declares its other buffers, and gives what is done with each position and its number. */
function gapsKernel(
  name: string,
  bytes: number,
  begin: (k: KernelBuilder) => (at: Expr, index: Expr) => void,
): Kernel {
  const k = new KernelBuilder(name);
  const stream = k.buffer("gaps", "u8", bytes, "const");
  const count = k.arg("count", "i32");
  const body = begin(k);
  const at = k.reg("at", 0);
  const index = k.reg("index", 0);
  k.for("i", 0, count, (i) => {
    const byte = k.load(stream, shr(i, 1));
    const gap = k.let("gap", and(shr(byte, shl(and(i, 1), 2)), FAR));
    k.set(at, add(at, gap));
    k.if(lt(gap, FAR), () => {
      body(at, index);
      k.set(at, add(at, 1));
      k.set(index, add(index, 1));
    });
  });
  return k.build();
}

/** Buffers: gaps of the places of values in rows, their columns (u16). Args: number of gaps, length of a row. */
export const columnsKernel = (bytes: number, values: number): Kernel =>
  gapsKernel("unpack_columns", bytes, (k) => {
    const columns = k.buffer("columns", "u16", values, "out");
    const length = k.arg("length", "i32");
    return (at, index) => k.store(columns, index, rem(at, length));
  });

/** Buffers: values of each row (u16), where rows start and the end (i32). Args: number of rows. */
export function startsKernel(rows: number): Kernel {
  const k = new KernelBuilder("unpack_starts");
  const counts = k.buffer("counts", "u16", rows, "const");
  const starts = k.buffer("starts", "i32", rows + 1, "out");
  const n = k.arg("n", "i32");
  const sum = k.reg("sum", 0);
  k.store(starts, 0, sum);
  k.for("r", 0, n, (r) => {
    k.set(sum, add(sum, k.load(counts, r)));
    k.store(starts, add(r, 1), sum);
  });
  return k.build();
}

/** Bytes of what is zero or not as a whole: an element of that size, or four neighbouring ones. */
export const CELLS = [1, 2, 4, 16] as const;
export type Cell = (typeof CELLS)[number];

const CELL_TYPES = { 1: ["u8", 1], 2: ["u16", 1], 4: ["i32", 1], 16: ["i32", 4] } as const;

/** Moves cell `from` of one buffer to cell `to` of another. */
function cellMover(
  k: KernelBuilder,
  cell: Cell,
  values: number,
  dense: number,
): (to: Expr, from: Expr) => void {
  const [dtype, width] = CELL_TYPES[cell];
  const source = k.buffer("values", dtype, values * width, "const");
  const target = k.buffer("dense", dtype, dense * width, "out");
  const all = k.arg("all", "i32");
  k.fill(target, 0, 0, mul(all, width));
  const type: KType | undefined = width === 1 ? undefined : "i32x4";
  return (to, from) => k.store(target, mul(to, width), k.load(source, mul(from, width), type));
}

/** Buffers: gaps, cells that are not zero, all cells. Args: number of gaps, of all cells. */
export const scatterGapsKernel = (cell: Cell, bytes: number, values: number, all: number): Kernel =>
  gapsKernel(`scatter_gaps_${cell}`, bytes, (k) => cellMover(k, cell, values, all));

/** The bit of the first cell of a word. */
const FIRST = 0x80000000 | 0;

/** Buffers: mask words (the first cell in the highest bit), cells that are not zero, all cells. Args: words, all cells. */
export function scatterMaskKernel(cell: Cell, words: number, values: number, all: number): Kernel {
  const k = new KernelBuilder(`scatter_mask_${cell}`);
  const mask = k.buffer("mask", "i32", words, "const");
  const count = k.arg("count", "i32");
  const move = cellMover(k, cell, values, all);
  const index = k.reg("index", 0);
  k.for("w", 0, count, (w) => {
    const bits = k.reg("bits", k.load(mask, w));
    k.for("i", 0, k.let("ones", unary("popcnt", bits)), () => {
      const lead = k.let("lead", unary("clz", bits));
      move(add(shl(w, 5), lead), index);
      k.set(bits, xor(bits, binary("shr_u", i32(FIRST), lead)));
      k.set(index, add(index, 1));
    });
  });
  return k.build();
}

/** One bit a cell, in words of 32, the first cell in the highest bit. */
export function packMask(positions: ArrayLike<number>, cells: number): Int32Array {
  const words = new Int32Array(Math.ceil(cells / 32));
  for (let i = 0; i < positions.length; i++) {
    words[positions[i]! >> 5]! |= FIRST >>> (positions[i]! & 31);
  }
  return words;
}
