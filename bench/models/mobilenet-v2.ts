/** @file MobileNetV2, width 1.0 (Sandler et al. 2018): inverted residuals, most of its layers depthwise or 1x1. */
import type { Graph, Value } from "../../src/graph/graph.ts";
import { add } from "../../src/ops/elementwise/add.ts";
import { clip } from "../../src/ops/elementwise/clip.ts";
import { reduceMean } from "../../src/ops/reduce/reduce-mean.ts";
import { type ConvOptions, LayerBuilder } from "./layers.ts";

/** Expansion, channels, repeats, stride of the first repeat. */
const STAGES = [
  [1, 16, 1, 1],
  [6, 24, 2, 2],
  [6, 32, 3, 2],
  [6, 64, 4, 2],
  [6, 96, 3, 1],
  [6, 160, 3, 2],
  [6, 320, 1, 1],
] as const;

function convNorm(b: LayerBuilder, x: Value, out: number, name: string, options?: ConvOptions) {
  return b.batchNorm(b.conv(x, out, name, options), name);
}

function convRelu6(b: LayerBuilder, x: Value, out: number, name: string, options?: ConvOptions) {
  const y = convNorm(b, x, out, name, options);
  return b.graph.apply(clip, [y], { min: 0, max: 6 }, `${name}.relu6`);
}

function block(b: LayerBuilder, x: Value, out: number, factor: number, stride: number, at: string) {
  const wide = b.channels(x) * factor;
  const expanded = factor === 1 ? x : convRelu6(b, x, wide, `${at}.expand`);
  const depthwise = { kernel: 3, stride, pad: 1, groups: wide };
  const filtered = convRelu6(b, expanded, wide, `${at}.depthwise`, depthwise);
  const y = convNorm(b, filtered, out, `${at}.project`);
  return stride === 1 && b.channels(x) === out ? b.graph.apply(add, [x, y], {}, `${at}.add`) : y;
}

export function mobilenetV2(side = 224): Graph {
  const b = new LayerBuilder("mobilenet_v2");
  let x = convRelu6(b, b.image(side), 32, "stem", { kernel: 3, stride: 2, pad: 1 });
  STAGES.forEach(([factor, channels, repeats, stride], stage) => {
    for (let i = 0; i < repeats; i++) {
      x = block(b, x, channels, factor, i === 0 ? stride : 1, `stage${stage}.${i}`);
    }
  });
  x = convRelu6(b, x, 1280, "head");
  x = b.graph.apply(reduceMean, [x], { axes: [2, 3], keepDims: false }, "mean");
  b.graph.output(b.linear(x, 1000, "classifier"), "logits");
  return b.graph.build();
}
