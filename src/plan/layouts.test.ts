/** @file Layouts other than plain: conversions are put in where needed, shared, and results stay the same. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { type Graph, GraphBuilder } from "../graph/graph.ts";
import { interpret } from "../graph/interpret.ts";
import { makeProgramRunner, readOutput, writeInput } from "../kernel/interpret-program.ts";
import { add } from "../ops/elementwise/add.ts";
import { relu } from "../ops/elementwise/relu.ts";
import { maxPool } from "../ops/nn/max-pool.ts";
import { directConversions } from "../select/first-choice.ts";
import type { Network, Selection } from "../select/network.ts";
import { type Tensor, tensorOf, tensorType } from "../tensor/tensor.ts";
import { makeRng } from "../util/rng.ts";
import { compileGraph } from "./compile.ts";

const POOL = {
  layout: "nhwc",
  kernel: [3, 3],
  stride: [1, 1],
  padBegin: [1, 1],
  padEnd: [1, 1],
} as const;

/** Two branches from one value, one of them read again as it is. */
function branches(): Graph {
  const g = new GraphBuilder("branches");
  const x = g.input("x", tensorType("f32", [1, 5, 6, 3]));
  const rng = makeRng(3);
  const shift = tensorOf("f32", [1, 1, 1, 3], [rng.normal(), rng.normal(), rng.normal()]);
  const a = g.apply(relu, [g.apply(add, [x, g.constant(shift)])]);
  const left = g.apply(maxPool, [a], POOL);
  const right = g.apply(maxPool, [a], {
    ...POOL,
    kernel: [5, 5],
    padBegin: [2, 2],
    padEnd: [2, 2],
  });
  g.output(g.apply(add, [left, right]), "y");
  g.output(a, "a");
  return g.build();
}

function feed(): Tensor {
  const rng = makeRng(9);
  return tensorOf(
    "f32",
    [1, 5, 6, 3],
    Array.from({ length: 90 }, () => rng.normal()),
  );
}

/** Channels first wherever `want` says so and it can be. */
function channelsFirst(network: Network, want: (op: string) => boolean): Selection {
  const choices = network.nodes.map(({ node, candidates }) => {
    const found = candidates.findIndex((c) => c.outs?.[0] === "nchw");
    return found >= 0 && want(node.op.name) ? found : 0;
  });
  return { choices, conversions: directConversions(network, choices) };
}

for (const [title, want, conversions] of [
  ["all nodes channels first", () => true, 3],
  [
    "pools channels first, each reading one shared conversion",
    (op: string) => op === "max_pool",
    3,
  ],
] as const) {
  test(title, () => {
    const graph = branches();
    const { program, nodes } = compileGraph(graph, {
      primitives: {},
      select: (network) => channelsFirst(network, want),
    });
    // Of the input (a conversion of the constant is evaluated when compiled) and of the results.
    const converted = nodes.filter((n) => n.node.op.name === "relayout");
    assert.equal(converted.length, conversions);
    const want_ = interpret(graph, [feed()]);
    const runner = makeProgramRunner(program);
    writeInput(runner, 0, feed());
    runner.run();
    want_.forEach((t, i) => assert.deepEqual([...readOutput(runner, i).data], [...t.data]));
  });
}
