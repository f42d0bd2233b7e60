/** @file Primitives whose weights are inputs, as in training: packed by the program, not by the compiler. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { GraphBuilder } from "../../src/graph/graph.ts";
import { interpret } from "../../src/graph/interpret.ts";
import type { Op, Sample } from "../../src/graph/op.ts";
import { makeProgramRunner, readOutput, writeInput } from "../../src/kernel/interpret-program.ts";
import { conv } from "../../src/ops/nn/conv.ts";
import { linear } from "../../src/ops/nn/linear.ts";
import { compileGraph } from "../../src/plan/compile.ts";
import { primitives } from "../../src/primitives/index.ts";
import { assertProgramPartsAgree } from "../support/parts.ts";
import { CASES } from "./f32-cases.ts";
import { assertClose, sampleInputs } from "./harness.ts";

function check(op: Op, sample: Sample, seed: number): boolean {
  const ins = sampleInputs(sample, seed);
  const g = new GraphBuilder(op.name);
  const values = ins.map((t, i) => g.input(`in${i}`, t.type));
  g.output(g.apply(op, values, sample.attrs, "layer"), "y");
  const graph = g.build();
  const [want] = interpret(graph, ins);
  const { program, nodes } = compileGraph(graph, { primitives });
  for (const variant of ["base", "fma"] as const) {
    const runner = makeProgramRunner(program, { variant });
    ins.forEach((t, i) => {
      writeInput(runner, i, t);
    });
    assertProgramPartsAgree(program, runner.memory.slice(0), { variant });
    runner.run();
    assertClose(readOutput(runner, 0), want!, sample.tolerance, `${op.name} ${seed} ${variant}`);
  }
  return !nodes[0]!.implementation.endsWith("_default");
}

for (const op of [conv, linear] as unknown as readonly Op[]) {
  test(`${op.name} with weights that are inputs`, () => {
    const samples = [...op.samples, ...(CASES[op.name] ?? [])].filter((s) =>
      s.ins.every((t) => t.dtype === "f32"),
    );
    const packed = samples.filter((sample, i) => check(op, sample, i + 1));
    assert.ok(packed.length > 0, "some sample has a primitive");
  });
}
