/**
 * @file Where the elements of a packed tensor were before it was packed, found by packing their places instead, and
 * written as nests of loops.
 */
import { type Tensor, tensorOf } from "../../tensor/tensor.ts";

/** A loop of a nest: iterations, and how far each moves in the packed tensor and in the virtual one. */
export interface PieceLoop {
  readonly count: number;
  readonly to: number;
  readonly from: number;
}

/** Elements of a packed tensor that a nest of loops walks through, the innermost loop first. */
export interface Piece {
  /** The first element, packed and virtual. */
  readonly to: number;
  readonly from: number;
  readonly loops: readonly PieceLoop[];
}

/** Loops that the kernel has (expand.ts). */
export const MOST_LOOPS = 4;
/** Pieces, each of them a call. */
const MOST_PIECES = 8;
/** Where the packed tensor has a zero of its own. */
const NONE = -1;

/** For each element of the packed tensor the place of what lies there, or -1. */
export function packedPlaces(places: Tensor, pack: (values: Tensor) => Tensor): Int32Array {
  const at = places.data as Int32Array;
  // In halves, which f32 holds exactly, and from 1, to tell them from padding.
  const half = (part: (place: number) => number): ArrayLike<number> =>
    pack(tensorOf("f32", places.type.shape, Float32Array.from(at, part))).data as Float32Array;
  const low = half((p) => (p & 0xffff) + 1);
  const high = half((p) => p >>> 16);
  return Int32Array.from(low, (x, i) => (x === 0 ? NONE : high[i]! * 65536 + x - 1));
}

/** Joins neighbours of equal loops and equal distance into one more loop. */
function joined(pieces: readonly Piece[]): Piece[] {
  const out: Piece[] = [];
  const alike = (a: Piece, b: Piece | undefined): boolean =>
    b !== undefined &&
    a.loops.length === b.loops.length &&
    a.loops.every(({ count, to, from }, i) => {
      const other = b.loops[i]!;
      return count === other.count && to === other.to && from === other.from;
    });
  for (let i = 0; i < pieces.length; ) {
    const first = pieces[i]!;
    const second = pieces[i + 1];
    if (second === undefined || !alike(first, second)) {
      out.push(first);
      i++;
      continue;
    }
    const [to, from] = [second.to - first.to, second.from - first.from];
    let count = 2;
    for (let next = pieces[i + count]; alike(first, next); next = pieces[i + count]) {
      if (next!.to !== first.to + count * to || next!.from !== first.from + count * from) break;
      count++;
    }
    out.push({ ...first, loops: [...first.loops, { count, to, from }] });
    i += count;
  }
  return out;
}

/** The nests that give the places in the order of the packed elements; null: too many. */
export function piecesOf(places: Int32Array): readonly Piece[] | null {
  let pieces: Piece[] = [];
  places.forEach((from, to) => {
    if (from !== NONE) pieces.push({ to, from, loops: [] });
  });
  for (let level = 0; level < MOST_LOOPS; level++) {
    const next = joined(pieces);
    if (next.length === pieces.length) break;
    pieces = next;
  }
  return pieces.length > MOST_PIECES ? null : pieces;
}
