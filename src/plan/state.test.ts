/** @file State lasts from one run to the next, and is no input or output any more. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { GraphBuilder } from "../graph/graph.ts";
import { makeProgramRunner, readOutput, writeInput } from "../kernel/interpret-program.ts";
import { add } from "../ops/elementwise/add.ts";
import { mul } from "../ops/elementwise/mul.ts";
import { tensorOf, tensorType } from "../tensor/tensor.ts";
import { compileGraph } from "./compile.ts";

test("a running sum and its square", () => {
  const g = new GraphBuilder("running");
  const type = tensorType("f32", [3]);
  const x = g.input("x", type);
  const sum = g.input("sum", type);
  const next = g.apply(add, [sum, x]);
  // Reads the old state after the new one was made.
  g.output(g.apply(mul, [next, sum]), "product");
  g.output(next, "next sum");
  const { program } = compileGraph(g.build(), {
    primitives: {},
    state: [{ input: "sum", output: "next sum" }],
  });
  assert.deepEqual(
    [program.inputs, program.outputs, program.state!].map((ports) => ports.map((p) => p.name)),
    [["x"], ["product"], ["sum"]],
  );
  const runner = makeProgramRunner(program);
  const { offset } = program.state![0]!;
  const memory = new Float32Array(runner.memory);
  memory.set([1, 2, 3], offset / 4);
  const seen: number[][] = [];
  for (let i = 0; i < 3; i++) {
    writeInput(runner, "x", tensorOf("f32", [3], [1, 10, 100]));
    runner.run();
    seen.push([...(readOutput(runner, "product").data as Float32Array)]);
  }
  assert.deepEqual(seen, [
    [2, 24, 309],
    [6, 264, 20909],
    [12, 704, 61509],
  ]);
  assert.deepEqual([...memory.subarray(offset / 4, offset / 4 + 3)], [4, 32, 303]);
});
