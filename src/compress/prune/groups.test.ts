import assert from "node:assert/strict";
import { test } from "node:test";
import { type Graph, GraphBuilder, type Value } from "../../graph/graph.ts";
import { interpret } from "../../graph/interpret.ts";
import type { Attrs, Op } from "../../graph/op.ts";
import { verifyGraph } from "../../graph/verify.ts";
import { ops } from "../../ops/index.ts";
import { tensorOf, tensorType, toNumbers } from "../../tensor/tensor.ts";
import { product } from "../../util/math.ts";
import { makeRng } from "../../util/rng.ts";
import { type ChannelGroup, channelGroups } from "./groups.ts";
import { maskChannels } from "./mask.ts";
import { removeChannels } from "./remove.ts";
import { shufflesToGather } from "./shuffles.ts";

/** A graph from calls of operators by name, weights seeded. */
class Build {
  readonly g = new GraphBuilder("t");
  private readonly rng = makeRng(9);

  input(...shape: number[]): Value {
    return this.g.input("x", tensorType("f32", shape));
  }

  weight(...shape: number[]): Value {
    const values = Float32Array.from({ length: product(shape) }, () => this.rng.normal());
    return this.g.constant(tensorOf("f32", shape, values));
  }

  op(name: string, ins: readonly Value[], attrs: Attrs = {}, label = name): Value {
    return this.g.applyAll(ops[name] as Op, ins, attrs, label)[0]!;
  }

  /** 3x3, padded, NCHW, with bias. */
  conv(x: Value, outputs: number, label: string, groups = 1): Value {
    const c = this.g.typeOf(x).shape[1]!;
    const one = [1, 1];
    const window = { stride: one, padBegin: one, padEnd: one, dilation: one };
    const ins = [x, this.weight(outputs, c / groups, 3, 3), this.weight(outputs)];
    return this.op("conv", ins, { layout: "nchw", ...window, groups }, label);
  }

  /** Mean over the image and a linear layer of 3 outputs. */
  done(x: Value): Graph {
    const mean = this.op("reduce_mean", [x], { axes: [2, 3], keepDims: false });
    return this.end(mean);
  }

  end(x: Value): Graph {
    const k = this.g.typeOf(x).shape.at(-1)!;
    this.g.output(this.op("linear", [x, this.weight(3, k)], {}, "head"), "y");
    return this.g.build();
  }
}

/** "name: units x width" of the groups that can be pruned. */
const summary = (groups: readonly ChannelGroup[]): string[] =>
  groups.filter((g) => g.locked === null).map((g) => `${g.name}: ${g.count} x ${g.width}`);

const difference = (a: Graph, b: Graph): number => {
  const feeds = a.inputs.map((v) => {
    const { type } = a.values.get(v)!;
    const rng = makeRng(4);
    return tensorOf(
      "f32",
      type.shape,
      Float32Array.from({ length: product(type.shape) }, () => rng.normal()),
    );
  });
  const [x, y] = [interpret(a, feeds), interpret(b, feeds)];
  return Math.max(
    ...x.flatMap((t, i) => {
      const want = toNumbers(y[i]!);
      return toNumbers(t).map((n, k) => Math.abs(n - want[k]!));
    }),
  );
};

/** Removes about half of every group; the result must equal the masked graph and be smaller. */
function check(graph: Graph, expected: readonly string[]): Graph {
  const groups = channelGroups(graph);
  assert.deepEqual(summary(groups), expected);
  const kept = new Map(
    groups
      .filter((g) => g.locked === null)
      .map((g) => [
        g,
        Array.from({ length: g.count }, (_, u) => u).filter((u) => u % 2 === 1 || g.count < 2),
      ]),
  );
  const small = removeChannels(graph, kept);
  verifyGraph(small);
  const masked = maskChannels(graph, kept);
  verifyGraph(masked);
  assert.ok(difference(masked, graph) > 1e-3, "the mask changes nothing");
  const got = difference(small, masked);
  assert.ok(got <= 1e-5, `differs from the masked graph by ${got}`);
  return small;
}

const constants = (g: Graph): number =>
  [...g.constants.values()].reduce((n, t) => n + t.data.length, 0);

test("a residual sum ties all layers that add to it", () => {
  const b = new Build();
  const stem = b.conv(b.input(1, 3, 5, 5), 6, "stem");
  const mid = b.op("relu", [b.conv(stem, 4, "mid")]);
  const sum = b.op("add", [stem, b.conv(mid, 6, "out")]);
  const small = check(b.done(sum), ["stem: 6 x 1", "mid: 4 x 1"]);
  assert.equal(constants(small), 3 * 27 + 3 + (2 * 27 + 2) + (3 * 18 + 3) + 9);
});

test("batch norm, broadcast factors and slopes go with their channel", () => {
  const b = new Build();
  const x = b.conv(b.input(1, 3, 4, 4), 6, "conv");
  const params = [
    b.weight(6),
    b.weight(6),
    b.weight(6),
    b.g.constant(tensorOf("f32", [6], [1, 2, 3, 4, 5, 6])),
  ];
  const norm = b.op("batch_norm", [x, ...params], { layout: "nchw", epsilon: 1e-3 });
  const slope = b.op("prelu", [norm, b.weight(6, 1, 1)]);
  const means = b.op("reduce_mean", [slope], { axes: [2, 3], keepDims: true });
  const one = { stride: [1, 1], padBegin: [0, 0], padEnd: [0, 0], dilation: [1, 1], groups: 1 };
  const gate = b.op("conv", [means, b.weight(6, 6, 1, 1)], { layout: "nchw", ...one }, "gate");
  const scaled = b.op("mul", [slope, b.op("sigmoid", [gate])]);
  check(b.done(scaled), ["conv: 6 x 1"]);
});

test("concat and split keep the parts apart", () => {
  const b = new Build();
  const x = b.input(1, 3, 4, 4);
  const both = b.op("concat", [b.conv(x, 4, "left"), b.conv(x, 6, "right")], { axis: 1 });
  const [p, q] = b.g.applyAll(ops["split"] as Op, [both], { axis: 1, sizes: [7, 3] }, "cut");
  const sum = b.op("add", [b.conv(p!, 5, "a"), b.conv(q!, 5, "b")]);
  check(b.done(sum), ["left: 4 x 1", "right: 3 x 1", "right#2: 3 x 1", "a: 5 x 1"]);
});

test("a slice takes the channels that are in it", () => {
  const b = new Build();
  const x = b.conv(b.input(1, 3, 4, 4), 8, "conv");
  const part = b.op("slice", [x], { start: [0, 2, 0, 0], size: [1, 4, 4, 4], step: [1, 1, 1, 1] });
  const sum = b.op("add", [b.conv(x, 2, "a"), b.conv(part, 2, "b")]);
  check(b.done(sum), ["conv: 4 x 1", "conv#2: 4 x 1", "a: 2 x 1"]);
});

test("flattening ties a channel to its pixels, in both layouts", () => {
  const nchw = new Build();
  const x = nchw.op("relu", [nchw.conv(nchw.input(1, 3, 4, 4), 6, "conv")]);
  const small = check(nchw.end(nchw.op("reshape", [x], { shape: [1, 96] })), ["conv: 6 x 1"]);
  assert.equal(constants(small), 3 * 27 + 3 + 3 * 48);
  const nhwc = new Build();
  const y = nhwc.conv(nhwc.input(1, 3, 4, 4), 6, "conv");
  const turned = nhwc.op("relu", [nhwc.op("transpose", [y], { perm: [0, 2, 3, 1] })]);
  check(nhwc.end(nhwc.op("reshape", [turned], { shape: [1, 96] })), ["conv: 6 x 1"]);
});

test("depthwise and grouped convolutions", () => {
  const b = new Build();
  const x = b.conv(b.input(1, 3, 4, 4), 6, "conv");
  const deep = b.conv(x, 12, "depthwise", 6);
  const grouped = b.conv(b.op("relu", [deep]), 8, "grouped", 2);
  check(b.done(grouped), ["conv: 3 x 2", "grouped: 4 x 2"]);
});

test("transposed convolution, depth to space and back", () => {
  const b = new Build();
  const x = b.conv(b.input(1, 3, 4, 4), 8, "conv");
  const wide = b.op("depth_to_space", [x], { block: 2, mode: "crd", layout: "nchw" });
  const one = [1, 1];
  const attrs = { layout: "nchw", stride: [2, 2], padBegin: one, padEnd: one, dilation: one };
  const ins = [wide, b.weight(2, 4, 3, 3), b.weight(4)];
  const up = b.op("conv_transpose", ins, { ...attrs, groups: 1, outputPad: one }, "up");
  const deep = b.op("space_to_depth", [up], { block: 2, layout: "nchw" });
  check(b.done(b.conv(deep, 4, "last")), ["conv: 2 x 4", "up: 4 x 1", "last: 4 x 1"]);
});

test("group normalisation loses whole groups, instance normalisation channels", () => {
  const b = new Build();
  const x = b.conv(b.input(1, 3, 4, 4), 8, "conv");
  const ones = (n: number): Value => b.g.constant(tensorOf("f32", [n], new Array(n).fill(1)));
  const cut = b.op("reshape", [x], { shape: [1, 4, 32] });
  const norm = { layout: "nchw", epsilon: 1e-3 };
  const same = b.op("instance_norm", [cut, ones(4), b.weight(4)], norm);
  const back = b.op("reshape", [same], { shape: [1, 8, 4, 4] });
  const next = b.conv(b.op("mul", [back, b.weight(8, 1, 1)]), 6, "next");
  const own = b.op("instance_norm", [next, b.weight(6), b.weight(6)], norm);
  check(b.done(b.op("relu", [own])), ["conv: 4 x 2", "next: 6 x 1"]);
});

test("attention loses whole heads", () => {
  const b = new Build();
  const x = b.input(1, 5, 8);
  const heads = (name: string): Value => {
    const v = b.op("linear", [x, b.weight(12, 8), b.weight(12)], {}, name);
    return b.op("transpose", [b.op("reshape", [v], { shape: [1, 5, 3, 4] })], {
      perm: [0, 2, 1, 3],
    });
  };
  const [q, k, v] = ["q", "k", "v"].map(heads) as [Value, Value, Value];
  const weights = b.op("softmax", [b.op("matmul", [q, k], { transB: true })], { axis: 3 });
  const mixed = b.op("transpose", [b.op("matmul", [weights, v])], { perm: [0, 2, 1, 3] });
  const flat = b.op("reshape", [mixed], { shape: [1, 5, 12] });
  check(b.end(flat), ["q: 3 x 4"]);
});

test("without heads the products of two values are masked", () => {
  const b = new Build();
  const x = b.input(1, 5, 8);
  const [q, k, v] = ["q", "k", "v"].map((n) =>
    b.op("linear", [x, b.weight(6, 8), b.weight(6)], {}, n),
  ) as [Value, Value, Value];
  const weights = b.op("softmax", [b.op("matmul", [q, k], { transB: true })], { axis: 2 });
  check(b.end(b.op("matmul", [weights, v])), ["q: 6 x 1", "v: 6 x 1"]);
});

test("a channel shuffle is followed channel by channel", () => {
  const b = new Build();
  const x = b.conv(b.input(1, 3, 4, 4), 8, "conv");
  const cut = b.op("reshape", [x], { shape: [1, 2, 4, 4, 4] });
  const turned = b.op("transpose", [cut], { perm: [0, 2, 1, 3, 4] });
  const graph = b.done(b.conv(b.op("reshape", [turned], { shape: [1, 8, 4, 4] }), 4, "next"));
  const flat = shufflesToGather(graph);
  assert.equal(difference(flat, graph), 0);
  check(flat, ["conv: 8 x 1", "next: 4 x 1"]);
});

test("what needs every channel, and the outputs, stay", () => {
  const b = new Build();
  const x = b.conv(b.input(1, 3, 4, 4), 4, "soft");
  const y = b.conv(b.op("softmax", [x], { axis: 1 }), 4, "out");
  b.g.output(y, "y");
  const groups = channelGroups(b.g.build());
  assert.deepEqual(
    groups.map((g) => [g.name, g.count, g.locked]),
    [
      ["soft", 4, "softmax 'softmax' needs all"],
      ["out", 4, "it reaches the output 'y'"],
    ],
  );
});

test("refuses to empty a group, and to change one that stays", () => {
  const b = new Build();
  const graph = b.done(b.conv(b.input(1, 3, 4, 4), 4, "conv"));
  const [conv, head] = channelGroups(graph) as [ChannelGroup, ChannelGroup];
  assert.throws(
    () => removeChannels(graph, new Map([[conv, []]])),
    /keep at least one|cannot stay/,
  );
  assert.throws(() => removeChannels(graph, new Map([[conv, [7]]])), /cannot stay/);
  assert.throws(() => removeChannels(graph, new Map([[head, [0]]])), /reaches the output 'y'/);
});

test("a constant that two layers share ties them not", () => {
  const b = new Build();
  const zero = b.g.constant(tensorOf("f32", [4], [0, 0, 0, 0]));
  const x = b.input(1, 3, 4, 4);
  const one = { stride: [1, 1], padBegin: [0, 0], padEnd: [0, 0], dilation: [1, 1], groups: 1 };
  const conv = (v: Value, c: number, name: string): Value =>
    b.op("conv", [v, b.weight(4, c, 1, 1), zero], { layout: "nchw", ...one }, name);
  check(b.done(conv(conv(x, 3, "a"), 4, "b")), ["a: 4 x 1", "b: 4 x 1"]);
});
