/**
 * @file DS-CNN of MLPerf Tiny (keyword spotting; Zhang et al., arXiv:1711.07128): a convolution over frames and
 * features, then blocks of a depthwise and a pointwise one.
 */
import type { Graph, Value } from "../../graph/graph.ts";
import { reshape } from "../../ops/shape/reshape.ts";
import { Net } from "../net.ts";
import type { ModelOptions } from "./options.ts";

export interface DsCnnOptions extends ModelOptions {
  /** Frames and features of a row; default 49 and 10. */
  readonly frames?: number;
  readonly features?: number;
  /** Channels of every layer; default 64. */
  readonly width?: number;
  /** Depthwise and pointwise pairs; default 4. */
  readonly blocks?: number;
  /** Name of the input; default "features". */
  readonly input?: string;
  /** Size of the input, when it is not [batch, frames, features, 1], and what makes the features of it. */
  readonly front?: {
    readonly shape: readonly number[];
    /** Gives [batch, frames, features]. */
    readonly features: (net: Net, x: Value) => Value;
  };
}

/** 49 x 10 features, 12 classes: 22,604 weights and biases once normalisation is folded. */
export function dsCnn(options: DsCnnOptions = {}): Graph {
  const { batch = 1, classes = 12, seed = 1, frames = 49, features = 10 } = options;
  const { width = 64, blocks = 4, input = "features", front } = options;
  const net = new Net("ds-cnn", { seed });
  let y = net.input(input, front?.shape ?? [batch, frames, features, 1]);
  if (front !== undefined) {
    const made = front.features(net, y);
    const { shape } = net.graph.typeOf(made);
    y = net.graph.apply(reshape, [made], { shape: [...shape, 1] });
  }
  const unit = (x: Value, name: string, kernel: number | readonly [number, number], groups = 1) => {
    const stride = name === "stem" ? 2 : 1;
    const h = net.conv2d(x, width, name, { kernel, stride, groups, pad: "same" });
    return net.relu(net.batchNorm(h, `${name}.norm`));
  };
  y = unit(y, "stem", [10, 4]);
  for (let i = 1; i <= blocks; i++) {
    y = unit(y, `block${i}.depthwise`, 3, width);
    y = unit(y, `block${i}.pointwise`, 1);
  }
  return net.build(net.linear(net.globalPool(y), classes, "head"));
}
