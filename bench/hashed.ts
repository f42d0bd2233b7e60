/**
 * @file Hashed linear layers with weights written out when the module is loaded against weights computed in each
 * product: nanoseconds a weight, memory, bytes of the module. `node bench/hashed.ts`
 */
import { GraphBuilder } from "../src/graph/graph.ts";
import { hashedWeights } from "../src/ops/nn/hashed-weights.ts";
import { linear } from "../src/ops/nn/linear.ts";
import { compile } from "../src/pipeline.ts";
import { createSession } from "../src/runtime/session.ts";
import { emitModule } from "../src/targets/wasm/module.ts";
import { tensorOf, tensorType } from "../src/tensor/tensor.ts";
import { makeRng } from "../src/util/rng.ts";

const LAYERS = [
  { rows: 1, outputs: 64, inputs: 128 },
  { rows: 1, outputs: 256, inputs: 784 },
  { rows: 1, outputs: 1024, inputs: 1024 },
  { rows: 16, outputs: 256, inputs: 784 },
];
const SHARE = 1 / 8;
const RUNS = 100;

for (const { rows, outputs, inputs } of LAYERS) {
  const g = new GraphBuilder("layer");
  const x = g.input("x", tensorType("f32", [rows, inputs]));
  const count = Math.ceil(SHARE * outputs * inputs);
  const rng = makeRng(1);
  const values = Array.from({ length: count }, () => rng.normal());
  const w = g.constant(tensorOf("f32", [count], values));
  const all = g.apply(hashedWeights, [w], { shape: [outputs, inputs], seed: 1 });
  g.output(g.apply(linear, [x, all], {}, "layer"));
  const graph = g.build();
  for (const pins of [[], [{ layer: "layer", primitive: "f32_linear_hashed" }]]) {
    const { program, nodes } = compile(graph, { pins });
    const session = await createSession(program);
    session.warmUp();
    const ns = (1e6 * Math.min(...session.time(RUNS))) / (outputs * inputs);
    session.close();
    const { implementation } = nodes.find(({ node }) => node.name === "layer")!;
    const { length } = emitModule(program).wasm;
    console.log(
      `${rows} x ${inputs} -> ${outputs}: ${implementation}, ${ns.toFixed(2)} ns a weight, ` +
        `${program.memoryBytes} bytes of memory, a module of ${length} bytes`,
    );
  }
}
