/**
 * @file Builds networks in code: layers with standard initial weights, NHWC, every weight from one seeded generator.
 * The result is an ordinary graph, which can be trained, exported, quantised and compiled like an imported one.
 */
import { type Graph, GraphBuilder, type Value } from "../graph/graph.ts";
import { add } from "../ops/elementwise/add.ts";
import { clip } from "../ops/elementwise/clip.ts";
import { gelu } from "../ops/elementwise/gelu.ts";
import { relu } from "../ops/elementwise/relu.ts";
import { averagePool } from "../ops/nn/average-pool.ts";
import { batchNorm } from "../ops/nn/batch-norm.ts";
import { conv } from "../ops/nn/conv.ts";
import { linear } from "../ops/nn/linear.ts";
import { maxPool } from "../ops/nn/max-pool.ts";
import { layerNorm } from "../ops/nn/row-norm.ts";
import { reduceMean } from "../ops/reduce/reduce-mean.ts";
import { gather } from "../ops/shape/gather.ts";
import { reshape } from "../ops/shape/reshape.ts";
import { type Tensor, tensorOf, tensorType } from "../tensor/tensor.ts";
import { product } from "../util/math.ts";
import { makeRng, type Rng } from "../util/rng.ts";
import { attention } from "./attention.ts";
import { type Initializer, truncatedNormal } from "./initial.ts";

export interface ConvOptions {
  /** Side of a square kernel, or height and width; default 3. */
  readonly kernel?: number | Pair;
  readonly stride?: number | Pair;
  /** Default: keeps the size (of the input divided by the stride). "same": as TensorFlow, also for even kernels. */
  readonly pad?: number | Pair | "same";
  readonly groups?: number;
  /** Default false: a batch normalisation follows. */
  readonly bias?: boolean;
}

/** Where initial weights come from. fan: inputs or outputs of a weight. */
export interface NetOptions {
  readonly seed?: number;
  /** Kaiming normal over the inputs or the outputs of a convolution (He et al., arXiv:1502.01852); default "out". */
  readonly fan?: "in" | "out";
  /** Of the weights of all convolutions and fully connected layers, in place of each layer's own. */
  readonly init?: Initializer;
}

/** Height and width. */
export type Pair = readonly [number, number];

const both = (n: number | Pair): Pair => (typeof n === "number" ? [n, n] : n);

/** TensorFlow's SAME: ceil(size / stride) outputs, the smaller half of the padding first. */
function samePads(sizes: Pair, kernel: Pair, stride: Pair): { begin: Pair; end: Pair } {
  const total = (i: 0 | 1): number =>
    Math.max(0, (Math.ceil(sizes[i] / stride[i]) - 1) * stride[i] + kernel[i] - sizes[i]);
  const [h, w] = [total(0), total(1)];
  return { begin: [h >> 1, w >> 1], end: [(h + 1) >> 1, (w + 1) >> 1] };
}

/** A network under construction. Layers are named after their place; names of weights follow. */
export class Net {
  readonly graph: GraphBuilder;
  private readonly rng: Rng;
  private readonly fan: "in" | "out";
  private readonly init: Initializer | undefined;

  constructor(name: string, { seed = 1, fan = "out", init }: NetOptions = {}) {
    this.graph = new GraphBuilder(name);
    this.rng = makeRng(seed);
    this.fan = fan;
    this.init = init;
  }

  /** An input [batch, height, width, channels], or of any shape. */
  input(name: string, shape: readonly number[]): Value {
    return this.graph.input(name, tensorType("f32", shape));
  }

  private weights(name: string, shape: readonly number[], draw: () => number): Value {
    const init = shape.length > 1 ? this.init : undefined;
    return this.parameter(name, shape, () => draw, init);
  }

  /** A parameter for operators that have no method here; `other` takes the place of `init`. */
  parameter(
    name: string,
    shape: readonly number[],
    init: Initializer,
    other: Initializer = init,
  ): Value {
    const draw = other(shape, this.rng);
    const data = Float32Array.from({ length: product(shape) }, () => draw());
    return this.graph.constant({ type: tensorType("f32", shape), data }, name);
  }

  private full(name: string, count: number, value: number): Value {
    return this.graph.constant(filled(count, value), name);
  }

  channels(x: Value): number {
    return this.graph.typeOf(x).shape.at(-1)!;
  }

  conv2d(x: Value, outputs: number, name: string, options: ConvOptions = {}): Value {
    const { groups = 1, bias = false } = options;
    const [kernel, stride] = [both(options.kernel ?? 3), both(options.stride ?? 1)];
    const pad = options.pad ?? ([(kernel[0] - 1) >> 1, (kernel[1] - 1) >> 1] as const);
    const [, height, width] = this.graph.typeOf(x).shape;
    const { begin, end } =
      pad === "same"
        ? samePads([height!, width!], kernel, stride)
        : { begin: both(pad), end: both(pad) };
    const perGroup = this.channels(x) / groups;
    const fan = product(kernel) * (this.fan === "in" ? perGroup : outputs / groups);
    const deviation = Math.sqrt(2 / fan);
    const shape = [outputs, ...kernel, perGroup];
    const w = this.weights(`${name}.weight`, shape, () => deviation * this.rng.normal());
    const ins = bias ? [x, w, this.full(`${name}.bias`, outputs, 0)] : [x, w];
    const attrs = {
      layout: "nhwc" as const,
      stride,
      padBegin: begin,
      padEnd: end,
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

  /** One filter a channel. */
  depthwise(x: Value, name: string, options: Omit<ConvOptions, "groups"> = {}): Value {
    const channels = this.channels(x);
    return this.conv2d(x, channels, name, { ...options, groups: channels });
  }

  /** A depthwise convolution and one of 1 x 1, named `name`.depthwise and `name`.pointwise. */
  separable(
    x: Value,
    outputs: number,
    name: string,
    options: Omit<ConvOptions, "groups"> = {},
  ): Value {
    const { bias = false } = options;
    const filtered = this.depthwise(x, `${name}.depthwise`, { ...options, bias: false });
    return this.conv2d(filtered, outputs, `${name}.pointwise`, { kernel: 1, bias });
  }

  /** Normalises the last axis, then scales and shifts it. */
  layerNorm(x: Value, name: string, epsilon = 1e-5): Value {
    const c = this.channels(x);
    const ins = [x, this.full(`${name}.gamma`, c, 1), this.full(`${name}.beta`, c, 0)];
    const axis = this.graph.typeOf(x).shape.length - 1;
    return this.graph.apply(layerNorm, ins, { axis, epsilon }, name);
  }

  gelu(x: Value, name = ""): Value {
    return this.graph.apply(gelu, [x], { approximate: "none" }, name);
  }

  /** ReLU that ends at 6. */
  relu6(x: Value, name = ""): Value {
    return this.graph.apply(clip, [x], { min: 0, max: 6 }, name);
  }

  /** Self-attention of tokens [batch, tokens, width] with so many heads. Throws UserError when they do not divide. */
  attention(x: Value, heads: number, name: string): Value {
    return attention(this, x, heads, name);
  }

  /** Rows of a learned table [count, width] for indices of any shape (i32 or i64). */
  embedding(indices: Value, count: number, width: number, name: string): Value {
    const table = this.parameter(`${name}.weight`, [count, width], truncatedNormal());
    return this.graph.apply(gather, [table, indices], { axis: 0 }, name);
  }

  /** A learned vector for every place: [tokens, width], added to x [batch, tokens, width]. */
  positions(x: Value, name: string): Value {
    const [, tokens, width] = this.graph.typeOf(x).shape as [number, number, number];
    const table = this.parameter(`${name}.weight`, [tokens, width], truncatedNormal());
    const places = Int32Array.from({ length: tokens }, (_, i) => i);
    const order = this.graph.constant(tensorOf("i32", [tokens], places));
    return this.add(x, this.graph.apply(gather, [table, order], { axis: 0 }, name));
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
