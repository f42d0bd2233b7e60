/**
 * @file Builds networks in code: layers with standard initial weights, NHWC, every weight from one seeded generator.
 * The result is an ordinary graph, which can be trained, exported, quantised and compiled like an imported one.
 */
import { type Graph, GraphBuilder, type Value } from "../graph/graph.ts";
import { add } from "../ops/elementwise/add.ts";
import { relu } from "../ops/elementwise/relu.ts";
import { averagePool } from "../ops/nn/average-pool.ts";
import { batchNorm } from "../ops/nn/batch-norm.ts";
import { conv } from "../ops/nn/conv.ts";
import { linear } from "../ops/nn/linear.ts";
import { maxPool } from "../ops/nn/max-pool.ts";
import { reduceMean } from "../ops/reduce/reduce-mean.ts";
import { reshape } from "../ops/shape/reshape.ts";
import { type Tensor, tensorOf, tensorType } from "../tensor/tensor.ts";
import { product } from "../util/math.ts";
import { makeRng, type Rng } from "../util/rng.ts";

export interface ConvOptions {
  /** Side of the square kernel; default 3. */
  readonly kernel?: number;
  readonly stride?: number;
  /** Default: keeps the size (of the input divided by the stride). */
  readonly pad?: number;
  readonly groups?: number;
  /** Default false: a batch normalisation follows. */
  readonly bias?: boolean;
}

/** Where initial weights come from. fan: inputs or outputs of a weight. */
export interface NetOptions {
  readonly seed?: number;
  /** Kaiming normal over the inputs or the outputs of a convolution (He et al., arXiv:1502.01852); default "out". */
  readonly fan?: "in" | "out";
}

const both = (n: number): [number, number] => [n, n];

/** A network under construction. Layers are named after their place; names of weights follow. */
export class Net {
  readonly graph: GraphBuilder;
  private readonly rng: Rng;
  private readonly fan: "in" | "out";

  constructor(name: string, { seed = 1, fan = "out" }: NetOptions = {}) {
    this.graph = new GraphBuilder(name);
    this.rng = makeRng(seed);
    this.fan = fan;
  }

  /** An input [batch, height, width, channels], or of any shape. */
  input(name: string, shape: readonly number[]): Value {
    return this.graph.input(name, tensorType("f32", shape));
  }

  private weights(name: string, shape: readonly number[], draw: () => number): Value {
    const data = Float32Array.from({ length: product(shape) }, draw);
    return this.graph.constant({ type: tensorType("f32", shape), data }, name);
  }

  private full(name: string, count: number, value: number): Value {
    return this.graph.constant(filled(count, value), name);
  }

  channels(x: Value): number {
    return this.graph.typeOf(x).shape.at(-1)!;
  }

  conv2d(x: Value, outputs: number, name: string, options: ConvOptions = {}): Value {
    const { kernel = 3, stride = 1, pad = (kernel - 1) >> 1, groups = 1, bias = false } = options;
    const perGroup = this.channels(x) / groups;
    const fan = kernel * kernel * (this.fan === "in" ? perGroup : outputs / groups);
    const deviation = Math.sqrt(2 / fan);
    const shape = [outputs, kernel, kernel, perGroup];
    const w = this.weights(`${name}.weight`, shape, () => deviation * this.rng.normal());
    const ins = bias ? [x, w, this.full(`${name}.bias`, outputs, 0)] : [x, w];
    const attrs = {
      layout: "nhwc" as const,
      stride: both(stride),
      padBegin: both(pad),
      padEnd: both(pad),
      dilation: both(1),
      groups,
    };
    return this.graph.apply(conv, ins, attrs, name);
  }

  batchNorm(x: Value, name: string, epsilon = 1e-5): Value {
    const c = this.channels(x);
    const ins = [
      x,
      this.full(`${name}.gamma`, c, 1),
      this.full(`${name}.beta`, c, 0),
      this.full(`${name}.mean`, c, 0),
      this.full(`${name}.variance`, c, 1),
    ];
    return this.graph.apply(batchNorm, ins, { layout: "nhwc", epsilon }, name);
  }

  relu(x: Value, name = ""): Value {
    return this.graph.apply(relu, [x], {}, name);
  }

  add(a: Value, b: Value, name = ""): Value {
    return this.graph.apply(add, [a, b], {}, name);
  }

  /** Fully connected on the last axis. Weights uniform within 1/sqrt(inputs). */
  linear(x: Value, outputs: number, name: string): Value {
    const k = this.channels(x);
    const bound = 1 / Math.sqrt(k);
    const draw = (): number => bound * (2 * this.rng.next() - 1);
    const w = this.weights(`${name}.weight`, [outputs, k], draw);
    const b = this.weights(`${name}.bias`, [outputs], draw);
    return this.graph.apply(linear, [x, w, b], {}, name);
  }

  maxPool(x: Value, size: number, name = ""): Value {
    const attrs = { kernel: both(size), stride: both(size), padBegin: both(0), padEnd: both(0) };
    return this.graph.apply(maxPool, [x], { layout: "nhwc", ...attrs }, name);
  }

  averagePool(x: Value, size: number, name = ""): Value {
    const attrs = { kernel: both(size), stride: both(size), padBegin: both(0), padEnd: both(0) };
    return this.graph.apply(averagePool, [x], { layout: "nhwc", ...attrs }, name);
  }

  /** The mean over height and width: [batch, channels]. */
  globalPool(x: Value, name = ""): Value {
    return this.graph.apply(reduceMean, [x], { axes: [1, 2], keepDims: false }, name);
  }

  flatten(x: Value, name = ""): Value {
    const { shape } = this.graph.typeOf(x);
    const attrs = { shape: [shape[0]!, product(shape.slice(1))] };
    return this.graph.apply(reshape, [x], attrs, name);
  }

  build(output: Value, name = "logits"): Graph {
    this.graph.output(output, name);
    return this.graph.build();
  }
}

const filled = (count: number, value: number): Tensor =>
  tensorOf("f32", [count], new Float32Array(count).fill(value));
