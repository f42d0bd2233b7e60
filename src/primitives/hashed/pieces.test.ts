import assert from "node:assert/strict";
import { test } from "node:test";
import { type Tensor, tensorOf } from "../../tensor/tensor.ts";
import { type Piece, packedPlaces, piecesOf } from "./pieces.ts";

/** What the pieces say lies in each element. */
function walked(pieces: readonly Piece[], size: number): Int32Array {
  const out = new Int32Array(size).fill(-1);
  for (const { to, from, loops } of pieces) {
    let at: (readonly [number, number])[] = [[to, from]];
    for (const loop of loops) {
      at = Array.from({ length: loop.count }, (_, i) =>
        at.map(([t, f]) => [t + i * loop.to, f + i * loop.from] as const),
      ).flat();
    }
    for (const [t, f] of at) out[t] = f;
  }
  return out;
}

const places = (shape: readonly number[], at: (i: number) => number): Tensor => {
  const size = shape.reduce((a, b) => a * b, 1);
  return tensorOf(
    "i32",
    shape,
    Array.from({ length: size }, (_, i) => at(i)),
  );
};

/** [rows, depth] as panels of `width` rows side by side, padded with zeros. */
const panels = (rows: number, depth: number, width: number) => (w: Tensor) => {
  const out = new Float32Array(Math.ceil(rows / width) * depth * width);
  for (let r = 0; r < rows; r++) {
    for (let k = 0; k < depth; k++) {
      const at = (Math.floor(r / width) * depth + k) * width + (r % width);
      out[at] = w.data[r * depth + k] as number;
    }
  }
  return tensorOf("f32", [out.length], out);
};

test("pieces give back any packing in panels, of places beyond what f32 holds", () => {
  for (const [rows, depth, width] of [
    [16, 5, 8],
    [20, 7, 8],
    [3, 4, 8],
    [9, 1, 4],
    [1, 9, 8],
    [17, 3, 16],
    [8, 2, 1],
  ] as const) {
    const first = 2 ** 30 + 12345;
    const rowed = places(
      [rows, depth],
      (i) => first + Math.floor(i / depth) * (depth + 2) + (i % depth),
    );
    const packed = packedPlaces(rowed, panels(rows, depth, width));
    const pieces = piecesOf(packed);
    assert.ok(pieces !== null && pieces.length <= 3, `${rows} ${depth} ${width}`);
    assert.deepEqual(walked(pieces, packed.length), packed, `${rows} ${depth} ${width}`);
    assert.equal(packed.filter((p) => p >= 0).length, rows * depth);
  }
});

test("an order without loops is refused", () => {
  const odd = places([100], (i) => (i * i * 7) % 101);
  assert.equal(
    piecesOf(packedPlaces(odd, (t) => tensorOf("f32", [100], t.data as Float32Array))),
    null,
  );
});
