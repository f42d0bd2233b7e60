/**
 * @file The shapes of well-known nets with seeded random weights, for structural tests: ResNet-50, DenseNet-121,
 * ShuffleNet 1 and 2, GoogLeNet's modules, VGG-16. `width` scales channels, the sides are small.
 */
import type { Graph, Value } from "../../src/graph/graph.ts";
import { add } from "../../src/ops/elementwise/add.ts";
import { relu } from "../../src/ops/elementwise/relu.ts";
import { averagePool } from "../../src/ops/nn/average-pool.ts";
import { maxPool } from "../../src/ops/nn/max-pool.ts";
import { reduceMean } from "../../src/ops/reduce/reduce-mean.ts";
import { concat } from "../../src/ops/shape/concat.ts";
import { reshape } from "../../src/ops/shape/reshape.ts";
import { split } from "../../src/ops/shape/split.ts";
import { transpose } from "../../src/ops/shape/transpose.ts";
import { type ConvOptions, LayerBuilder } from "./layers.ts";

export interface LightOptions {
  /** Scale of the channels; default 1. */
  readonly width?: number;
  /** Side of the input image; default 64. */
  readonly side?: number;
}

class Net extends LayerBuilder {
  /** Convolution, batch normalisation, ReLU. */
  unit(x: Value, out: number, name: string, options: ConvOptions = {}): Value {
    return this.relu(this.batchNorm(this.conv(x, out, name, options), name), name);
  }

  pool(x: Value, kernel: number, stride: number, name: string, mean = false): Value {
    const pad = kernel === 3 ? 1 : 0;
    const both = (n: number): number[] => [n, n];
    const window = { layout: "nchw", kernel: both(kernel), stride: both(stride) } as const;
    const pads = { padBegin: both(pad), padEnd: both(pad) };
    if (mean) return this.graph.apply(averagePool, [x], { ...window, ...pads }, name);
    return this.graph.apply(maxPool, [x], { ...window, ...pads, dilation: [1, 1] }, name);
  }

  concat(parts: readonly Value[], name: string): Value {
    return this.graph.apply(concat, parts, { axis: 1 }, name);
  }

  /** Mean over the image, then a classifier of 10 classes. */
  head(x: Value): Graph {
    const mean = this.graph.apply(reduceMean, [x], { axes: [2, 3], keepDims: false }, "mean");
    return this.done(this.linear(mean, 10, "classifier"));
  }

  done(y: Value): Graph {
    this.graph.output(y, "logits");
    return this.graph.build();
  }

  shuffle(x: Value, groups: number, name: string): Value {
    const [n, c, h, w] = this.graph.typeOf(x).shape as [number, number, number, number];
    const cut = this.graph.apply(reshape, [x], { shape: [n, groups, c / groups, h, w] }, name);
    const turned = this.graph.apply(transpose, [cut], { perm: [0, 2, 1, 3, 4] }, name);
    return this.graph.apply(reshape, [turned], { shape: [n, c, h, w] }, name);
  }
}

const scaled =
  (width: number, multiple = 4) =>
  (c: number): number =>
    Math.max(multiple, Math.round((c * width) / multiple) * multiple);

export function resnet50({ width = 1, side = 64 }: LightOptions = {}): Graph {
  const b = new Net("resnet_50", 50);
  const c = scaled(width);
  let x = b.pool(
    b.unit(b.image(side), c(64), "stem", { kernel: 7, stride: 2, pad: 3 }),
    3,
    2,
    "pool",
  );
  [3, 4, 6, 3].forEach((blocks, stage) => {
    for (let i = 0; i < blocks; i++) {
      const at = `layer${stage + 1}.${i}`;
      const stride = i === 0 && stage > 0 ? 2 : 1;
      const inner = c(64 * 2 ** stage);
      const a = b.unit(x, inner, `${at}.a`);
      const m = b.unit(a, inner, `${at}.b`, { kernel: 3, pad: 1, stride });
      const y = b.batchNorm(b.conv(m, 4 * inner, `${at}.c`), `${at}.c`, 0.3);
      const short =
        i === 0 ? b.batchNorm(b.conv(x, 4 * inner, `${at}.s`, { stride }), `${at}.s`) : x;
      x = b.graph.apply(relu, [b.graph.apply(add, [y, short], {}, `${at}.add`)], {}, at);
    }
  });
  return b.head(x);
}

export function densenet121({ width = 1, side = 64 }: LightOptions = {}): Graph {
  const b = new Net("densenet_121", 121);
  const growth = scaled(width)(32);
  let x = b.pool(
    b.unit(b.image(side), 2 * growth, "stem", { kernel: 7, stride: 2, pad: 3 }),
    3,
    2,
    "pool",
  );
  const before = (v: Value, name: string): Value => b.relu(b.batchNorm(v, name), name);
  [6, 12, 24, 16].forEach((layers, stage) => {
    for (let i = 0; i < layers; i++) {
      const at = `dense${stage + 1}.${i}`;
      const a = b.conv(before(x, `${at}.pre`), 4 * growth, `${at}.a`);
      const y = b.conv(before(a, `${at}.mid`), growth, `${at}.b`, { kernel: 3, pad: 1 });
      x = b.concat([x, y], `${at}.concat`);
    }
    if (stage === 3) return;
    const at = `transition${stage + 1}`;
    const half = b.conv(before(x, `${at}.pre`), b.channels(x) / 2, at);
    x = b.pool(half, 2, 2, `${at}.pool`, true);
  });
  return b.head(before(x, "last"));
}

/** ShuffleNet 1 with 3 groups (Zhang et al., arXiv:1707.01083). */
export function shufflenet({ width = 1, side = 64 }: LightOptions = {}): Graph {
  const b = new Net("shufflenet", 31);
  const groups = 3;
  const c = scaled(width, 12);
  const stem = b.unit(b.image(side), c(24), "stem", { kernel: 3, stride: 2, pad: 1 });
  let x = b.pool(stem, 3, 2, "pool");
  [4, 8, 4].forEach((blocks, stage) => {
    const out = c(240 * 2 ** stage);
    for (let i = 0; i < blocks; i++) {
      const at = `stage${stage + 2}.${i}`;
      const inner = Math.ceil(out / 4 / groups) * groups;
      const added = i === 0 ? out - b.channels(x) : out;
      const first = b.unit(x, inner, `${at}.a`, { groups: stage + i === 0 ? 1 : groups });
      const mixed = b.shuffle(first, groups, `${at}.shuffle`);
      const window = { kernel: 3, pad: 1, stride: i === 0 ? 2 : 1, groups: inner };
      const deep = b.batchNorm(b.conv(mixed, inner, `${at}.dw`, window), `${at}.dw`);
      const y = b.batchNorm(b.conv(deep, added, `${at}.b`, { groups }), `${at}.b`, 0.5);
      const joined =
        i === 0
          ? b.concat([b.pool(x, 3, 2, `${at}.pool`, true), y], `${at}.concat`)
          : b.graph.apply(add, [x, y], {}, `${at}.add`);
      x = b.relu(joined, at);
    }
  });
  return b.head(x);
}

/** ShuffleNet 2 (Ma et al., arXiv:1807.11164). */
export function shufflenet2({ width = 1, side = 64 }: LightOptions = {}): Graph {
  const b = new Net("shufflenet_2", 32);
  const c = scaled(width);
  let x = b.pool(
    b.unit(b.image(side), c(24), "stem", { kernel: 3, stride: 2, pad: 1 }),
    3,
    2,
    "pool",
  );
  const deep = (v: Value, half: number, stride: number, at: string): Value => {
    const a = b.unit(v, half, `${at}.a`);
    const window = { kernel: 3, pad: 1, stride, groups: half };
    return b.unit(b.batchNorm(b.conv(a, half, `${at}.dw`, window), `${at}.dw`), half, `${at}.b`);
  };
  [4, 8, 4].forEach((blocks, stage) => {
    const half = c(116 * 2 ** stage) / 2;
    for (let i = 0; i < blocks; i++) {
      const at = `stage${stage + 2}.${i}`;
      let parts: readonly Value[];
      if (i === 0) {
        const own = b.channels(x);
        const window = { kernel: 3, pad: 1, stride: 2, groups: own };
        const left = b.batchNorm(b.conv(x, own, `${at}.l`, window), `${at}.l`);
        parts = [b.unit(left, half, `${at}.m`), deep(x, half, 2, at)];
      } else {
        const halves = b.graph.applyAll(split, [x], { axis: 1, sizes: [half, half] }, `${at}.cut`);
        parts = [halves[0]!, deep(halves[1]!, half, 1, at)];
      }
      x = b.shuffle(b.concat(parts, `${at}.concat`), 2, `${at}.shuffle`);
    }
  });
  return b.head(b.unit(x, c(1024), "last"));
}

/** GoogLeNet's modules (Szegedy et al., arXiv:1409.4842). */
export function inception({ width = 1, side = 64 }: LightOptions = {}): Graph {
  const b = new Net("inception", 41);
  const c = scaled(width);
  const module = (x: Value, [p, q, r, s, t, u]: readonly number[], at: string): Value =>
    b.concat(
      [
        b.unit(x, c(p!), `${at}.1`),
        b.unit(b.unit(x, c(q!), `${at}.2a`), c(r!), `${at}.2b`, { kernel: 3, pad: 1 }),
        b.unit(b.unit(x, c(s!), `${at}.3a`), c(t!), `${at}.3b`, { kernel: 5, pad: 2 }),
        b.unit(b.pool(x, 3, 1, `${at}.4p`), c(u!), `${at}.4`),
      ],
      `${at}.concat`,
    );
  let x = b.unit(b.image(side), c(64), "stem", { kernel: 7, stride: 2, pad: 3 });
  x = b.unit(b.pool(x, 3, 2, "pool1"), c(192), "conv2", { kernel: 3, pad: 1 });
  x = module(b.pool(x, 3, 2, "pool2"), [64, 96, 128, 16, 32, 32], "3a");
  x = module(x, [128, 128, 192, 32, 96, 64], "3b");
  x = module(b.pool(x, 3, 2, "pool3"), [192, 96, 208, 16, 48, 64], "4a");
  x = module(x, [256, 160, 320, 32, 128, 128], "4b");
  return b.head(x);
}

/** VGG-16 with a flattened image before its dense layers. */
export function vgg16({ width = 1, side = 64 }: LightOptions = {}): Graph {
  const b = new Net("vgg_16", 16);
  const c = scaled(width);
  let x = b.image(side);
  [2, 2, 3, 3, 3].forEach((layers, stage) => {
    for (let i = 0; i < layers; i++) {
      const at = `conv${stage + 1}.${i}`;
      const out = c(64 * 2 ** Math.min(stage, 3));
      x = b.relu(b.conv(x, out, at, { kernel: 3, pad: 1 }, true), at);
    }
    x = b.pool(x, 2, 2, `pool${stage + 1}`);
  });
  const shape = b.graph.typeOf(x).shape;
  const n = shape.reduce((p, q) => p * q, 1);
  let y = b.graph.apply(reshape, [x], { shape: [1, n] }, "flatten");
  for (const at of ["dense1", "dense2"]) y = b.relu(b.linear(y, c(1024), at, 2), at);
  return b.done(b.linear(y, 10, "classifier"));
}

export const LIGHT = {
  "resnet-50": resnet50,
  "densenet-121": densenet121,
  shufflenet,
  "shufflenet-2": shufflenet2,
  inception,
  "vgg-16": vgg16,
} satisfies Record<string, (options?: LightOptions) => Graph>;
