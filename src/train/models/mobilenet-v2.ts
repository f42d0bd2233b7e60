/** @file MobileNetV2 (Sandler et al., arXiv:1801.04381): inverted residuals with linear bottlenecks. */
import type { Graph, Value } from "../../graph/graph.ts";
import { type ConvOptions, Net } from "../net.ts";
import type { ModelOptions } from "./options.ts";

export interface MobilenetV2Options extends ModelOptions {
  /** Factor of all widths; default 1. */
  readonly width?: number;
  /** Side of the pictures; default 32. Up to 64 the stem and the second stage keep the size. */
  readonly side?: number;
}

/** Expansion, channels, repeats, stride of the first repeat, and that stride for small pictures. */
const STAGES = [
  [1, 16, 1, 1, 1],
  [6, 24, 2, 2, 1],
  [6, 32, 3, 2, 2],
  [6, 64, 4, 2, 2],
  [6, 96, 3, 1, 1],
  [6, 160, 3, 2, 2],
  [6, 320, 1, 1, 1],
] as const;

const SMALL = 64;
const DIVISOR = 8;

/** The nearest multiple of 8, but not under nine tenths of the number. */
function divisible(n: number): number {
  const nearest = Math.max(DIVISOR, Math.floor((n + DIVISOR / 2) / DIVISOR) * DIVISOR);
  return nearest < 0.9 * n ? nearest + DIVISOR : nearest;
}

/** 3,504,872 weights at width 1 for 1000 classes; 300,774,272 multiply-accumulates at 224. */
export function mobilenetV2(options: MobilenetV2Options = {}): Graph {
  const { batch = 1, classes = 10, seed = 1, width = 1, side = 32 } = options;
  const small = side <= SMALL;
  const net = new Net(`mobilenet-v2-${width}`, { seed });
  const unit = (x: Value, channels: number, name: string, conv?: ConvOptions): Value =>
    net.relu6(net.batchNorm(net.conv2d(x, channels, name, conv), `${name}.norm`));
  const block = (x: Value, channels: number, factor: number, stride: number, at: string): Value => {
    const inner = net.channels(x) * factor;
    const wide = factor === 1 ? x : unit(x, inner, `${at}.expand`, { kernel: 1 });
    const filtered = unit(wide, inner, `${at}.depthwise`, { stride, groups: inner });
    const narrow = net.conv2d(filtered, channels, `${at}.project`, { kernel: 1 });
    const y = net.batchNorm(narrow, `${at}.project.norm`);
    return stride === 1 && net.channels(x) === channels ? net.add(x, y, at) : y;
  };
  const stem = divisible(32 * width);
  let x = net.input("image", [batch, side, side, 3]);
  x = unit(x, stem, "stem", { stride: small ? 1 : 2 });
  STAGES.forEach(([factor, channels, repeats, first, firstSmall], stage) => {
    for (let i = 0; i < repeats; i++) {
      const stride = i > 0 ? 1 : small ? firstSmall : first;
      x = block(x, divisible(channels * width), factor, stride, `stage${stage + 1}.block${i + 1}`);
    }
  });
  x = unit(x, divisible(1280 * Math.max(1, width)), "last", { kernel: 1 });
  return net.build(net.linear(net.globalPool(x), classes, "head"));
}
