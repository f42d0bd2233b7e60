/** @file ResNet-18 (He et al. 2016): 3x3 convolutions with residuals. */
import type { Graph, Value } from "../../src/graph/graph.ts";
import { add } from "../../src/ops/elementwise/add.ts";
import { maxPool } from "../../src/ops/nn/max-pool.ts";
import { reduceMean } from "../../src/ops/reduce/reduce-mean.ts";
import { LayerBuilder } from "./layers.ts";

/** Of the second normalisation of a block: keeps the sum of both branches from growing with depth. */
const BRANCH_GAIN = 0.5;

function block(b: LayerBuilder, x: Value, out: number, stride: number, at: string): Value {
  const first = b.conv(x, out, `${at}.a`, { kernel: 3, stride, pad: 1 });
  const middle = b.relu(b.batchNorm(first, `${at}.a`), `${at}.a`);
  const second = b.conv(middle, out, `${at}.b`, { kernel: 3, pad: 1 });
  const y = b.batchNorm(second, `${at}.b`, BRANCH_GAIN);
  const short =
    stride === 1 ? x : b.batchNorm(b.conv(x, out, `${at}.short`, { stride }), `${at}.short`);
  return b.relu(b.graph.apply(add, [y, short], {}, `${at}.add`), at);
}

export function resnet18(side = 224): Graph {
  const b = new LayerBuilder("resnet_18");
  const stem = b.conv(b.image(side), 64, "stem", { kernel: 7, stride: 2, pad: 3 });
  let x = b.relu(b.batchNorm(stem, "stem"), "stem");
  const window = { kernel: [3, 3], stride: [2, 2], padBegin: [1, 1], padEnd: [1, 1] };
  x = b.graph.apply(maxPool, [x], { layout: "nchw", ...window }, "pool");
  [64, 128, 256, 512].forEach((channels, stage) => {
    x = block(b, x, channels, stage === 0 ? 1 : 2, `stage${stage}.0`);
    x = block(b, x, channels, 1, `stage${stage}.1`);
  });
  x = b.graph.apply(reduceMean, [x], { axes: [2, 3], keepDims: false }, "mean");
  b.graph.output(b.linear(x, 1000, "classifier"), "logits");
  return b.graph.build();
}
