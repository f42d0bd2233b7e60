/** @file Transposed convolutions of all kinds mean the same as convolutions. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { GraphBuilder } from "../graph/graph.ts";
import { interpret } from "../graph/interpret.ts";
import { convTranspose } from "../ops/nn/conv-transpose.ts";
import { type Tensor, tensorOf, tensorType } from "../tensor/tensor.ts";
import { product } from "../util/math.ts";
import { makeRng, type Rng } from "../util/rng.ts";
import { convTransposeToConv } from "./conv-transpose-to-conv.ts";

const SEED = 77;
const CASES = 300;

const random = (rng: Rng, shape: readonly number[]): Tensor =>
  tensorOf(
    "f32",
    shape,
    Array.from({ length: product(shape) }, () => rng.normal()),
  );

/** True when the pass took the case. */
function check(rng: Rng): boolean {
  const groups = 1 + rng.int(3);
  const [perIn, perOut] = [1 + rng.int(2), 1 + rng.int(3)];
  const stride = 1 + rng.int(3);
  const dilation = stride === 1 ? 1 + rng.int(2) : 1;
  const two = (f: () => number): [number, number] => [f(), f()];
  const kernel = two(() => 1 + rng.int(4));
  const attrs = {
    layout: "nhwc" as const,
    stride: [stride, stride],
    padBegin: two(() => rng.int(3)),
    padEnd: two(() => rng.int(3)),
    dilation: [dilation, dilation],
    groups,
    outputPad: two(() => rng.int(stride)),
    ...(rng.int(2) === 0 ? {} : { act: { fn: "relu" } }),
  };
  const g = new GraphBuilder("t");
  const xs = [
    random(rng, [2, 3 + rng.int(3), 3 + rng.int(3), groups * perIn]),
    random(rng, [groups * perIn, ...kernel, perOut]),
    random(rng, [groups * perOut]),
  ].slice(0, 2 + rng.int(2));
  const ins = xs.map((t, i) => g.input(`in${i}`, tensorType("f32", t.type.shape)));
  try {
    g.output(g.apply(convTranspose, ins, attrs));
  } catch {
    return false;
  }
  const graph = g.build();
  const converted = convTransposeToConv.run(graph);
  if (converted === graph) return false;
  const [want, got] = [graph, converted].map((x) => interpret(x, xs)[0]!);
  assert.deepEqual(got!.type, want!.type);
  want!.data.forEach((v, i) => {
    const error = Math.abs(Number(v) - Number(got!.data[i]));
    assert.ok(error <= 1e-4 * Math.max(1, Math.abs(Number(v))), `${JSON.stringify(attrs)} at ${i}`);
  });
  return true;
}

test(`random transposed convolutions, seed ${SEED}`, () => {
  const rng = makeRng(SEED);
  let taken = 0;
  for (let i = 0; i < CASES; i++) if (check(rng)) taken++;
  assert.ok(taken > CASES / 2, `only ${taken} of ${CASES} were converted`);
});
