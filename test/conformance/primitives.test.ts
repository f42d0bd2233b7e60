/** @file Every tuned primitive against the operator's `eval`, through the kernel interpreter, as every engine runs it. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { type Graph, GraphBuilder, type Value } from "../../src/graph/graph.ts";
import { interpret } from "../../src/graph/interpret.ts";
import type { Activation, Arith } from "../../src/graph/op.ts";
import { makeProgramRunner, readOutput, writeInput } from "../../src/kernel/interpret-program.ts";
import { averagePool } from "../../src/ops/nn/average-pool.ts";
import { conv } from "../../src/ops/nn/conv.ts";
import { linear } from "../../src/ops/nn/linear.ts";
import { maxPool } from "../../src/ops/nn/max-pool.ts";
import { compileGraph } from "../../src/plan/compile.ts";
import { primitives } from "../../src/primitives/index.ts";
import { type Tensor, tensorOf, tensorType, toNumbers } from "../../src/tensor/tensor.ts";
import { product } from "../../src/util/math.ts";
import { makeRng, type Rng } from "../../src/util/rng.ts";
import { assertProgramPartsAgree } from "../support/parts.ts";

interface ConvCase {
  readonly x: readonly [n: number, h: number, w: number, c: number];
  readonly o: number;
  readonly k: readonly [number, number];
  readonly stride?: number;
  readonly pad?: readonly [top: number, left: number, bottom: number, right: number];
  readonly dilation?: number;
  readonly groups?: number;
  readonly act?: Activation;
}

const RELU: Activation = { fn: "relu" };

/** Real layers in small, and the odd shapes that break tiles. */
const CASES: readonly ConvCase[] = [
  { x: [1, 8, 8, 3], o: 16, k: [3, 3], pad: [1, 1, 1, 1], act: RELU },
  { x: [1, 7, 9, 8], o: 10, k: [3, 3], stride: 2, pad: [0, 0, 1, 1] },
  { x: [2, 5, 5, 16], o: 24, k: [1, 1] },
  { x: [1, 13, 11, 5], o: 7, k: [1, 1], act: RELU },
  { x: [1, 10, 10, 6], o: 8, k: [1, 1], stride: 2 },
  { x: [1, 12, 6, 1], o: 12, k: [10, 4], stride: 2, pad: [4, 1, 5, 1] },
  { x: [1, 9, 9, 8], o: 8, k: [3, 3], dilation: 2, pad: [2, 2, 2, 2] },
  { x: [1, 6, 6, 16], o: 16, k: [3, 3], groups: 2, pad: [1, 1, 1, 1] },
  { x: [1, 7, 7, 12], o: 12, k: [3, 3], groups: 12, pad: [1, 1, 1, 1], act: RELU },
  { x: [2, 7, 6, 11], o: 11, k: [3, 3], groups: 11, stride: 2, pad: [1, 0, 1, 1] },
  { x: [1, 9, 9, 16], o: 16, k: [5, 5], groups: 16, pad: [2, 2, 2, 2] },
  { x: [1, 1, 1, 40], o: 33, k: [1, 1] },
]; // biome-ignore format: a table

const random = (rng: Rng, shape: readonly number[], scale = 1): Tensor =>
  tensorOf(
    "f32",
    shape,
    Array.from({ length: product(shape) }, () => rng.normal() * scale),
  );

const randomInts = (
  rng: Rng,
  dtype: "i8" | "u8" | "i32",
  shape: readonly number[],
  lo: number,
  hi: number,
): Tensor =>
  tensorOf(
    dtype,
    shape,
    Array.from({ length: product(shape) }, () => lo + rng.int(hi - lo + 1)),
  );

const attrsOf = (c: ConvCase) => {
  const pad = c.pad ?? [0, 0, 0, 0];
  return {
    layout: "nhwc" as const,
    stride: [c.stride ?? 1, c.stride ?? 1],
    padBegin: [pad[0], pad[1]],
    padEnd: [pad[2], pad[3]],
    dilation: [c.dilation ?? 1, c.dilation ?? 1],
    groups: c.groups ?? 1,
    ...(c.act === undefined ? {} : { act: c.act }),
  };
};

/** The engines there are: their variant, and how dot8 reads its second operand. */
const ENGINES = [
  ["base", "signed"],
  ["fma", "signed"],
  ["dot8", "signed"],
  ["dot8", "unsigned"],
] as const;

function check(graph: Graph, feeds: readonly Tensor[], tolerance: number, label: string): void {
  const [want] = interpret(graph, feeds);
  const { program, nodes } = compileGraph(graph, { primitives });
  for (const n of nodes) {
    assert.ok(!n.implementation.endsWith("_default"), `${label}: ${n.implementation} was chosen`);
  }
  for (const [variant, dot8] of ENGINES) {
    const runner = makeProgramRunner(program, { variant, dot8 });
    feeds.forEach((t, i) => {
      writeInput(runner, i, t);
    });
    const parts = assertProgramPartsAgree(program, runner.memory.slice(0), { variant, dot8 });
    assert.ok(parts > 0, `${label}: nothing to share between threads`);
    runner.init();
    for (let run = 0; run < 2; run++) runner.run();
    const got = toNumbers(readOutput(runner, 0));
    toNumbers(want!).forEach((w, i) => {
      const error = Math.abs(got[i]! - w);
      assert.ok(
        error <= tolerance * Math.max(1, Math.abs(w)),
        `${label} ${variant} ${dot8}: element ${i} is ${got[i]}, expected ${w}`,
      );
    });
  }
}

const describe = (c: ConvCase): string => `conv x[${c.x}] o${c.o} k[${c.k}] g${c.groups ?? 1}`;

test("f32 convolution primitives", () => {
  const rng = makeRng(11);
  for (const c of CASES) {
    const g = new GraphBuilder("f32");
    const x = g.input("x", tensorType("f32", c.x));
    const depth = c.x[3] / (c.groups ?? 1);
    const w = g.constant(random(rng, [c.o, ...c.k, depth]));
    const b = g.constant(random(rng, [c.o]));
    g.output(g.apply(conv, [x, w, b], attrsOf(c), "layer"), "y");
    check(g.build(), [random(rng, c.x)], 1e-5, describe(c));
  }
});

for (const channels of [8, 7]) {
  test(`a residual of ${channels} channels and an activation are fused into the f32 kernel`, () => {
    const rng = makeRng(12);
    const shape = [1, 6, 6, channels];
    const g = new GraphBuilder("residual");
    const x = g.input("x", tensorType("f32", shape));
    const r = g.input("r", tensorType("f32", shape));
    const w = g.constant(random(rng, [channels, 3, 3, channels]));
    const b = g.constant(random(rng, [channels]));
    const attrs = attrsOf({ x: [1, 6, 6, 8], o: 8, k: [3, 3], pad: [1, 1, 1, 1], act: RELU });
    g.output(g.apply(conv, [x, w, b, r], attrs), "y");
    check(g.build(), [random(rng, shape), random(rng, shape)], 1e-5, "residual");
  });
}

for (const arith of ["float", "tflite"] as const satisfies readonly Arith[]) {
  for (const dtype of ["i8", "u8"] as const) {
    test(`${dtype} convolution primitives, arith ${arith}, equal eval bit for bit`, () => {
      const rng = makeRng(dtype === "i8" ? 21 : 22);
      for (const c of CASES) {
        const g = new GraphBuilder("i8");
        const zero = dtype === "i8" ? rng.int(40) - 20 : 100 + rng.int(40);
        const [lo, hi] = dtype === "i8" ? [-128, 127] : [0, 255];
        const quant = { scale: [Math.fround(0.05)], zeroPoint: [zero], axis: null };
        const x = g.input("x", tensorType(dtype, c.x, quant));
        const depth = c.x[3] / (c.groups ?? 1);
        const wShape = [c.o, ...c.k, depth];
        const scale = Array.from({ length: c.o }, () => Math.fround(0.01 * (0.5 + rng.next())));
        const weights = randomInts(rng, "i8", wShape, -127, 127);
        const wQuant = { scale, zeroPoint: scale.map(() => 0), axis: 0 };
        const w = g.constant({ type: { ...weights.type, quant: wQuant }, data: weights.data });
        const b = g.constant(randomInts(rng, "i32", [c.o], -2000, 2000));
        const out = { dtype, scale: [Math.fround(0.2)], zeroPoint: [zero + 3], axis: null };
        g.output(g.apply(conv, [x, w, b], { ...attrsOf(c), out, arith }), "y");
        const feed = randomInts(rng, dtype, c.x, lo, hi);
        check(g.build(), [feed], 0, `${describe(c)} zero ${zero}`);
      }
    });
  }
}

test("linear primitives, f32 and i8", () => {
  const rng = makeRng(31);
  for (const [m, k, n] of [
    [1, 64, 10],
    [1, 40, 128],
    [3, 17, 12],
    [50, 8, 9],
  ] as const) {
    const g = new GraphBuilder("linear");
    const x = g.input("x", tensorType("f32", [m, k]));
    const ins = [x, g.constant(random(rng, [n, k])), g.constant(random(rng, [n]))];
    g.output(g.apply(linear, ins, { act: RELU }), "y");
    check(g.build(), [random(rng, [m, k])], 1e-5, `linear ${m}x${k}x${n}`);

    const q = new GraphBuilder("linear_i8");
    const quant = { scale: [Math.fround(0.03)], zeroPoint: [-7], axis: null };
    const xq = q.input("x", tensorType("i8", [m, k], quant));
    const weights = randomInts(rng, "i8", [n, k], -127, 127);
    const wQuant = { scale: [Math.fround(0.02)], zeroPoint: [0], axis: null };
    const w = q.constant({ type: { ...weights.type, quant: wQuant }, data: weights.data });
    const bias = q.constant(randomInts(rng, "i32", [n], -3000, 3000));
    const out = { dtype: "i8" as const, scale: [Math.fround(0.1)], zeroPoint: [5], axis: null };
    q.output(q.apply(linear, [xq, w, bias], { out }), "y");
    check(q.build(), [randomInts(rng, "i8", [m, k], -128, 127)], 0, `linear i8 ${m}x${k}x${n}`);
  }
});

/** Global, padded, dilated, and windows that hang over the end; 16, 4 and single channels. */
const POOLS = [
  { x: [1, 5, 4, 32], kernel: [5, 4], stride: [1, 1], pad: [0, 0, 0, 0] },
  { x: [2, 7, 6, 23], kernel: [3, 2], stride: [2, 2], pad: [1, 1, 1, 0] },
  { x: [1, 8, 7, 5], kernel: [2, 2], stride: [3, 2], pad: [0, 0, 1, 1], dilation: [2, 1] },
  { x: [1, 6, 6, 16], kernel: [3, 3], stride: [2, 2], pad: [0, 0, 0, 0], ceil: true },
] as const; // biome-ignore format: a table

for (const dtype of ["f32", "i8", "u8"] as const) {
  test(`${dtype} pooling primitives`, () => {
    const rng = makeRng(41);
    const zero = dtype === "u8" ? 120 : -9;
    const quant = { scale: [Math.fround(0.05)], zeroPoint: [zero], axis: null };
    for (const { x: shape, kernel, stride, pad, ...rest } of POOLS) {
      const type = dtype === "f32" ? tensorType(dtype, shape) : tensorType(dtype, shape, quant);
      const common = {
        layout: "nhwc" as const,
        kernel,
        stride,
        padBegin: pad.slice(0, 2),
        padEnd: pad.slice(2),
        ...rest,
      };
      const [lo, hi] = dtype === "u8" ? [0, 255] : [-128, 127];
      const feed = dtype === "f32" ? random(rng, shape) : randomInts(rng, dtype, shape, lo, hi);
      const run = (label: string, build: (g: GraphBuilder, x: Value) => Value): void => {
        const g = new GraphBuilder("pool");
        g.output(build(g, g.input("x", type)), "y");
        check(g.build(), [feed], dtype === "f32" ? 1e-5 : 0, `${label} ${dtype} x[${shape}]`);
      };
      run("max", (g, x) => g.apply(maxPool, [x], common));
      if (dtype === "f32") {
        run("mean", (g, x) => g.apply(averagePool, [x], common));
        run("mean", (g, x) => g.apply(averagePool, [x], { ...common, countIncludePad: true }));
        continue;
      }
      const out = { dtype, scale: [Math.fround(0.021)], zeroPoint: [zero + 4], axis: null };
      run("mean", (g, x) => g.apply(averagePool, [x], { ...common, arith: "tflite" }));
      for (const countIncludePad of [false, true]) {
        run("mean", (g, x) => g.apply(averagePool, [x], { ...common, out, countIncludePad }));
      }
    }
  });
}
