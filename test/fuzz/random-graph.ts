/** @file Random small models for tests: float or quantised, convolutions, element-wise, pools, moves. */
import { type Graph, GraphBuilder, type Value } from "../../src/graph/graph.ts";
import type { Attrs, Op, OutQuant } from "../../src/graph/op.ts";
import { ops } from "../../src/ops/index.ts";
import { isFloat } from "../../src/tensor/dtype.ts";
import { quantizeTensor } from "../../src/tensor/quant.ts";
import {
  numberWriter,
  type Tensor,
  type TensorType,
  tensorOf,
  zeros,
} from "../../src/tensor/tensor.ts";
import { product } from "../../src/util/math.ts";
import type { Rng } from "../../src/util/rng.ts";

export interface RandomGraphOptions {
  /** Number of operators drawn; default 8. */
  readonly size?: number;
  /** Every activation is i8 with parameters of its own; default false. */
  readonly quantised?: boolean;
}

type Layout = "nchw" | "nhwc";

/** Random values for an input type: normal floats, integers over the whole range of 8-bit types. */
export function randomTensor(rng: Rng, type: TensorType): Tensor {
  const t = zeros(type);
  const write = numberWriter(t);
  for (let i = 0; i < t.data.length; i++) {
    write(i, isFloat(type.dtype) ? rng.normal() : rng.int(256) - (type.dtype === "i8" ? 128 : 0));
  }
  return t;
}

class Maker {
  private readonly g: GraphBuilder;
  private readonly rng: Rng;
  private readonly quantised: boolean;
  private readonly pool: Value[] = [];
  private layout: Layout = "nchw";

  constructor(rng: Rng, quantised: boolean) {
    this.rng = rng;
    this.quantised = quantised;
    this.g = new GraphBuilder("random");
  }

  private pick<T>(items: readonly T[]): T {
    return items[this.rng.int(items.length)]!;
  }

  private outQuant(): OutQuant {
    const scale = Math.fround(this.pick([0.02, 0.05, 0.1]));
    return { dtype: "i8", scale: [scale], zeroPoint: [this.rng.int(41) - 20], axis: null };
  }

  private out(): { readonly out?: OutQuant } {
    return this.quantised ? { out: this.outQuant() } : {};
  }

  private apply<A extends Attrs>(op: Op<A>, ins: readonly Value[], attrs: object): Value {
    return this.g.applyAll(op, ins, attrs as A, `${op.name}${this.pool.length}`)[0]!;
  }

  private op(name: string, ins: readonly Value[], attrs: object = {}): Value {
    return this.apply(ops[name]!, ins, attrs);
  }

  private shape(v: Value): readonly number[] {
    return this.g.typeOf(v).shape;
  }

  /** A weight; some filters are all 0, so that dead channels occur. */
  private weight(shape: readonly number[], zeroRows = true): Value {
    const row = product(shape.slice(1));
    const values = Float64Array.from({ length: product(shape) }, () => this.rng.normal() * 0.5);
    for (let o = 0; zeroRows && o < shape[0]!; o++) {
      if (this.rng.int(4) === 0) values.fill(0, o * row, (o + 1) * row);
    }
    const t = tensorOf("f32", shape, values);
    if (!this.quantised) return this.g.constant(t);
    const scale = shape.slice(0, 1).flatMap((n) => Array.from({ length: n }, () => 0.01));
    const zeroPoint = scale.map(() => 0);
    const rounded = scale.map((s) => Math.fround(s));
    return this.g.constant(quantizeTensor(t, "i8", { scale: rounded, zeroPoint, axis: 0 }));
  }

  private bias(n: number): Value {
    const scale = this.quantised ? 400 : 1;
    const values = Array.from({ length: n }, () => Math.round(this.rng.normal() * scale * 8) / 8);
    return this.g.constant(
      tensorOf(
        this.quantised ? "i32" : "f32",
        [n],
        values.map((x) => (this.quantised ? Math.round(x) : x)),
      ),
    );
  }

  private conv(x: Value): Value {
    const { layout } = this;
    const shape = this.shape(x);
    const c = layout === "nchw" ? shape[1]! : shape[3]!;
    const spatial = layout === "nchw" ? shape.slice(2) : shape.slice(1, 3);
    const depthwise = this.rng.int(3) === 0;
    const k = spatial.every((n) => n >= 3) ? this.pick([1, 3]) : 1;
    const pad = k === 3 ? this.rng.int(2) : 0;
    const o = depthwise ? c : 1 + this.rng.int(6);
    const i = depthwise ? 1 : c;
    const w = this.weight(layout === "nchw" ? [o, i, k, k] : [o, k, k, i]);
    const ins = this.rng.int(4) === 0 ? [x, w] : [x, w, this.bias(o)];
    return this.op("conv", ins, {
      layout,
      stride: [1 + this.rng.int(2), 1],
      padBegin: [pad, pad],
      padEnd: [pad, pad],
      dilation: [1, 1],
      groups: depthwise ? c : 1,
      ...this.out(),
    });
  }

  private activation(x: Value): Value {
    const [name, attrs] = this.pick<readonly [string, object]>([
      ["relu", {}],
      ["clip", { min: 0, max: 6 }],
      ["sigmoid", {}],
      ["tanh", {}],
      ["leaky_relu", { alpha: 0.125 }],
      ["hard_swish", {}],
      ["neg", {}],
    ]);
    const { quant } = this.g.typeOf(x);
    const same = quant !== undefined && this.rng.int(2) === 0;
    const out = same ? { out: { dtype: "i8", ...quant } } : this.out();
    return this.op(name, [x], { ...attrs, ...out });
  }

  private perChannel(x: Value): Value {
    const shape = this.shape(x);
    const axis = this.layout === "nchw" ? 1 : shape.length - 1;
    const to = shape.map((n, i) => (i === axis ? n : 1));
    const trimmed = this.rng.int(2) === 0 ? to.slice(to.findIndex((n) => n !== 1)) : to;
    const values = Float64Array.from({ length: product(trimmed) }, () => this.rng.normal());
    const c = this.g.constant(tensorOf("f32", trimmed, values));
    const name = this.pick(["add", "mul", "sub"]);
    return this.op(name, this.rng.int(2) === 0 ? [x, c] : [c, x], this.out());
  }

  private batchNorm(x: Value): Value {
    const n = this.shape(x)[this.layout === "nchw" ? 1 : 3]!;
    const vector = (f: () => number) =>
      this.g.constant(tensorOf("f32", [n], Float64Array.from({ length: n }, f)));
    const normal = () => this.rng.normal();
    const ins = [
      x,
      vector(normal),
      vector(normal),
      vector(normal),
      vector(() => 0.5 + this.rng.next()),
    ];
    return this.op("batch_norm", ins, { layout: this.layout, epsilon: 1e-3 });
  }

  private window(x: Value): Value {
    const { layout } = this;
    const spatial = layout === "nchw" ? this.shape(x).slice(2) : this.shape(x).slice(1, 3);
    if (spatial.some((n) => n < 2)) return x;
    const pad = this.rng.int(2);
    const attrs = {
      layout,
      kernel: [2, 2],
      stride: [1, 2],
      padBegin: [pad, 0],
      padEnd: [0, pad],
    };
    if (this.rng.int(2) === 0) return this.op("max_pool", [x], { ...attrs, dilation: [1, 1] });
    return this.op("average_pool", [x], { ...attrs, ...this.out() });
  }

  private move(x: Value): Value {
    const shape = this.shape(x);
    const zeros = shape.map(() => 0);
    switch (this.rng.int(4)) {
      case 0: {
        const before = zeros.with(2, 1);
        return this.op("pad", [x], { before, after: zeros, mode: "constant" });
      }
      case 1: {
        if (shape[2]! < 3) return x;
        const step = zeros.map(() => 1);
        return this.op("slice", [x], {
          start: zeros.with(2, 1),
          size: shape.with(2, shape[2]! - 1),
          step,
        });
      }
      case 2: {
        const perm = this.layout === "nchw" ? [0, 2, 3, 1] : [0, 3, 1, 2];
        this.pool.length = 0;
        this.layout = this.layout === "nchw" ? "nhwc" : "nchw";
        return this.op("transpose", [x], { perm });
      }
      default:
        return this.op("reshape", [this.op("reshape", [x], { shape: [product(shape)] })], {
          shape,
        });
    }
  }

  private join(x: Value): Value {
    const same = this.pool.filter((v) => `${this.shape(v)}` === `${this.shape(x)}`);
    const y = this.pick(same.length > 0 ? same : [x]);
    if (this.rng.int(3) > 0) return this.op(this.pick(["add", "mul"]), [x, y], this.out());
    const other = this.quantised
      ? this.op("requantize", [y], { out: { dtype: "i8", ...this.g.typeOf(x).quant } })
      : y;
    return this.op("concat", [x, other], { axis: this.rng.int(4) });
  }

  private step(x: Value): Value {
    const choices = [
      () => this.conv(x),
      () => this.conv(x),
      () => this.activation(x),
      () => this.activation(x),
      () => this.perChannel(x),
      () => (this.quantised ? this.activation(x) : this.batchNorm(x)),
      () => this.window(x),
      () => this.move(x),
      () => this.join(x),
    ];
    return this.pick(choices)();
  }

  private head(x: Value): Value {
    const axes = this.layout === "nchw" ? [2, 3] : [1, 2];
    const small = this.op("reduce_mean", [x], { axes, keepDims: true, ...this.out() });
    const n = product(this.shape(this.rng.int(2) === 0 ? x : small));
    const from = n === product(this.shape(small)) ? small : x;
    const flat = this.op("reshape", [from], { shape: [1, n] });
    const o = 1 + this.rng.int(5);
    if (this.quantised || this.rng.int(2) === 0) {
      return this.op("linear", [flat, this.weight([o, n], false), this.bias(o)], this.out());
    }
    return this.op("matmul", [flat, this.weight([n, o], false)]);
  }

  build(size: number): Graph {
    this.layout = this.pick(["nchw", "nhwc"]);
    const c = 1 + this.rng.int(4);
    const [h, w] = [3 + this.rng.int(4), 3 + this.rng.int(4)];
    const shape = this.layout === "nchw" ? [1, c, h, w] : [1, h, w, c];
    const quant = { scale: [Math.fround(0.05)], zeroPoint: [-3], axis: null };
    let x = this.g.input(
      "x",
      this.quantised ? { dtype: "i8", shape, quant } : { dtype: "f32", shape },
    );
    for (let i = 0; i < size; i++) {
      this.pool.push(x);
      x = this.step(x);
      if (this.rng.int(8) === 0 && x !== this.pool[0]) this.g.output(x, `mid${i}`);
    }
    if (this.rng.int(2) === 0) x = this.head(x);
    this.g.output(x, "y");
    return this.g.build();
  }
}

/** A random verified model with one input and one or more outputs. */
export const randomGraph = (rng: Rng, options: RandomGraphOptions = {}): Graph =>
  new Maker(rng, options.quantised === true).build(options.size ?? 8);
