/**
 * @file Sparse weights for channels-first products: one row of non-zeros per output channel, 16-bit indices
 * where they fit. The layout follows XNNPACK's SpMM (Elsen et al., Fast Sparse ConvNets, arXiv:1911.09723).
 */
import type { Tensor } from "../../tensor/tensor.ts";
import { tensorOf } from "../../tensor/tensor.ts";
import type { Operand } from "../primitive.ts";
import { columnsKernel, packGaps, startsKernel } from "./gaps.ts";

export interface SparseRows {
  readonly rows: number;
  readonly columns: number;
  readonly nonZeros: number;
  /** Values in order of rows, f32 or i8; at least one element. */
  readonly values: Tensor;
  /** Column of each value, u16. */
  readonly indices: Tensor;
  /** Where each value lies in the dense tensor. */
  readonly places: Uint32Array;
  /** Where each row starts, and the end: rows + 1 elements, i32. */
  readonly starts: Tensor;
}

/** Columns that fit the 16-bit indices. */
export const MOST_COLUMNS = 65536;
/** Columns of which 16 bits can count all. */
const MOST_COUNTED = 65535;

/** The number of elements of a weight tensor that are not zero. */
export function countNonZeros(w: Tensor): number {
  let n = 0;
  for (let i = 0; i < w.data.length; i++) if (w.data[i] !== 0) n++;
  return n;
}

/**
 * Rows of i8 weights, each filled up to a multiple of `multiple` values by zeros of the row; null: a row has not enough.
 */
export function paddedRows(w: Tensor, rows: number, multiple: number): SparseRows | null {
  const columns = w.data.length / rows;
  const [values, places, starts]: [number[], number[], number[]] = [[], [], [0]];
  for (let r = 0; r < rows; r++) {
    const row = Array.from({ length: columns }, (_, c) => Number(w.data[r * columns + c]));
    const nonZeros = row.filter((value) => value !== 0).length;
    let fill = (multiple - (nonZeros % multiple)) % multiple;
    if (nonZeros + fill > columns) return null;
    row.forEach((value, c) => {
      if (value === 0 && fill-- <= 0) return;
      values.push(value);
      places.push(r * columns + c);
    });
    starts.push(values.length);
  }
  const count = values.length;
  if (count === 0) values.push(...new Array<number>(multiple).fill(0));
  return {
    ...{ rows, columns, nonZeros: count },
    values: tensorOf("i8", [values.length], values),
    indices: tensorOf(
      "u16",
      [values.length],
      count === 0 ? values : places.map((p) => p % columns),
    ),
    places: Uint32Array.from(places),
    starts: tensorOf("i32", [starts.length], starts),
  };
}

/** Rows of a dense [rows, columns] tensor. */
export function sparseRows(w: Tensor, rows: number): SparseRows {
  const columns = w.data.length / rows;
  const nonZeros = countNonZeros(w);
  const values = new Float32Array(Math.max(1, nonZeros));
  const indices = new Uint16Array(values.length);
  const places = new Uint32Array(nonZeros);
  const starts: number[] = [0];
  let at = 0;
  for (let r = 0; r < rows; r++) {
    for (let c = 0; c < columns; c++) {
      const value = w.data[r * columns + c] as number;
      if (value === 0) continue;
      values[at] = value;
      places[at] = r * columns + c;
      indices[at++] = c;
    }
    starts.push(at);
  }
  return {
    rows,
    columns,
    nonZeros,
    values: { type: { dtype: "f32", shape: [values.length] }, data: values },
    indices: { type: { dtype: "u16", shape: [indices.length] }, data: indices },
    places,
    starts: tensorOf("i32", [starts.length], starts),
  };
}

/** Operands of the columns and the starts of rows: as they are, or made of gaps and of counts when a model is loaded. */
export function rowOperands(
  { rows, columns, nonZeros, indices, places, starts }: SparseRows,
  unpacks: boolean,
): readonly Operand[] {
  const counts = Array.from(
    { length: rows },
    (_, r) => Number(starts.data[r + 1]) - Number(starts.data[r]),
  );
  if (!unpacks || nonZeros === 0 || columns > MOST_COUNTED) {
    return [
      { kind: "const", name: "columns", tensor: indices },
      { kind: "const", name: "rows", tensor: starts },
    ];
  }
  const gaps = packGaps(places);
  return [
    {
      kind: "made",
      name: "columns",
      type: indices.type,
      from: tensorOf("u8", [gaps.bytes.length], [...gaps.bytes]),
      kernel: columnsKernel(gaps.bytes.length, nonZeros),
      args: [gaps.count, columns],
    },
    {
      kind: "made",
      name: "rows",
      type: starts.type,
      from: tensorOf("u16", [rows], counts),
      kernel: startsKernel(rows),
      args: [rows],
    },
  ];
}
