/**
 * @file The published instance: optimum, greedy choice and single families, as computed by another program.
 * Measured costs of the five convolutions of AlexNet: 43 primitives, and the conversions between three layouts.
 * Numbers of triNNity-compiler's cost model for an Intel i5-2500K (github.com/ekjyot07/triNNity-compiler,
 * examples/cifar10/cost-models); there 0 as a primitive's cost means that it does not apply.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Pbqp } from "./problem.ts";
import { solvePbqp } from "./solve.ts";

interface Primitive {
  readonly name: string;
  readonly from: string;
  readonly to: string;
  /** By layer. */
  readonly costs: readonly number[];
}

/** name, layout in, layout out, cost in each layer. */
const TABLE = `
direct-sum2d chw chw 220245871.113636 621913193.727273 80761278.795455 120202841.431818 79602283.409091
im2row-scan-ab-ik chw hwc 16367782.976744 57620098.704545 19922579.27907 31224529.954545 20665384.697674
im2row-scan-atbt-ki chw chw 17158580.837209 59720574.159091 21183597.590909 31955185.348837 21703231.534884
im2row-scan-abt-ik chw hwc 17019178.8 57705696.772727 19791000.477273 29982052.837209 20398273.418605
im2row-scan-abt-ki chw chw 17542830.022727 59699944.581395 20547877.636364 31445096.681818 21522924.522727
im2row-copy-short-ab-ik hwc hwc 16444860.325581 56186884.931818 20019420.088889 31032166.386364 20442725.25
im2row-copy-short-atbt-ki hwc chw 17056393.162791 60028679.116279 21072814.955556 31678852.627907 21123242.395349
im2row-copy-short-abt-ik hwc hwc 16464773.522727 70816028.533333 19320581.744186 29142714.136364 19516438.47619
im2row-copy-short-abt-ki hwc chw 16864555.348837 64692623.955556 20083506.818182 30738441.272727 20429778.581395
im2col-scan-atb-ik chw hwc 21037046.744186 67318135.886364 22680384.568182 34740891.302326 24050925.55814
im2col-scan-atb-ki chw chw 22918018.045455 67965250.046512 23202340.068182 35181745.704545 25321346.704545
im2col-scan-atbt-ik chw hwc 20698848.744186 65348298.545455 22140733.022727 33778174.27907 24119000.488889
im2col-scan-ab-ki chw chw 23208729.022222 67161424.232558 22597230.613636 33997930.209302 24129737.931818
im2col-copy-short-atb-ik chw hwc 0 58446312.477273 20094486.534884 30580252.177778 20835444.090909
im2col-copy-short-atb-ki chw chw 0 62714494.363636 21322370.068182 31506597.930233 21330862.744186
im2col-copy-short-atbt-ik chw hwc 0 60308249.340909 19763556.795455 29771886.325581 20469606.954545
im2col-copy-short-ab-ki chw chw 0 60903055.139535 20924194.340909 30471365.590909 20512441.363636
im2col-copy-long-atb-ik chw hwc 0 59928748.681818 20504224.931818 31370426.023256 20561173.181818
im2col-copy-long-atb-ki chw chw 0 66248336.931818 20712678.72093 31543083.068182 21098790.116279
im2col-copy-long-atbt-ik chw hwc 0 61096486.295455 19463205.906977 30785868.068182 20625189.295455
im2col-copy-long-ab-ki chw chw 0 66075461.181818 20154088.72093 31044322.318182 20788322.318182
im2col-copy-self-atb-ik chw hwc 16557680.55814 58640145.27907 19976606.952381 31222122.704545 20297021.232558
im2col-copy-self-atb-ki chw chw 18067583.093023 61592924.886364 20967710.688889 32081433.681818 21152760.418605
im2col-copy-self-atbt-ik chw hwc 16921485.133333 58502501.840909 19637748.318182 29796499.909091 20256633.386364
im2col-copy-self-ab-ki chw chw 18636076.933333 61485997.244444 20072192.604651 30403647.727273 20525065.238095
mec-row-partition hwc hwc 19932458.25 91320819.75 41607049.340909 64061697.837209 47813209.266667
mec-col hcw hwc 20803800.522727 90346223.454545 41780044.227273 64708604.295455 42926339.627907
kn2row hwc chw 0 72023603.818182 21050049.069767 30978072.697674 20203669.395349
kn2col hwc chw 0 130073529.590909 24020601.318182 33152371.325581 21487304.25
kn2row-as chw chw 0 64776027.75 20901641.333333 31796882.704545 21061481.590909
kn2col-as hwc chw 0 76737108.023256 21264899.931818 31087367 20740486.976744
kn2row-aa-ab chw chw 0 56473467.767442 19739331.613636 29977556.023256 20293070.045455
kn2row-aa-abt hwc chw 0 56588554.181818 19672846.477273 29738191.767442 20268088.044444
kn2row-aa-atb chw chw 0 57193900.454545 20238777.116279 30950687.25 21048985.363636
kn2row-aa-atbt hwc chw 0 57251334.340909 20611208.045455 30716824.454545 20519871.886364
winograd-2-3-vec-4 hwc hwc 0 0 19842692.681818 30021974.727273 19760248.5
winograd-2x2-3x3-vec-4 hwc hwc 0 0 16794249.931818 25747221.023256 16842632.704545
winograd-3-3-vec-4 hwc hwc 0 0 20053487 30139110.266667 19849084.25
winograd-3x3-3x3-vec-4 hwc hwc 0 0 19399299.27907 31238781.727273 19846896.25
winograd-2-5-vec-4 hwc hwc 0 48441649.090909 0 0 0
winograd-2x2-5x5-vec-4 hwc hwc 0 35471477.977273 0 0 0
winograd-3-5-vec-4 hwc hwc 0 37583136.511628 0 0 0
winograd-3x3-5x5-vec-4 hwc hwc 0 27481258.627907 0 0 0
`;

/** layout from, layout to, cost at the input of each layer. */
const CONVERSIONS = `
chw chw 123.6 110.333333 123.444444 122.653846 110.555556
chw hwc 340614 344701.153846 303361.269231 331892.730769 424274
chw hcw 73173.961538 64928.076923 49006.222222 77190.555556 72828.692308
hwc hwc 121.666667 92.296296 96.518519 92.074074 93.703704
hwc chw 176212 131619.807692 61660.814815 145692.592593 149516.692308
hwc hcw 154478.538462 89251.111111 44543.555556 66841.851852 68112.592593
hcw hcw 93.851852 94.444444 125.64 110.777778 91.481481
hcw chw 67922.888889 29806.592593 24558.88 36483.333333 36943.925926
hcw hwc 219803.62963 407292.111111 288452.538462 365999.461538 331362.444444
`;

const rows = (text: string): string[][] =>
  text
    .trim()
    .split("\n")
    .map((line) => line.split(" "));

const primitives: readonly Primitive[] = rows(TABLE).map(([name, from, to, ...costs]) => ({
  name: name!,
  from: from!,
  to: to!,
  costs: costs.map((c) => Number(c) || Number.POSITIVE_INFINITY),
}));

/** By "from>to" and layer; nothing to do is free. */
const conversions: ReadonlyMap<string, readonly number[]> = new Map(
  rows(CONVERSIONS).map(([from, to, ...costs]) => [
    `${from}>${to}`,
    costs.map((c) => (from === to ? 0 : Number(c))),
  ]),
);

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
