/** @file The published instance: optimum, greedy choice and single families, as computed by other programs. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { conversions, type Primitive, primitives } from "./alexnet.fixture.ts";
import type { Pbqp } from "./problem.ts";
import { solvePbqp } from "./solve.ts";

const LAYOUTS = ["chw", "hwc", "hcw"];
const LAYERS = 5;
/** The image comes in this layout. */
const INPUT = "chw";

type Conversion = (from: string, to: string, layer: number) => number;

const direct: Conversion = (from, to, layer) => conversions.get(`${from}>${to}`)![layer]!;

/** Over one layout in between where that is cheaper. */
const closed: Conversion = (from, to, layer) =>
  Math.min(...LAYOUTS.map((via) => direct(from, via, layer) + direct(via, to, layer)));

function network(choices: readonly Primitive[], convert: Conversion): Pbqp {
  const nodes = Array.from({ length: LAYERS }, (_, layer) =>
    Float64Array.from(
      choices,
      (p) => p.costs[layer]! + (layer === 0 ? convert(INPUT, p.from, 0) : 0),
    ),
  );
  const edges = Array.from({ length: LAYERS - 1 }, (_, a) => ({
    a,
    b: a + 1,
    costs: Float64Array.from(
      choices.flatMap((p) => choices.map((q) => convert(p.to, q.from, a + 1))),
    ),
  }));
  return { nodes, edges };
}

/** Total of the cheapest primitive of every layer, conversions paid afterwards. */
function greedy(choices: readonly Primitive[], convert: Conversion): number {
  let [total, layout] = [0, INPUT];
  for (let layer = 0; layer < LAYERS; layer++) {
    const best = choices.reduce((p, q) => (q.costs[layer]! < p.costs[layer]! ? q : p));
    total += best.costs[layer]! + convert(layout, best.from, layer);
    layout = best.to;
  }
  return total;
}

const namesOf = (choices: readonly Primitive[], picked: readonly number[]): string[] =>
  picked.map((i) => choices[i]!.name);

const without = (...prefixes: string[]): Primitive[] =>
  primitives.filter((p) => !prefixes.some((prefix) => p.name.startsWith(prefix)));

test("finds the optimum of AlexNet", () => {
  const solution = solvePbqp(network(primitives, closed));
  assert.equal(Math.round(solution.cost), 103_233_145);
  assert.equal(solution.lowerBound, solution.cost);
  const names = namesOf(primitives, solution.choices);
  assert.deepEqual(names, [
    "im2row-scan-ab-ik",
    "winograd-3x3-5x5-vec-4",
    ...Array(3).fill("winograd-2x2-3x3-vec-4"),
  ]);
  assert.equal(Math.round(greedy(primitives, closed)), 103_233_145);
});

test("finds the published costs of single families", () => {
  const sum2d = primitives.filter((p) => p.name === "direct-sum2d");
  assert.equal(Math.round(solvePbqp(network(sum2d, closed)).cost), 1_122_725_468);
  const chw = primitives.filter((p) => p.from === "chw" && p.to === "chw");
  assert.equal(Math.round(solvePbqp(network(chw, closed)).cost), 143_642_006);
  const im2row = primitives.filter((p) => p.name.startsWith("im2row"));
  assert.equal(Math.round(solvePbqp(network(im2row, closed)).cost), 140_534_402);
});

test("beats the greedy choice where conversions matter", () => {
  const choices = without("winograd", "im2row");
  const solution = solvePbqp(network(choices, closed));
  assert.equal(solution.cost.toFixed(1), "142604265.8");
  assert.deepEqual(namesOf(choices, solution.choices), [
    "im2col-copy-self-atb-ik",
    "kn2row-aa-abt",
    "im2col-copy-long-atbt-ik",
    "kn2row-aa-abt",
    "im2col-copy-self-atbt-ik",
  ]);
  assert.equal(greedy(choices, closed).toFixed(1), "142959464.2");
  const dear: Conversion = (from, to, layer) => 20 * closed(from, to, layer);
  const again = solvePbqp(network(choices, dear));
  assert.equal(again.cost.toFixed(1), "142604265.8");
  assert.deepEqual(again.choices, solution.choices);
  assert.equal(greedy(choices, dear).toFixed(1), "152901192.2");
});

test("a conversion over a third layout can be the cheaper one", () => {
  assert.equal(direct("chw", "hwc", 0), 340614);
  assert.equal(closed("chw", "hwc", 0).toFixed(1), "292977.6");
  assert.equal(closed("hwc", "chw", 3).toFixed(1), "103325.2");
});
