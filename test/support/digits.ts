/** @file Small labelled pictures in IDX files, which a network can learn. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { makeRng } from "../../src/util/rng.ts";

const SIDE = 28;
const CLASSES = 10;

function idx(type: number, shape: readonly number[], data: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(4 + 4 * shape.length + data.length);
  const view = new DataView(bytes.buffer);
  bytes.set([0, 0, type, shape.length]);
  shape.forEach((n, i) => view.setUint32(4 + 4 * i, n));
  bytes.set(data, 4 + 4 * shape.length);
  return bytes;
}

/** Noise with a light square whose place tells the class. */
function picture(label: number, noise: () => number): Uint8Array {
  return Uint8Array.from({ length: SIDE * SIDE }, (_, i) => {
    const [y, x] = [Math.floor(i / SIDE), i % SIDE];
    const inside = Math.floor(y / 7) * 4 + Math.floor(x / 7) === label;
    return (inside ? 150 : 0) + noise();
  });
}

/** Writes PART-images-idx3-ubyte and PART-labels-idx1-ubyte for `train` and `t10k`; returns the images' paths. */
export function writeDigits(folder: string, train: number, test: number) {
  mkdirSync(folder, { recursive: true });
  const write = (part: string, count: number, seed: number): string => {
    const rng = makeRng(seed);
    const labels = Uint8Array.from({ length: count }, () => rng.int(CLASSES));
    const pixels = new Uint8Array(count * SIDE * SIDE);
    labels.forEach((l, i) =>
      pixels.set(
        picture(l, () => rng.int(100)),
        i * SIDE * SIDE,
      ),
    );
    const path = join(folder, `${part}-images-idx3-ubyte`);
    writeFileSync(path, idx(8, [count, SIDE, SIDE], pixels));
    writeFileSync(join(folder, `${part}-labels-idx1-ubyte`), idx(8, [count], labels));
    return path;
  };
  return { train: write("train", train, 1), test: write("t10k", test, 2) };
}
