/**
 * @file Every candidate of f32 operators against `eval`: through the kernel interpreter for each kind of target,
 * then through WebAssembly. The samples of the operators, and shapes that break tiles.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { type Graph, GraphBuilder } from "../../src/graph/graph.ts";
import { interpret } from "../../src/graph/interpret.ts";
import type { Op, Sample } from "../../src/graph/op.ts";
import { makeProgramRunner, readOutput, writeInput } from "../../src/kernel/interpret-program.ts";
import { ops } from "../../src/ops/index.ts";
import { type CompileResult, compileGraph } from "../../src/plan/compile.ts";
import { type Capabilities, WASM, WASM256 } from "../../src/primitives/capabilities.ts";
import { primitives } from "../../src/primitives/index.ts";
import { createSession } from "../../src/runtime/session.ts";
import { directConversions } from "../../src/select/first-choice.ts";
import { type Tensor, toNumbers } from "../../src/tensor/tensor.ts";
import { assertProgramPartsAgree } from "../support/parts.ts";
import { CASES, CONSTANT_INPUTS } from "./f32-cases.ts";
import { assertClose, sampleInputs } from "./harness.ts";

const TARGETS: readonly Capabilities[] = [
  WASM,
  { name: "wide", vectorBytes: 32, registers: 15, fma: "all", dot8: "none", unpacks: false },
  { name: "wider", vectorBytes: 64, registers: 29, fma: "all", dot8: "all", unpacks: true },
];

/** Candidates that trade rounding for speed, and the relative L2 error they may have. */
const L2_LIMITS: readonly (readonly [part: string, limit: number])[] = [
  ["_winograd_2x2", 1.25e-6],
  ["_winograd_4x4", 7e-6],
];

function l2Error(got: readonly number[], want: readonly number[]): number {
  const squares = (xs: readonly number[]): number => xs.reduce((sum, x) => sum + x * x, 0);
  return Math.sqrt(squares(got.map((x, i) => x - want[i]!)) / squares(want));
}

/** The operator on inputs, those that a model usually knows as constants. */
function graphOf(op: Op, sample: Sample, ins: readonly Tensor[]): Graph {
  const g = new GraphBuilder(op.name);
  const known = CONSTANT_INPUTS[op.name] ?? [];
  const values = ins.map((t, i) => (known.includes(i) ? g.constant(t) : g.input(`in${i}`, t.type)));
  for (const [i, v] of g.applyAll(op, values, sample.attrs, "layer").entries())
    g.output(v, `y${i}`);
  return g.build();
}

function compileWith(graph: Graph, caps: Capabilities, index: number): CompileResult | null {
  let found = true;
  const result = compileGraph(graph, {
    primitives,
    caps,
    select: (network) => {
      const choices = network.nodes.map(({ candidates }) => {
        if (index >= candidates.length) found = false;
        return Math.min(index, candidates.length - 1);
      });
      return { choices, conversions: directConversions(network, choices) };
    },
  });
  return found ? result : null;
}

function interpreted(
  { program }: CompileResult,
  feeds: readonly Tensor[],
  variant: "base" | "fma",
): number[] {
  const runner = makeProgramRunner(program, { variant });
  for (const [i, t] of feeds.entries()) writeInput(runner, i, t);
  if (variant === "fma") assertProgramPartsAgree(program, runner.memory.slice(0), { variant });
  runner.init();
  for (let run = 0; run < 2; run++) {
    // A run may use the memory of its inputs for something else.
    for (const [i, t] of feeds.entries()) writeInput(runner, i, t);
    runner.run();
  }
  return toNumbers(readOutput(runner, 0));
}

async function checkSample(op: Op, sample: Sample, seed: number): Promise<void> {
  const ins = sampleInputs(sample, seed);
  const graph = graphOf(op, sample, ins);
  const known = CONSTANT_INPUTS[op.name] ?? [];
  const feeds = ins.filter((_, i) => !known.includes(i));
  const want = interpret(graph, feeds)[0]!;
  for (const caps of TARGETS) {
    for (let i = 0; ; i++) {
      const compiled = compileWith(graph, caps, i);
      if (compiled === null) break;
      const names = compiled.nodes.map((n) => n.implementation).join(" ");
      if (names.endsWith("_default")) continue;
      const label = `${op.name} [${sample.ins.map((t) => t.shape).join("] [")}] ${names} ${caps.name}`;
      const compare = (got: readonly number[], how: string): void => {
        const data = Float32Array.from(got);
        const limit = L2_LIMITS.find(([part]) => names.includes(part));
        if (limit === undefined) {
          assertClose({ type: want.type, data }, want, sample.tolerance, `${label} ${how}`);
          return;
        }
        const error = l2Error(got, toNumbers(want));
        assert.ok(error <= limit[1], `${label} ${how}: relative L2 error ${error}`);
      };
      for (const variant of ["base", "fma"] as const) {
        compare(interpreted(compiled, feeds, variant), `interpreted ${variant}`);
      }
      if (caps.vectorBytes > WASM256.vectorBytes) continue;
      const session = await createSession(compiled.program, { variant: "base" });
      compare(toNumbers(session.run(feeds)[0]!), "compiled");
      session.close();
    }
  }
}

const isFloat = ({ ins }: Sample): boolean => ins.every((t) => t.dtype === "f32");

for (const [name, op] of Object.entries(ops)) {
  const cases = [...op.samples, ...(CASES[name] ?? [])].filter(isFloat);
  if (primitives[name] === undefined || cases.length === 0) continue;
  test(`f32 candidates of ${name}`, async () => {
    for (const [i, sample] of cases.entries()) await checkSample(op, sample, i + 1);
  });
}
