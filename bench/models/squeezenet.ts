/** @file SqueezeNet 1.1 (Iandola et al. 2016, and its later release): 1x1 and 3x3 convolutions side by side. */
import type { Graph, Value } from "../../src/graph/graph.ts";
import { maxPool } from "../../src/ops/nn/max-pool.ts";
import { reduceMean } from "../../src/ops/reduce/reduce-mean.ts";
import { concat } from "../../src/ops/shape/concat.ts";
import { LayerBuilder } from "./layers.ts";

/** Channels of the squeeze and of each expansion; null: a pooling layer. */
const STAGES = [
  null,
  [16, 64],
  [16, 64],
  null,
  [32, 128],
  [32, 128],
  null,
  [48, 192],
  [48, 192],
  [64, 256],
  [64, 256],
] as const;

function fire(b: LayerBuilder, x: Value, squeeze: number, expand: number, at: string): Value {
  const s = b.relu(b.conv(x, squeeze, `${at}.squeeze`, {}, true), `${at}.squeeze`);
  const branches = [
    b.relu(b.conv(s, expand, `${at}.1x1`, {}, true), `${at}.1x1`),
    b.relu(b.conv(s, expand, `${at}.3x3`, { kernel: 3, pad: 1 }, true), `${at}.3x3`),
  ];
  return b.graph.apply(concat, branches, { axis: 1 }, `${at}.concat`);
}

function pool(b: LayerBuilder, x: Value, at: string): Value {
  const window = { kernel: [3, 3], stride: [2, 2], padBegin: [0, 0], padEnd: [0, 0], ceil: true };
  return b.graph.apply(maxPool, [x], { layout: "nchw", ...window }, at);
}

export function squeezenet(side = 224): Graph {
  const b = new LayerBuilder("squeezenet_1_1");
  let x = b.relu(b.conv(b.image(side), 64, "stem", { kernel: 3, stride: 2 }, true), "stem");
  STAGES.forEach((stage, i) => {
    x = stage === null ? pool(b, x, `pool${i}`) : fire(b, x, stage[0], stage[1], `fire${i}`);
  });
  x = b.relu(b.conv(x, 1000, "classifier", {}, true), "classifier");
  b.graph.output(
    b.graph.apply(reduceMean, [x], { axes: [2, 3], keepDims: false }, "mean"),
    "logits",
  );
  return b.graph.build();
}
