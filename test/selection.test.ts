/** @file Whatever is selected, the network computes the same: random candidates, layouts converted between them. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { type Graph, GraphBuilder, type Value } from "../src/graph/graph.ts";
import { interpret } from "../src/graph/interpret.ts";
import { add } from "../src/ops/elementwise/add.ts";
import { relu } from "../src/ops/elementwise/relu.ts";
import { conv } from "../src/ops/nn/conv.ts";
import { maxPool } from "../src/ops/nn/max-pool.ts";
import { cleanGraph, compile, loadModel, targetGraph } from "../src/pipeline.ts";
import { compileGraph } from "../src/plan/compile.ts";
import { primitives } from "../src/primitives/index.ts";
import { createSession } from "../src/runtime/session.ts";
import { costModel } from "../src/select/costs.ts";
import { selectionProblem } from "../src/select/problem.ts";
import { type Tensor, tensorOf, tensorType } from "../src/tensor/tensor.ts";
import type { UserError } from "../src/util/errors.ts";
import { product } from "../src/util/math.ts";
import { makeRng, type Rng } from "../src/util/rng.ts";
import { mlperfTiny, seededFeeds, worstOutput } from "./support/whole-models.ts";

/** Of the largest output; Winograd's transforms lose some digits. */
const TOLERANCE = 1e-4;

const PLAIN = { padBegin: [1, 1], padEnd: [1, 1], dilation: [1, 1], groups: 1 };

/** Convolutions with skips: values of several consumers. */
function skips(rng: Rng): Graph {
  const g = new GraphBuilder("skips");
  const weights = (...shape: number[]): Value =>
    g.constant(
      tensorOf(
        "f32",
        shape,
        Array.from({ length: product(shape) }, () => rng.normal() / 8),
      ),
    );
  const convolve = (x: Value, w: Value, stride: number, name: string): Value =>
    g.apply(conv, [x, w], { layout: "nhwc", stride: [stride, stride], ...PLAIN }, name);
  const x = g.input("x", tensorType("f32", [1, 12, 12, 5]));
  const a = g.apply(relu, [convolve(x, weights(16, 3, 3, 5), 1, "first")], {}, "a");
  const b = convolve(a, weights(16, 3, 3, 16), 1, "second");
  const c = g.apply(add, [g.apply(relu, [b], {}, "b"), a], {}, "sum");
  const pool = { layout: "nhwc", kernel: [2, 2], stride: [2, 2], padBegin: [0, 0], padEnd: [0, 0] };
  const d = g.apply(maxPool, [c], { ...pool, dilation: [1, 1] } as never, "pool");
  g.output(convolve(d, weights(12, 3, 3, 16), 2, "third"), "y");
  g.output(c, "z");
  return g.build();
}

/** The first `plans` random selections of a graph give what the interpreter gives. */
async function checkRandomPlans(graph: Graph, plans: number): Promise<number> {
  const feeds = seededFeeds(graph, 1);
  const want: readonly Tensor[] = interpret(graph, feeds);
  const target = targetGraph(graph);
  let conversions = 0;
  for (let seed = 0; seed < plans; seed++) {
    const rng = makeRng(seed);
    const { program, nodes } = compileGraph(target, {
      primitives,
      select: (network) => {
        const choices = network.nodes.map((n) => rng.int(n.candidates.length));
        const selection = selectionProblem(network, costModel(), () => 0).decode(choices);
        conversions += selection.conversions.length;
        return selection;
      },
    });
    const session = await createSession(program);
    const worst = worstOutput(session.run(feeds), want, "relative");
    session.close();
    const names = nodes.map((n) => n.implementation).join(" ");
    assert.ok(worst <= TOLERANCE, `seed ${seed}: ${worst}: ${names}`);
  }
  return conversions;
}

test("random selections of a network with skips", async () => {
  const conversions = await checkRandomPlans(skips(makeRng(1)), 24);
  assert.ok(conversions > 24, `${conversions} conversions`);
});

for (const file of ["kws_dscnn_float", "ic_resnet8_float"]) {
  test(`random selections of ${file}`, async (t) => {
    const bytes = mlperfTiny(`${file}.tflite`);
    if (bytes === null) return t.diagnostic(`no ${file}.tflite: nothing checked`);
    await checkRandomPlans(cleanGraph(loadModel(bytes).graph), 6);
  });
}

test("compiling twice gives the same plan", () => {
  const graph = skips(makeRng(1));
  const [a, b] = [compile(graph), compile(graph)];
  assert.deepEqual(
    a.nodes.map((n) => n.implementation),
    b.nodes.map((n) => n.implementation),
  );
  assert.equal(a.predictedNs, b.predictedNs);
});

test("a pinned layer is computed as asked", () => {
  const graph = skips(makeRng(1));
  const names = (c: ReturnType<typeof compile>): string[] => c.nodes.map((n) => n.implementation);
  const free = compile(graph);
  const pinned = compile(graph, { pins: [{ layer: "third", primitive: "conv_default" }] });
  assert.ok(!names(free).includes("conv_default"), names(free).join(" "));
  assert.equal(names(pinned).filter((n) => n === "conv_default").length, 1);
  assert.ok(pinned.predictedNs > free.predictedNs);
});

test("measured times decide where a profile has them", () => {
  const graph = skips(makeRng(1));
  const device = { cpu: "", engine: "", target: "wasm", threads: 1 };
  const { nodes } = compile(graph);
  const third = nodes.find((n) => n.node.name === "third")!;
  const entries = third.choice.candidates.map((c) => {
    const ns = c.name === "conv_default" ? 1 : 1e9;
    return { key: `${c.name} | ${third.choice.signature}`, group: "", ns, macs: 0, bytes: 0 };
  });
  const steered = compile(graph, { profile: { device, entries } });
  const chosen = steered.nodes.find((n) => n.node.name === "third")!;
  assert.equal(chosen.implementation, "conv_default");
  const explained = steered.explain().layers.find((l) => l.name === "third")!;
  assert.ok(explained.chosen.measured && explained.runnerUp !== null);
});

test("limits are kept, or refused with what was reached", () => {
  const graph = skips(makeRng(1));
  const free = compile(graph);
  const bytes = free.program.memoryBytes;
  const smaller = compile(graph, { limits: { memoryBytes: bytes } });
  assert.ok(smaller.program.memoryBytes <= bytes);
  assert.throws(
    () => compile(graph, { limits: { memoryBytes: 2000 } }),
    (e: UserError) => e.code === "E_UNMET" && /smallest reached: \d+/.test(e.message),
  );
});
