/** @file Primitives for sparse weights against `eval`, forced by family, as every engine runs them. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { type Graph, GraphBuilder } from "../../src/graph/graph.ts";
import { interpret } from "../../src/graph/interpret.ts";
import { makeProgramRunner, readOutput, writeInput } from "../../src/kernel/interpret-program.ts";
import { conv } from "../../src/ops/nn/conv.ts";
import { linear } from "../../src/ops/nn/linear.ts";
import { type CompileResult, compileGraph } from "../../src/plan/compile.ts";
import { primitives } from "../../src/primitives/index.ts";
import { directConversions } from "../../src/select/first-choice.ts";
import { type Tensor, tensorOf, tensorType, toNumbers } from "../../src/tensor/tensor.ts";
import { product } from "../../src/util/math.ts";
import { makeRng, type Rng } from "../../src/util/rng.ts";
import { assertProgramPartsAgree } from "../support/parts.ts";

const SEED = 31;

const random = (rng: Rng, shape: readonly number[], keep = 1): Tensor =>
  tensorOf(
    "f32",
    shape,
    Array.from({ length: product(shape) }, () => (rng.next() < keep ? rng.normal() : 0)),
  );

function compileFamily(graph: Graph, family: string): CompileResult {
  return compileGraph(graph, {
    primitives,
    select: (network) => {
      const choices = network.nodes.map(({ candidates }) => {
        const found = candidates.findIndex((c) => c.family === family);
        assert.ok(found >= 0, `no candidate of family ${family}`);
        return found;
      });
      return { choices, conversions: directConversions(network, choices) };
    },
  });
}

function check(graph: Graph, feeds: readonly Tensor[], family: string, label: string): void {
  const want = toNumbers(interpret(graph, feeds)[0]!);
  const { program } = compileFamily(graph, family);
  for (const variant of ["base", "fma"] as const) {
    const runner = makeProgramRunner(program, { variant });
    feeds.forEach((t, i) => {
      writeInput(runner, i, t);
    });
    assertProgramPartsAgree(program, runner.memory.slice(0), { variant });
    runner.init();
    runner.run();
    toNumbers(readOutput(runner, 0)).forEach((got, i) => {
      const error = Math.abs(got - want[i]!);
      const limit = 1e-4 * Math.max(1, Math.abs(want[i]!));
      assert.ok(error <= limit, `${label} ${variant}: element ${i} is ${got}, not ${want[i]}`);
    });
  }
}

interface Layer {
  readonly x: readonly [n: number, h: number, w: number, c: number];
  readonly o: number;
  readonly k?: readonly [number, number];
  readonly stride?: number;
  readonly dilation?: number;
  readonly pad?: number;
  readonly residual?: boolean;
  readonly keep?: number;
}

function layer(rng: Rng, l: Layer): { readonly graph: Graph; readonly feeds: readonly Tensor[] } {
  const g = new GraphBuilder("layer");
  const [kh, kw] = l.k ?? [1, 1];
  const pad = l.pad ?? 0;
  const two = (v: number): [number, number] => [v, v];
  const x = g.input("x", tensorType("f32", l.x));
  const weights = g.constant(random(rng, [l.o, kh, kw, l.x[3]], l.keep ?? 0.2));
  const ins = [x, weights, g.constant(random(rng, [l.o]))];
  const feeds = [random(rng, l.x)];
  if (l.residual === true) {
    const shape = [l.x[0], l.x[1], l.x[2], l.o];
    ins.push(g.input("residual", tensorType("f32", shape)));
    feeds.push(random(rng, shape));
  }
  const attrs = {
    layout: "nhwc" as const,
    stride: two(l.stride ?? 1),
    padBegin: two(pad),
    padEnd: two(pad),
    dilation: two(l.dilation ?? 1),
    groups: 1,
    act: { fn: "relu" },
  };
  g.output(g.apply(conv, ins, attrs), "y");
  return { graph: g.build(), feeds };
}

test(`channels-first SpMM, seed ${SEED}`, () => {
  const rng = makeRng(SEED);
  const layers: readonly Layer[] = [
    { x: [1, 8, 8, 16], o: 12 },
    { x: [2, 5, 7, 9], o: 5, residual: true },
    { x: [1, 1, 4, 30], o: 3 },
    { x: [1, 3, 3, 300], o: 2, keep: 0.01 },
    { x: [1, 33, 63, 64], o: 3, keep: 0.02 },
    { x: [1, 6, 6, 4], o: 4, keep: 0 },
  ];
  for (const l of layers) {
    const { graph, feeds } = layer(rng, l);
    check(graph, feeds, "spmm", JSON.stringify(l));
  }
});

test(`sparse blocks, seed ${SEED}`, () => {
  const rng = makeRng(SEED);
  const layers: readonly Layer[] = [
    { x: [1, 8, 8, 16], o: 12 },
    { x: [2, 7, 9, 5], o: 10, k: [3, 3], pad: 1 },
    { x: [1, 9, 9, 8], o: 7, k: [3, 3], stride: 2 },
    { x: [1, 9, 9, 8], o: 8, k: [3, 3], dilation: 2, pad: 2 },
    { x: [1, 40, 60, 40], o: 4, k: [3, 3], pad: 1, keep: 0.02 },
    { x: [1, 6, 6, 4], o: 4, keep: 0 },
  ];
  for (const l of layers) {
    const { graph, feeds } = layer(rng, { keep: 0.05, ...l });
    check(graph, feeds, "blocks", JSON.stringify(l));
  }
});

test(`sparse blocks of a fully connected layer, seed ${SEED}`, () => {
  const rng = makeRng(SEED);
  for (const rows of [1, 3, 14]) {
    const g = new GraphBuilder("linear");
    const x = g.input("x", tensorType("f32", [rows, 50]));
    const w = g.constant(random(rng, [18, 50], 0.05));
    g.output(g.apply(linear, [x, w, g.constant(random(rng, [18]))]), "y");
    check(g.build(), [random(rng, [rows, 50])], "blocks", `${rows} rows`);
  }
});

test("dense weights have no sparse candidates", () => {
  const { graph } = layer(makeRng(1), { x: [1, 8, 8, 16], o: 12, keep: 1 });
  for (const family of ["spmm", "blocks"]) {
    assert.throws(() => compileFamily(graph, family), /no candidate/);
  }
});
