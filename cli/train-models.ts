/** @file The models that a configuration of `tersor train` may name. */
import type { Graph } from "../src/graph/graph.ts";
import { dsCnn } from "../src/train/models/ds-cnn.ts";
import { lenet5 } from "../src/train/models/lenet5.ts";
import { mlp } from "../src/train/models/mlp.ts";
import { mobilenetV2 } from "../src/train/models/mobilenet-v2.ts";
import { resnet8 } from "../src/train/models/resnet8.ts";
import { type TransformerOptions, transformer } from "../src/train/models/transformer.ts";
import { type WideResnetOptions, wideResnet } from "../src/train/models/wide-resnet.ts";
import { above, list, type Rule, whole } from "./check.ts";

/** What every builder is given beside the options of the configuration. */
interface Common {
  readonly batch: number;
  readonly classes: number;
  readonly seed: number;
}

interface Builder {
  /** Keys beside `build` and `classes`. */
  readonly options: Readonly<Record<string, Rule>>;
  readonly needed: readonly string[];
  /** The options are checked before. */
  readonly build: (options: Common) => Graph;
}

const n = whole(1);

export const BUILDERS: Readonly<Record<string, Builder>> = {
  lenet5: { options: {}, needed: [], build: lenet5 },
  resnet8: { options: {}, needed: [], build: resnet8 },
  "wide-resnet": {
    options: { depth: n, width: n, side: n },
    needed: ["depth", "width"],
    build: (o) => wideResnet(o as WideResnetOptions),
  },
  "mobilenet-v2": { options: { width: above(0), side: n }, needed: [], build: mobilenetV2 },
  "ds-cnn": {
    options: { frames: n, features: n, width: n, blocks: n },
    needed: [],
    build: dsCnn,
  },
  mlp: { options: { inputs: n, hidden: list(n) }, needed: [], build: mlp },
  "picture-transformer": {
    options: { side: n, patch: n, channels: n, width: n, heads: n, layers: n, hidden: n },
    needed: ["side", "patch"],
    build: (o) => transformer(o as unknown as TransformerOptions),
  },
  "sequence-transformer": {
    options: { tokens: n, features: n, width: n, heads: n, layers: n, hidden: n },
    needed: ["tokens", "features"],
    build: (o) => transformer(o as unknown as TransformerOptions),
  },
};
