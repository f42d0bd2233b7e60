/** @file Transposes of random shapes and dtypes: the emitted copies against `eval`, byte for byte. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { evalTensors, inferTypes } from "../../graph/apply.ts";
import { interpretKernel } from "../../kernel/interpret.ts";
import { DTYPES, type DType } from "../../tensor/dtype.ts";
import { bytesOf, type Tensor, tensorType, zeros } from "../../tensor/tensor.ts";
import { alignUp } from "../../util/math.ts";
import { makeRng } from "../../util/rng.ts";
import { range } from "./check.ts";
import { transpose } from "./transpose.ts";

const SEED = 20;
/** Extents around the sizes where vectors, blocks and tiles begin and end. */
const EXTENTS = [1, 2, 3, 4, 5, 7, 8, 9, 16, 17, 33, 37];

function randomTensor(dtype: DType, shape: readonly number[], next: (n: number) => number): Tensor {
  const t = zeros(tensorType(dtype, shape));
  bytesOf(t).forEach((_, i, bytes) => {
    bytes[i] = next(64); // never the bits of a NaN, whose payload need not survive
  });
  return t;
}

/** The bytes the lowered kernel writes. */
function lowered(x: Tensor, perm: readonly number[]): Uint8Array {
  const outs = inferTypes(transpose, [x.type], { perm });
  const size = bytesOf(x).length;
  const base = alignUp(size, 16);
  const memory = new ArrayBuffer(base + size);
  new Uint8Array(memory).set(bytesOf(x));
  interpretKernel(transpose.lower!([x.type], { perm }, outs), memory, [0, base], []);
  return new Uint8Array(memory, base, size);
}

test(`300 random transposes (seed ${SEED}) move every byte where eval moves it`, () => {
  const rng = makeRng(SEED);
  const dtypes = Object.keys(DTYPES) as DType[];
  for (const n of range(300)) {
    let room = 3000;
    const shape = range(rng.int(6)).map(() => {
      const extent = EXTENTS[rng.int(EXTENTS.length)]!;
      if (extent > room) return 1;
      room = Math.floor(room / extent);
      return extent;
    });
    const dtype = dtypes[rng.int(dtypes.length)]!;
    const perm = [...rng.permutation(shape.length)];
    const x = randomTensor(dtype, shape, rng.int);
    const outs = inferTypes(transpose, [x.type], { perm });
    const want = bytesOf(evalTensors(transpose, [x], { perm }, outs)[0]!);
    assert.deepEqual(lowered(x, perm), want, `case ${n}: ${dtype} [${shape}] by [${perm}]`);
  }
});
