/**
 * @file Damaged model files that still load also compile and give the interpreter's results.
 * FUZZ=<n> sets the number of models of each format, SEED=<n> varies them.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { type Graph, typeOf } from "../../src/graph/graph.ts";
import { interpret } from "../../src/graph/interpret.ts";
import { printGraph } from "../../src/graph/print.ts";
import { verifyProgram } from "../../src/kernel/verify-program.ts";
import { cleanGraph, compile } from "../../src/pipeline.ts";
import { createSession } from "../../src/runtime/session.ts";
import type { DType } from "../../src/tensor/dtype.ts";
import { byteSize, type Tensor, toNumbers } from "../../src/tensor/tensor.ts";
import { UserError } from "../../src/util/errors.ts";
import { makeRng } from "../../src/util/rng.ts";
import { macsOf } from "../support/whole-models.ts";
import { randomTensor } from "./random-graph.ts";
import { FORMATS } from "./seeds.ts";

const MODELS = Number(process.env["FUZZ"] ?? 150);
const SEED = Number(process.env["SEED"] ?? 1);
const MAX_CASES = 40 * MODELS;

/** Ratios of scales beyond this overflow integer arithmetic, in a way that is not defined. */
const EXTREME = 2 ** 14;

/** Small enough to be compiled in milliseconds, with scales as they occur. */
const isSuitable = (graph: Graph): boolean =>
  graph.nodes.length <= 100 &&
  macsOf(graph) < 1e7 &&
  [...graph.values.values()].every(
    ({ type }) =>
      byteSize(type) < 2 ** 20 &&
      (type.quant?.scale ?? []).every((s) => s > 1 / EXTREME && s < EXTREME),
  );

/** Of the largest result. f16 and bf16 round every result on the way. */
const RELATIVE: Readonly<Partial<Record<DType, number>>> = {
  f64: 1e-4,
  f32: 1e-4,
  f16: 2e-3,
  bf16: 2e-2,
};
/** Quantised results that are sums of reals: the order of the sum decides ties. */
const STEPS = 1;

function assertSame(got: Tensor, want: Tensor, steps: number): void {
  const { dtype } = want.type;
  const [x, y] = [toNumbers(got), toNumbers(want)];
  const size = y.reduce((most, v) => (Number.isFinite(v) ? Math.max(most, Math.abs(v)) : most), 0);
  const relative = RELATIVE[dtype];
  const most = relative !== undefined ? relative * size : steps;
  // Sums and powers overflow in f32 where the interpreter's f64 does not.
  const isFine = (a: number, b: number): boolean =>
    Object.is(a, b) ||
    a === b ||
    Math.abs(a - b) <= most ||
    (relative !== undefined && !Number.isFinite(a));
  const bad = y.findIndex((v, i) => !isFine(x[i]!, v));
  assert.equal(bad, -1, `element ${bad} of ${dtype} is ${x[bad]}, expected ${y[bad]}`);
}

/** The interpreter's results; null where it refuses the values (an index outside, for example). */
function interpreted(graph: Graph, feeds: readonly Tensor[]): readonly Tensor[] | null {
  try {
    return interpret(graph, feeds);
  } catch (error) {
    if (error instanceof UserError) return null;
    throw error;
  }
}

async function compileAndRun(graph: Graph, seed: number): Promise<void> {
  const rng = makeRng(seed);
  const { program } = compile(cleanGraph(graph, { verify: true }), { verify: true });
  verifyProgram(program);
  const session = await createSession(program);
  const feeds = graph.inputs.map((v) => randomTensor(rng, typeOf(graph, v)));
  const got = session.run(feeds);
  session.close();
  const quantised = [...graph.values.values()].some(({ type }) => type.quant !== undefined);
  interpreted(graph, feeds)?.forEach((want, i) => {
    assertSame(got[i]!, want, quantised ? STEPS : 0);
  });
}

/** The file's graph where it loads and is suitable, else null. */
function suitableGraph(load: () => Graph): Graph | null {
  try {
    const graph = load();
    return isSuitable(graph) ? graph : null;
  } catch (error) {
    if (error instanceof UserError) return null;
    throw error;
  }
}

for (const [name, make] of Object.entries(FORMATS)) {
  test(`${MODELS} damaged ${name} models that load give the same when compiled (seed ${SEED})`, async (t) => {
    const format = make();
    let [ran, refused] = [0, 0];
    for (let i = 0; i < MAX_CASES && ran + refused < MODELS; i++) {
      const seed = SEED * 1_000_003 + i;
      const bytes = format.make(makeRng(seed));
      const graph = suitableGraph(() => format.load(bytes));
      if (graph === null) continue;
      try {
        await compileAndRun(graph, seed);
        ran++;
      } catch (error) {
        if (!(error instanceof UserError)) {
          throw new Error(`case ${i}\n${printGraph(graph)}`, { cause: error });
        }
        t.diagnostic(`case ${i} refused: ${error.message}`);
        refused++;
      }
    }
    t.diagnostic(`${ran} ran, ${refused} refused`);
    assert.ok(ran > refused, `${ran} ran, ${refused} refused`);
  });
}
