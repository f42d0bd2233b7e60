/** @file Convolutions, products and pools as C for every processor this machine can stand for, against `eval`. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { type Graph, GraphBuilder } from "../../src/graph/graph.ts";
import { interpret } from "../../src/graph/interpret.ts";
import type { Arith } from "../../src/graph/op.ts";
import { makeProgramRunner, readOutput, writeInput } from "../../src/kernel/interpret-program.ts";
import { averagePool } from "../../src/ops/nn/average-pool.ts";
import { conv } from "../../src/ops/nn/conv.ts";
import { compileGraph } from "../../src/plan/compile.ts";
import { capsOfCpu } from "../../src/primitives/capabilities.ts";
import { primitives } from "../../src/primitives/index.ts";
import { CPU_NAMES, type Cpu, cpuOf } from "../../src/targets/c/cpu.ts";
import { type Tensor, tensorOf, tensorType, toNumbers } from "../../src/tensor/tensor.ts";
import { product } from "../../src/util/math.ts";
import { makeRng, type Rng } from "../../src/util/rng.ts";
import { CC, runC } from "../support/c-run.ts";
import { compilerMacros } from "../support/compiler-macros.ts";

interface Case {
  readonly x: readonly [n: number, h: number, w: number, c: number];
  readonly o: number;
  readonly k: readonly [number, number];
  readonly stride?: number;
  readonly pad?: number;
  readonly groups?: number;
  readonly act?: { readonly fn: "relu" };
}

/** Channels that leave every kind of last vector, with and without padding. */
const CASES: readonly Case[] = [
  { x: [1, 9, 9, 3], o: 16, k: [3, 3], pad: 1, act: { fn: "relu" } },
  { x: [1, 7, 9, 8], o: 10, k: [3, 3], stride: 2 },
  { x: [2, 5, 5, 16], o: 24, k: [1, 1] },
  { x: [1, 13, 11, 5], o: 7, k: [1, 1], act: { fn: "relu" } },
  { x: [1, 5, 5, 12], o: 60, k: [1, 1] },
  { x: [1, 4, 7, 8], o: 97, k: [1, 1] },
  { x: [1, 8, 8, 32], o: 64, k: [3, 3], pad: 1 },
  { x: [1, 6, 6, 16], o: 16, k: [3, 3], groups: 2, pad: 1 },
  { x: [1, 7, 7, 30], o: 30, k: [3, 3], groups: 30, pad: 1, act: { fn: "relu" } },
  { x: [1, 9, 9, 16], o: 16, k: [5, 5], groups: 16 },
  { x: [1, 1, 1, 40], o: 33, k: [1, 1] },
]; // biome-ignore format: a table

const fill = (dtype: "f32" | "i8" | "u8" | "i32", shape: readonly number[], of: () => number) =>
  tensorOf(dtype, shape, Array.from({ length: product(shape) }, of));

const attrsOf = (c: Case) => ({
  layout: "nhwc" as const,
  stride: [c.stride ?? 1, c.stride ?? 1],
  padBegin: [c.pad ?? 0, c.pad ?? 0],
  padEnd: [c.pad ?? 0, c.pad ?? 0],
  dilation: [1, 1],
  groups: c.groups ?? 1,
  ...(c.act === undefined ? {} : { act: c.act }),
});

interface Job {
  readonly graph: Graph;
  readonly feeds: readonly Tensor[];
  readonly exact: boolean;
}

function floatJob(rng: Rng, c: Case): Job {
  const g = new GraphBuilder("f32");
  const x = g.input("x", tensorType("f32", c.x));
  const shape = [c.o, ...c.k, c.x[3] / (c.groups ?? 1)];
  const w = g.constant(fill("f32", shape, () => rng.normal()));
  const b = g.constant(fill("f32", [c.o], () => rng.normal()));
  const y = g.apply(conv, [x, w, b], attrsOf(c), "layer");
  const { layout, stride } = attrsOf(c);
  const pool = { layout, stride, kernel: [1, 1], padBegin: [0, 0], padEnd: [0, 0] };
  g.output(g.apply(averagePool, [y], { ...pool }, "pool"), "y");
  return { graph: g.build(), feeds: [fill("f32", c.x, () => rng.normal())], exact: false };
}

function byteJob(rng: Rng, c: Case, dtype: "i8" | "u8", arith: Arith): Job {
  const g = new GraphBuilder("bytes");
  const zero = dtype === "i8" ? -7 : 120;
  const quant = { scale: [Math.fround(0.05)], zeroPoint: [zero], axis: null };
  const x = g.input("x", tensorType(dtype, c.x, quant));
  const scale = Array.from({ length: c.o }, () => Math.fround(0.01 * (0.5 + rng.next())));
  const shape = [c.o, ...c.k, c.x[3] / (c.groups ?? 1)];
  const weights = fill("i8", shape, () => rng.int(255) - 127);
  const wQuant = { scale, zeroPoint: scale.map(() => 0), axis: 0 };
  const w = g.constant({ type: { ...weights.type, quant: wQuant }, data: weights.data });
  const b = g.constant(fill("i32", [c.o], () => rng.int(4000) - 2000));
  const out = { dtype, scale: [Math.fround(0.2)], zeroPoint: [zero + 3], axis: null };
  g.output(g.apply(conv, [x, w, b], { ...attrsOf(c), arith, out }, "layer"), "y");
  const lowest = dtype === "i8" ? -128 : 0;
  return {
    graph: g.build(),
    feeds: [fill(dtype, c.x, () => lowest + rng.int(256))],
    exact: true,
  };
}

function compare(got: readonly number[], job: Job, what: string): void {
  const want = toNumbers(interpret(job.graph, job.feeds)[0]!);
  if (job.exact) {
    assert.deepEqual(got, want, what);
    return;
  }
  const largest = Math.max(...want.map(Math.abs));
  const worst = Math.max(...want.map((w, i) => Math.abs(w - got[i]!)));
  assert.ok(got.length === want.length && worst <= 1e-5 * largest, `${what}: off by ${worst}`);
}

const macros = CC === null ? new Set<string>() : compilerMacros(CC, ["-march=native"]);
const runs = (cpu: Cpu): boolean => cpu.macros.every((m) => macros.has(m));

for (const name of CPU_NAMES) {
  test(`kernels as C for ${name}`, async (t) => {
    const cpu = cpuOf(name);
    const rng = makeRng(5);
    // Kernels in f32 are the same with and without 8-bit products.
    const floats = name !== "x86-64-v4" && name !== "neon-dotprod";
    const jobs = CASES.flatMap((c, i) => [
      ...(floats ? [floatJob(rng, c)] : []),
      i % 2 === 0 ? byteJob(rng, c, "i8", "tflite") : byteJob(rng, c, "u8", "float"),
    ]);
    const compiled = jobs.map(({ graph }) => {
      const { program } = compileGraph(graph, { primitives, caps: capsOfCpu(cpu) });
      return program;
    });
    compiled.forEach((program, i) => {
      for (const dot8 of ["signed", "unsigned"] as const) {
        const runner = makeProgramRunner(program, { dot8, variant: cpu.dot8 ? "dot8" : "base" });
        writeInput(runner, 0, jobs[i]!.feeds[0]!);
        runner.init();
        runner.run();
        compare(toNumbers(readOutput(runner, 0)), jobs[i]!, `${name} ${i} ${dot8}, interpreted`);
      }
    });
    if (CC === null || cpu.isa === null || !runs(cpu))
      return t.diagnostic(`not compiled for ${name}`);
    const list = compiled.map((program, i) => ({ program, feeds: jobs[i]!.feeds }));
    const flags = ["-std=gnu99", "-O0", "-fno-math-errno", "-Wall", "-Wextra", "-Werror"];
    const got = await runC(list, [...flags, ...cpu.flags], { cpu: name });
    got.forEach((outs, i) => {
      compare(toNumbers(outs[0]!), jobs[i]!, `${name} ${i}, compiled`);
    });
  });
}
