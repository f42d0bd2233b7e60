/** @file The picture sets of the experiments, whole in memory. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { parseIdx } from "../../src/data/idx.ts";
import { openSource } from "../../src/data/node.ts";
import type { PictureSet } from "../../src/train/pictures.ts";
import { UserError } from "../../src/util/errors.ts";

/** MNIST as IDX files in a folder; `part` "train" or "t10k". */
export function readMnist(folder: string, part: "train" | "t10k"): PictureSet {
  const file = (what: string) => parseIdx(readFileSync(join(folder, `${part}-${what}`)), what);
  const images = file("images-idx3-ubyte");
  const labels = file("labels-idx1-ubyte");
  const [count, height, width] = images.type.shape as [number, number, number];
  return {
    count,
    height,
    width,
    channels: 1,
    classes: 10,
    pixels: images.data as Uint8Array,
    labels: labels.data as Uint8Array,
  };
}

const CHUNK = 1000;

/** Labelled colour pictures of one size from any source of data. */
export async function readPictures(path: string): Promise<PictureSet> {
  const source = await openSource(path);
  const first = (await source.read([0]))[0]!.data;
  if (first.kind !== "image") throw new UserError("E_DATA", "not pictures", { where: path });
  const { width, height, channels } = first;
  const size = width * height * channels;
  const pixels = new Uint8Array(source.size * size);
  const labels = new Uint8Array(source.size);
  for (let from = 0; from < source.size; from += CHUNK) {
    const rows = Array.from({ length: Math.min(CHUNK, source.size - from) }, (_, i) => from + i);
    for (const [i, { data, label, id }] of (await source.read(rows)).entries()) {
      if (data.kind !== "image" || data.data.length !== size || label === null) {
        throw new UserError("E_DATA", `not a labelled picture of ${width} x ${height}`, {
          where: id,
        });
      }
      pixels.set(data.data, (from + i) * size);
      labels[from + i] = label;
    }
  }
  const classes = source.classes?.length ?? 1 + labels.reduce((a, b) => Math.max(a, b), 0);
  return { count: source.size, height, width, channels, classes, pixels, labels };
}
