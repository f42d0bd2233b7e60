/** @file Every candidate of 8-bit operators against `eval`, bit for bit: the kernel interpreter, then WebAssembly. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { type Graph, GraphBuilder } from "../../src/graph/graph.ts";
import { interpret } from "../../src/graph/interpret.ts";
import type { Activation, Arith } from "../../src/graph/op.ts";
import { makeProgramRunner, readOutput, writeInput } from "../../src/kernel/interpret-program.ts";
import { conv } from "../../src/ops/nn/conv.ts";
import { matmul } from "../../src/ops/nn/matmul.ts";
import { lut } from "../../src/ops/quant/lut.ts";
import { compileGraph } from "../../src/plan/compile.ts";
import { primitives } from "../../src/primitives/index.ts";
import { createSession } from "../../src/runtime/session.ts";
import { directConversions } from "../../src/select/first-choice.ts";
import type { Selector } from "../../src/select/network.ts";
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
  readonly groups?: number;
  readonly act?: Activation;
  /** Share of the weights that are not 0; default all. */
  readonly keep?: number;
}

const RELU: Activation = { fn: "relu" };

const CASES: readonly ConvCase[] = [
  { x: [1, 8, 8, 16], o: 16, k: [3, 3], pad: [1, 1, 1, 1], act: RELU },
  { x: [2, 7, 10, 12], o: 13, k: [3, 3], pad: [1, 1, 1, 1] },
  { x: [1, 9, 6, 8], o: 20, k: [3, 3] },
  { x: [1, 6, 13, 10], o: 8, k: [3, 3], pad: [2, 0, 0, 2] },
  { x: [1, 9, 7, 16], o: 16, k: [3, 3], pad: [1, 1, 1, 1], groups: 16, act: RELU },
  { x: [2, 8, 6, 11], o: 11, k: [3, 3], pad: [1, 1, 1, 1], groups: 11 },
  { x: [1, 9, 8, 12], o: 12, k: [5, 5], pad: [2, 2, 2, 2], groups: 12 },
  { x: [1, 11, 10, 8], o: 8, k: [3, 3], stride: 2, pad: [0, 0, 1, 1], groups: 8 },
  { x: [1, 20, 11, 8], o: 8, k: [5, 5], stride: 2, pad: [2, 2, 2, 2], groups: 8 },
  { x: [1, 38, 3, 8], o: 8, k: [3, 3], groups: 8 },
  { x: [2, 5, 7, 13], o: 9, k: [1, 1], keep: 0.1, act: RELU },
  { x: [1, 8, 8, 16], o: 6, k: [1, 1], keep: 0.1 },
  { x: [1, 4, 4, 8], o: 5, k: [1, 1], keep: 0 },
]; // biome-ignore format: a table

const ints = (
  rng: Rng,
  dtype: "i8" | "u8" | "i32",
  shape: readonly number[],
  lo: number,
  hi: number,
) =>
  tensorOf(
    dtype,
    shape,
    Array.from({ length: product(shape) }, () => lo + rng.int(hi - lo + 1)),
  );

function convGraph(rng: Rng, c: ConvCase, dtype: "i8" | "u8", arith: Arith): Graph {
  const g = new GraphBuilder("i8");
  const zero = dtype === "i8" ? rng.int(40) - 20 : 100 + rng.int(40);
  const quant = { scale: [Math.fround(0.05)], zeroPoint: [zero], axis: null };
  const x = g.input("x", tensorType(dtype, c.x, quant));
  const scale = Array.from({ length: c.o }, () => Math.fround(0.01 * (0.5 + rng.next())));
  const wQuant = { scale, zeroPoint: scale.map(() => 0), axis: 0 };
  const dense = ints(rng, "i8", [c.o, ...c.k, c.x[3] / (c.groups ?? 1)], -127, 127);
  const { keep } = c;
  const kept = (v: number): number => (rng.next() < keep! ? v : 0);
  const weights =
    keep === undefined ? dense : { ...dense, data: (dense.data as Int8Array).map(kept) };
  const w = g.constant({ type: { ...weights.type, quant: wQuant }, data: weights.data });
  const b = g.constant(ints(rng, "i32", [c.o], -2000, 2000));
  const pad = c.pad ?? [0, 0, 0, 0];
  const attrs = {
    layout: "nhwc" as const,
    stride: [c.stride ?? 1, c.stride ?? 1],
    padBegin: [pad[0], pad[1]],
    padEnd: [pad[2], pad[3]],
    dilation: [1, 1],
    groups: c.groups ?? 1,
    arith,
    out: { dtype, scale: [Math.fround(0.2)], zeroPoint: [zero + 3], axis: null },
    ...(c.act === undefined ? {} : { act: c.act }),
  };
  g.output(g.apply(conv, [x, w, b], attrs, "layer"), "y");
  return g.build();
}

/** Runs `graph` with each candidate of its nodes in turn. */
async function checkAll(graph: Graph, feeds: readonly Tensor[], label: string): Promise<string[]> {
  const want = toNumbers(interpret(graph, feeds)[0]!);
  const names: string[] = [];
  for (let i = 0, most = 1; i < most; i++) {
    const select: Selector = (network) => {
      most = Math.max(...network.nodes.map((n) => n.candidates.length));
      const choices = network.nodes.map((n) => Math.min(i, n.candidates.length - 1));
      return { choices, conversions: directConversions(network, choices) };
    };
    const { program, nodes } = compileGraph(graph, { primitives, select });
    const name = nodes.map((n) => n.implementation).join(" ");
    names.push(name);
    const runner = makeProgramRunner(program, {});
    feeds.forEach((t, k) => {
      writeInput(runner, k, t);
    });
    assertProgramPartsAgree(program, runner.memory.slice(0));
    runner.init();
    // Twice: scratch memory keeps what the first run left.
    for (let run = 0; run < 2; run++) {
      feeds.forEach((t, k) => {
        writeInput(runner, k, t);
      });
      runner.run();
    }
    assert.deepEqual(toNumbers(readOutput(runner, 0)), want, `${label} ${name}: interpreter`);
    const session = await createSession(program);
    const [got] = session.run(feeds);
    assert.deepEqual(toNumbers(got!), want, `${label} ${name}: WebAssembly`);
    session.close();
  }
  return names;
}

for (const arith of ["float", "tflite"] as const satisfies readonly Arith[]) {
  for (const dtype of ["i8", "u8"] as const) {
    test(`${dtype} convolution, arith ${arith}: all candidates equal eval`, async (t) => {
      const rng = makeRng(dtype === "i8" ? 61 : 62);
      const [lo, hi] = dtype === "i8" ? [-128, 127] : [0, 255];
      for (const c of CASES) {
        const graph = convGraph(rng, c, dtype, arith);
        const label = `x[${c.x}] o${c.o} k[${c.k}] g${c.groups ?? 1}`;
        const names = await checkAll(graph, [ints(rng, dtype, c.x, lo, hi)], label);
        t.diagnostic(`${label}: ${names.join(", ")}`);
        assert.equal(
          names.some((n) => n.includes("spmm")),
          c.keep !== undefined,
          label,
        );
      }
    });
  }
}

test("hard-swish tables: all candidates equal eval", async (t) => {
  const rng = makeRng(71);
  for (const [n, dtype] of [
    [64, "i8"],
    [35, "u8"],
    [5, "i8"],
  ] as const) {
    const [lo, hi] = dtype === "i8" ? [-128, 127] : [0, 255];
    const x = { scale: [Math.fround(0.05)], zeroPoint: [lo + 100], axis: null };
    const out = { dtype, scale: [Math.fround(0.031)], zeroPoint: [lo + 9], axis: null };
    const real = (q: number): number => (q - x.zeroPoint[0]!) * x.scale[0]!;
    const swish = (r: number): number => (r * Math.min(6, Math.max(0, r + 3))) / 6;
    const entries = Array.from({ length: 256 }, (_, i) => {
      const y = Math.round(swish(real(lo + i)) / out.scale[0]!) + out.zeroPoint[0]!;
      return Math.min(hi, Math.max(lo, y));
    });
    const g = new GraphBuilder("lut");
    const table = g.constant(tensorOf(dtype, [256], entries));
    g.output(g.apply(lut, [g.input("x", tensorType(dtype, [n], x)), table], { out }), "y");
    const names = await checkAll(g.build(), [ints(rng, dtype, [n], lo, hi)], `lut ${n}`);
    assert.equal(names[0], n < 8 ? "lut_default" : "i8_lut_hard_swish");
    t.diagnostic(names.join(", "));
  }
});

test("8-bit matrix products of activations: all candidates equal eval", async (t) => {
  const rng = makeRng(81);
  for (const [a, b, attrs] of [
    [[2, 7, 12], [2, 12, 16], {}],
    [[3, 9, 5], [1, 5, 11], {}],
    [[2, 2, 8, 6], [2, 2, 10, 6], { transB: true }],
    [[1, 7, 3], [1, 9, 7], { transA: true, transB: true }],
  ] as const) {
    for (const arith of ["float", "tflite"] as const) {
      const g = new GraphBuilder("matmul");
      const quant = { scale: [Math.fround(0.04)], zeroPoint: [-11], axis: null };
      const other = { scale: [Math.fround(0.07)], zeroPoint: [130], axis: null };
      const x = g.input("a", tensorType("i8", a, quant));
      const w = g.input("b", tensorType("u8", b, other));
      const out = { dtype: "i8", scale: [Math.fround(0.9)], zeroPoint: [4], axis: null } as const;
      g.output(g.apply(matmul, [x, w], { ...attrs, out, arith }), "y");
      const feeds = [ints(rng, "i8", a, -128, 127), ints(rng, "u8", b, 0, 255)];
      const names = await checkAll(g.build(), feeds, `matmul [${a}] [${b}]`);
      t.diagnostic(names.join(", "));
    }
  }
});
