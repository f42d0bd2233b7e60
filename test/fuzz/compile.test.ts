/**
 * @file Random models compiled to WebAssembly give the interpreter's results, and their programs are sound.
 * FUZZ=<n> sets the number of models of each kind, SEED=<n> the first seed.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { type Graph, typeOf } from "../../src/graph/graph.ts";
import { interpret } from "../../src/graph/interpret.ts";
import { printGraph } from "../../src/graph/print.ts";
import { makeProgramRunner, readOutput, writeInput } from "../../src/kernel/interpret-program.ts";
import type { Program } from "../../src/kernel/program.ts";
import { verifyProgram } from "../../src/kernel/verify-program.ts";
import { cleanGraph, compile, targetGraph } from "../../src/pipeline.ts";
import { createSession } from "../../src/runtime/session.ts";
import { type Tensor, toNumbers } from "../../src/tensor/tensor.ts";
import { makeRng } from "../../src/util/rng.ts";
import { foreignRead } from "../support/memory-owners.ts";
import { randomGraph, randomTensor } from "./random-graph.ts";

const MODELS = Number(process.env["FUZZ"] ?? 50);
const FIRST = Number(process.env["SEED"] ?? 1);
/** Reassociated sums, and functions within 4 ulp. */
const FLOAT = 1e-4;
/**
 * Quantised models that take means through reals: the order of an f32 sum decides ties of the quantisation
 * behind it, and later layers enlarge that step.
 */
const STEPS = 4;

/** The most by which a result may differ: of the larger of 1 and the largest result, or in integers. */
type Tolerance = { readonly relative: number } | { readonly steps: number };

function toleranceOf(target: Graph, quantised: boolean): Tolerance {
  if (!quantised) return { relative: FLOAT };
  const sums = target.nodes.some(
    ({ op, outs }) => /pool|reduce/.test(op.name) && typeOf(target, outs[0]!).dtype === "f32",
  );
  return { steps: sums ? STEPS : 0 };
}

function assertSame(
  got: readonly Tensor[],
  want: readonly Tensor[],
  tolerance: Tolerance,
  of: string,
): void {
  want.forEach((t, i) => {
    const [x, y] = [toNumbers(got[i]!), toNumbers(t)];
    const size = Math.max(1, ...y.filter(Number.isFinite).map(Math.abs));
    const most = "steps" in tolerance ? tolerance.steps : tolerance.relative * size;
    const bad = y.findIndex(
      (v, k) => !(Object.is(v, x[k]) || v === x[k] || Math.abs(v - x[k]!) <= most),
    );
    assert.equal(bad, -1, `${of}: output ${i}[${bad}] is ${x[bad]}, expected ${y[bad]}`);
  });
}

/** What engines with 8-bit dot products of either kind would compute. */
function checkDot8(
  program: Program,
  feeds: readonly Tensor[],
  want: readonly Tensor[],
  tolerance: Tolerance,
): void {
  for (const dot8 of ["signed", "unsigned"] as const) {
    const runner = makeProgramRunner(program, { variant: "dot8", dot8 });
    runner.init();
    feeds.forEach((t, i) => {
      writeInput(runner, i, t);
    });
    runner.run();
    assertSame(
      want.map((_, i) => readOutput(runner, i)),
      want,
      tolerance,
      `dot8 ${dot8}`,
    );
  }
}

async function check(graph: Graph, quantised: boolean, seed: number): Promise<void> {
  const rng = makeRng(seed);
  const feeds = [0, 1].map(() => graph.inputs.map((v) => randomTensor(rng, typeOf(graph, v))));
  const clean = cleanGraph(graph, { verify: true });
  const tolerance = toleranceOf(targetGraph(clean), quantised);
  const compiled = compile(clean, { verify: true });
  const { program } = compiled;
  verifyProgram(program);
  assert.equal(foreignRead(compiled), null);
  const want = feeds.map((f) => interpret(graph, f));
  if (quantised && program.kernels.some((k) => k.forms?.dot8 !== undefined)) {
    checkDot8(program, feeds[0]!, want[0]!, tolerance);
  }
  for (const variant of ["base", "fma"] as const) {
    const session = await createSession(program, { variant });
    // The first input again: nothing of the second may be left.
    for (const i of [0, 1, 0]) assertSame(session.run(feeds[i]!), want[i]!, tolerance, variant);
    session.close();
  }
}

for (const quantised of [false, true]) {
  const kind = quantised ? "quantised" : "float";
  test(`${MODELS} ${kind} models compile (from seed ${FIRST})`, async () => {
    for (let seed = FIRST; seed < FIRST + MODELS; seed++) {
      const graph = randomGraph(makeRng(seed), { quantised, size: 3 + (seed % 10) });
      try {
        await check(graph, quantised, seed);
      } catch (error) {
        throw new Error(`seed ${seed}\n${printGraph(graph)}`, { cause: error });
      }
    }
  });
}
