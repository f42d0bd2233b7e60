/** @file The built models have the published numbers of parameters and multiply-accumulates, and sane values. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { randomFeed } from "../../src/feeds.ts";
import { macsOf } from "../../src/graph/count.ts";
import { type Graph, typeOf } from "../../src/graph/graph.ts";
import { compiledExecutor } from "../../src/optimize/executor.ts";
import { cleanGraph } from "../../src/pipeline.ts";
import { elementCount, toNumbers } from "../../src/tensor/tensor.ts";
import { mobilenetV2 } from "./mobilenet-v2.ts";
import { resnet18 } from "./resnet-18.ts";
import { squeezenet } from "./squeezenet.ts";
import { TRANSFORMER, transformer } from "./transformer.ts";

/** Learned parameters: running statistics of batch norm and shared factors are none. */
const paramsOf = (g: Graph): number =>
  [...g.values].reduce((sum, [v, { type, name }]) => {
    const learned = g.constants.has(v) && /\.(weight|bias|gamma|beta)$/.test(name);
    return learned ? sum + elementCount(type.shape) : sum;
  }, 0);

const { layers, width, tokens, hidden } = TRANSFORMER;
const LINEARS = 4 * width * width + 2 * width * hidden;

/** Of the pictures that are inferred on, to keep the test short. */
const SMALL_SIDE = 64;

/** Counts of the published models (torchvision); of the transformer by its formula. */
const CASES: readonly [build: (side?: number) => Graph, params: number, macs: number][] = [
  [mobilenetV2, 3_504_872, 300.8e6],
  [resnet18, 11_689_512, 1_814e6],
  [squeezenet, 1_235_496, 349.2e6],
  [
    transformer,
    layers * (LINEARS + 5 * width + hidden + 4 * width),
    layers * (tokens * LINEARS + 2 * tokens * tokens * width),
  ],
];

for (const [build, params, macs] of CASES) {
  test(`${build.name}: ${params} parameters, ${(macs / 1e6).toFixed(0)} MMAC`, async () => {
    const graph = build();
    assert.equal(paramsOf(graph), params);
    const counted = macsOf(graph);
    assert.ok(Math.abs(counted / macs - 1) < 0.01, `${counted} multiply-accumulates`);
    const small = build(SMALL_SIDE);
    const feeds = small.inputs.map((v) => randomFeed(typeOf(small, v), 1));
    const [y] = await compiledExecutor()(cleanGraph(small), feeds);
    const numbers = Array.from(toNumbers(y!));
    const size = Math.sqrt(numbers.reduce((sum, x) => sum + x * x, 0) / numbers.length);
    assert.ok(size > 0.1 && size < 100, `results have a size of ${size}`);
  });
}
