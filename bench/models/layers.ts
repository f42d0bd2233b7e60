/** @file Layers with seeded random weights, as an importer would give them: NCHW, batch norm unfolded. */
import { GraphBuilder, type Value } from "../../src/graph/graph.ts";
import { relu } from "../../src/ops/elementwise/relu.ts";
import { batchNorm } from "../../src/ops/nn/batch-norm.ts";
import { conv } from "../../src/ops/nn/conv.ts";
import { linear } from "../../src/ops/nn/linear.ts";
import { type Tensor, tensorOf, tensorType } from "../../src/tensor/tensor.ts";
import { makeRng, type Rng } from "../../src/util/rng.ts";

export interface ConvOptions {
  readonly kernel?: number;
  readonly stride?: number;
  readonly pad?: number;
  readonly groups?: number;
}

/** A GraphBuilder with the layers the models share; every weight comes from one seeded generator. */
export class LayerBuilder {
  readonly graph: GraphBuilder;
  private readonly rng: Rng;

  constructor(name: string, seed = 1) {
    this.graph = new GraphBuilder(name);
    this.rng = makeRng(seed);
  }

  image(side: number): Value {
    return this.graph.input("image", tensorType("f32", [1, 3, side, side]));
  }

  /** Normal numbers around `mean`. */
  normal(shape: readonly number[], deviation: number, mean = 0): Tensor {
    const count = shape.reduce((a, b) => a * b, 1);
    const data = Float32Array.from({ length: count }, () => mean + deviation * this.rng.normal());
    return tensorOf("f32", shape, data);
  }

  constant(name: string, shape: readonly number[], deviation: number, mean = 0): Value {
    return this.graph.constant(this.normal(shape, deviation, mean), name);
  }

  channels(x: Value): number {
    return this.graph.typeOf(x).shape[1]!;
  }

  /** Without bias. Weights keep the variance of rectified activations (He et al. 2015). */
  conv(x: Value, out: number, name: string, options: ConvOptions = {}, bias = false): Value {
    const { kernel = 1, stride = 1, pad = 0, groups = 1 } = options;
    const perGroup = this.channels(x) / groups;
    const deviation = Math.sqrt(2 / (perGroup * kernel * kernel));
    const w = this.constant(`${name}.weight`, [out, perGroup, kernel, kernel], deviation);
    const ins = bias ? [x, w, this.constant(`${name}.bias`, [out], 0.1)] : [x, w];
    const both = (n: number): number[] => [n, n];
    return this.graph.apply(
      conv,
      ins,
      {
        layout: "nchw",
        stride: both(stride),
        padBegin: both(pad),
        padEnd: both(pad),
        dilation: both(1),
        groups,
      },
      name,
    );
  }

  /** `gain`: the mean of gamma. Mean 0 and variance 1, which the weights' scale keeps true enough. */
  batchNorm(x: Value, name: string, gain = 1): Value {
    const c = [this.channels(x)];
    const params = [
      this.constant(`${name}.gamma`, c, 0.1 * gain, gain),
      this.constant(`${name}.beta`, c, 0.1),
      this.constant(`${name}.mean`, c, 0.1),
      this.graph.constant(tensorOf("f32", c, new Float32Array(c[0]!).fill(1)), `${name}.variance`),
    ];
    return this.graph.apply(
      batchNorm,
      [x, ...params],
      { layout: "nchw", epsilon: 1e-5 },
      `${name}.norm`,
    );
  }

  relu(x: Value, name: string): Value {
    return this.graph.apply(relu, [x], {}, `${name}.relu`);
  }

  /** Fully connected with bias; `gain` scales the variance of the result. */
  linear(x: Value, out: number, name: string, gain = 1): Value {
    const k = this.graph.typeOf(x).shape.at(-1)!;
    const w = this.constant(`${name}.weight`, [out, k], Math.sqrt(gain / k));
    return this.graph.apply(linear, [x, w, this.constant(`${name}.bias`, [out], 0.1)], {}, name);
  }
}
