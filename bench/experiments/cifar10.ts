/** @file CIFAR-10 as the experiments read, normalise and alter it. */
import { join } from "node:path";
import type { PictureSet } from "../../src/train/pictures.ts";
import { readPictures } from "./pictures.ts";

export interface Sets {
  readonly train: PictureSet;
  readonly test: PictureSet;
}

export const readCifar10 = async (folder: string): Promise<Sets> => ({
  train: await readPictures(join(folder, "train.parquet")),
  test: await readPictures(join(folder, "test.parquet")),
});

export const CIFAR10 = {
  read: readCifar10,
  batch: 128,
  mean: [0.4914, 0.4822, 0.4465],
  std: [0.2023, 0.1994, 0.201],
  augment: { shift: 4, mirror: true },
};
