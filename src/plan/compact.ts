/**
 * @file Constants that are mostly zeros, stored without them: the cells that are not zero, and where they lie, as gaps
 * of four bits or as a mask of bits. A cell is an element, or four neighbouring ones. Calls at load write them out for
 * whatever kernel reads them, so that layers computed densely, of any element type, are stored as small as others.
 */
import type { Call, Program, Segment } from "../kernel/program.ts";
import {
  CELLS,
  type Cell,
  countGaps,
  packGaps,
  packMask,
  scatterGapsKernel,
  scatterMaskKernel,
} from "../primitives/sparse/gaps.ts";
import { bytesOf, tensorOf } from "../tensor/tensor.ts";
import { filledCells, takeCells } from "../util/cells.ts";
import { alignUp } from "../util/math.ts";
import type { KernelTable } from "./kernel-table.ts";

/** How a constant is stored. */
export interface StoredForm {
  readonly form: "dense" | "gaps" | "mask";
  /** Bytes that are zero or not as a whole. */
  readonly cell: Cell;
  /** Bytes of values and positions. */
  readonly bytes: number;
}

/** Bytes that must be saved: less is not worth the code. */
const LEAST_SAVED = 256;
/** Of what a constant takes, the share that must be saved: engines inflate zeros for nothing. */
const LEAST_SHARE = 0.1;

/** The smallest form of the bytes. */
export function smallestForm(bytes: Uint8Array): StoredForm {
  const dense: StoredForm = { form: "dense", cell: 1, bytes: bytes.length };
  const forms = CELLS.filter((cell) => bytes.length % cell === 0).flatMap((cell): StoredForm[] => {
    const filled = filledCells(bytes, cell);
    const values = filled.length * cell;
    return [
      { form: "gaps", cell, bytes: values + Math.ceil(countGaps(filled) / 2) },
      { form: "mask", cell, bytes: values + 4 * Math.ceil(bytes.length / cell / 32) },
    ];
  });
  const best = forms.reduce((a, b) => (b.bytes < a.bytes ? b : a), dense);
  const saved = bytes.length - best.bytes;
  return saved >= Math.max(LEAST_SAVED, LEAST_SHARE * bytes.length) ? best : dense;
}

/** The program of the kernels in `table` with constants in their smallest forms; memory grows by what is stored. */
export function compactConstants(program: Program, table: KernelTable): Program {
  const constants: Segment[] = [];
  const init: Call[] = [];
  let end = alignUp(program.memoryBytes, 16);
  const place = (name: string, bytes: Uint8Array): number => {
    const offset = end;
    constants.push({ name, offset, bytes });
    end = alignUp(end + bytes.length, 16);
    return offset;
  };
  for (const segment of program.constants) {
    const { name, offset, bytes } = segment;
    const { form, cell } = smallestForm(bytes);
    if (form === "dense") {
      constants.push(segment);
      continue;
    }
    const all = bytes.length / cell;
    const filled = filledCells(bytes, cell);
    // A kernel's buffer has at least one cell.
    const values = filled.length === 0 ? new Uint8Array(cell) : takeCells(bytes, cell, filled);
    const at = place(name, values);
    const stored = Math.max(1, filled.length);
    const label = `load ${name}`;
    if (form === "gaps") {
      const gaps = packGaps(filled);
      const bases = [place(`${name} gaps`, gaps.bytes), at, offset];
      const kernel = table.intern(scatterGapsKernel(cell, gaps.bytes.length, stored, all));
      init.push({ kernel, bases, args: [gaps.count, all], label });
    } else {
      const words = packMask(filled, all);
      const mask = bytesOf(tensorOf("i32", [words.length], [...words]));
      const bases = [place(`${name} mask`, mask), at, offset];
      const kernel = table.intern(scatterMaskKernel(cell, words.length, stored, all));
      init.push({ kernel, bases, args: [words.length, all], label });
    }
  }
  if (init.length === 0) return program;
  return {
    ...program,
    kernels: table.kernels,
    constants,
    init: [...init, ...program.init],
    memoryBytes: end,
  };
}
