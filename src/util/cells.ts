/** @file Bytes in cells of equal size, those with zeros only left out. */

/** Numbers of the cells with a byte that is not zero, ascending. `cell`: bytes of one. */
export function filledCells(bytes: Uint8Array, cell: number): number[] {
  const found: number[] = [];
  for (let c = 0; c < bytes.length / cell; c++) {
    for (let i = c * cell; i < (c + 1) * cell; i++) {
      if (bytes[i] === 0) continue;
      found.push(c);
      break;
    }
  }
  return found;
}

/** The cells of these numbers back to back. */
export function takeCells(bytes: Uint8Array, cell: number, cells: readonly number[]): Uint8Array {
  const out = new Uint8Array(cells.length * cell);
  cells.forEach((c, i) => {
    out.set(bytes.subarray(c * cell, (c + 1) * cell), i * cell);
  });
  return out;
}
