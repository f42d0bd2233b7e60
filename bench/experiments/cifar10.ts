/** @file The picture sets as the experiments read, normalise and alter them. */
import { join } from "node:path";
import { openSource } from "../../src/data/node.ts";
import { readPictures } from "../../src/train/data/read.ts";
import type { PictureSet } from "../../src/train/data/sets.ts";

export interface Sets {
  readonly train: PictureSet;
  readonly test: PictureSet;
}

/** Two files of a folder. */
export const picturesIn =
  (train: string, test: string) =>
  async (folder: string): Promise<Sets> => ({
    train: await readPictures(await openSource(join(folder, train))),
    test: await readPictures(await openSource(join(folder, test))),
  });

export const CIFAR10 = {
  read: picturesIn("train.parquet", "test.parquet"),
  batch: 128,
  mean: [0.4914, 0.4822, 0.4465],
  std: [0.2023, 0.1994, 0.201],
  augment: { shift: 4, mirror: true },
};

export const MNIST = {
  read: picturesIn("train-images-idx3-ubyte", "t10k-images-idx3-ubyte"),
  batch: 64,
  mean: [0.1307],
  std: [0.3081],
  augment: {},
};

/** The same of `tersor train`'s configurations in this folder. */
export const CIFAR10_DATA = {
  train: "../../../shared/data/cifar10/train.parquet",
  eval: "../../../shared/data/cifar10/test.parquet",
  batch: CIFAR10.batch,
  mean: CIFAR10.mean,
  std: CIFAR10.std,
};
