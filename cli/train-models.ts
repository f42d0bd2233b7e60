/** @file The models that a configuration of `tersor train` may name. */
import type { Graph } from "../src/graph/graph.ts";
import { lenet5 } from "../src/train/models/lenet5.ts";
import { resnet8 } from "../src/train/models/resnet8.ts";
import { wideResnet } from "../src/train/models/wide-resnet.ts";

interface Sizes {
  readonly batch: number;
  readonly classes: number;
  readonly seed: number;
  readonly depth?: number;
  readonly width?: number;
  readonly side?: number;
}

interface Builder {
  /** Keys beside `build`; all are whole numbers. */
  readonly options: readonly string[];
  readonly needed: readonly string[];
  readonly build: (sizes: Sizes) => Graph;
}

export const BUILDERS: Readonly<Record<string, Builder>> = {
  lenet5: { options: ["classes"], needed: [], build: lenet5 },
  resnet8: { options: ["classes"], needed: [], build: resnet8 },
  "wide-resnet": {
    options: ["classes", "depth", "width", "side"],
    needed: ["depth", "width"],
    build: (sizes) => wideResnet({ ...sizes, depth: sizes.depth!, width: sizes.width! }),
  },
};
