/** @file Every pass and both pipelines keep the meaning of random models. FUZZ=<n> sets the number of models. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { Graph } from "../../src/graph/graph.ts";
import { interpret } from "../../src/graph/interpret.ts";
import { printGraph, printType } from "../../src/graph/print.ts";
import { verifyGraph } from "../../src/graph/verify.ts";
import { allPasses, cleanup, type Pass, runPasses, toTarget } from "../../src/passes/index.ts";
import { type Tensor, toNumbers } from "../../src/tensor/tensor.ts";
import { makeRng } from "../../src/util/rng.ts";
import { randomGraph, randomTensor } from "./random-graph.ts";

const MODELS = Number(process.env["FUZZ"] ?? 60);
const SEED = Number(process.env["SEED"] ?? 1);

/** Largest difference relative to the larger of 1 and the largest magnitude. */
function difference(a: Tensor, b: Tensor): number {
  const [x, y] = [toNumbers(a), toNumbers(b)];
  const size = Math.max(1, ...x.map(Math.abs));
  return Math.max(0, ...x.map((v, i) => (Object.is(v, y[i]) ? 0 : Math.abs(v - y[i]!) / size)));
}

function check(
  pass: string,
  before: Graph,
  after: Graph,
  feeds: readonly Tensor[],
  exact: boolean,
): void {
  verifyGraph(after);
  const expected = interpret(before, feeds);
  const got = interpret(after, feeds);
  assert.equal(got.length, expected.length);
  expected.forEach((t, i) => {
    assert.equal(printType(got[i]!.type), printType(t.type), `${pass}: type of output ${i}`);
    const d = difference(t, got[i]!);
    assert.ok(d <= (exact ? 0 : 1e-4), `${pass}: output ${i} differs by ${d}`);
  });
}

/** Passes that compute floats in another order. */
const REASSOCIATES = new Set([
  "fold-affine",
  "remove-dead-channels",
  "fuse-residual",
  "fuse-functions",
  "cancel-transposes",
  "to-nhwc",
  "to-nchw",
  "fuse-activations",
]);

for (const quantised of [false, true]) {
  test(`passes keep the meaning of ${quantised ? "quantised" : "float"} models`, () => {
    for (let seed = SEED; seed < SEED + MODELS; seed++) {
      const rng = makeRng(seed);
      const graph = randomGraph(rng, { quantised });
      const feeds = graph.inputs.map((v) => randomTensor(rng, graph.values.get(v)!.type));
      try {
        for (const pass of allPasses) {
          check(
            pass.name,
            graph,
            pass.run(graph),
            feeds,
            quantised || !REASSOCIATES.has(pass.name),
          );
        }
        const pipeline = (passes: readonly Pass[], from: Graph): Graph =>
          runPasses(from, passes, {
            verify: true,
            trace: ({ pass, before, after }) => check(pass, before, after, feeds, quantised),
          });
        pipeline(toTarget, pipeline(cleanup, graph));
      } catch (error) {
        throw new Error(`seed ${seed}\n${printGraph(graph)}`, { cause: error });
      }
    }
  });
}
