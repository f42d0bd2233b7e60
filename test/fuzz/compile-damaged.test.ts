/**
 * @file Damaged model files that still load also compile and run, or are refused with a UserError.
 * FUZZ=<n> sets the number of models of each format, SEED=<n> varies them.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { type Graph, typeOf } from "../../src/graph/graph.ts";
import { verifyProgram } from "../../src/kernel/verify-program.ts";
import { cleanGraph, compile } from "../../src/pipeline.ts";
import { createSession } from "../../src/runtime/session.ts";
import { byteSize } from "../../src/tensor/tensor.ts";
import { UserError } from "../../src/util/errors.ts";
import { makeRng } from "../../src/util/rng.ts";
import { macsOf } from "../support/whole-models.ts";
import { randomTensor } from "./random-graph.ts";
import { FORMATS } from "./seeds.ts";

const MODELS = Number(process.env["FUZZ"] ?? 150);
const SEED = Number(process.env["SEED"] ?? 1);
const MAX_CASES = 40 * MODELS;

/** Small enough to be compiled in milliseconds. */
const isSmall = (graph: Graph): boolean =>
  graph.nodes.length <= 100 &&
  macsOf(graph) < 1e7 &&
  [...graph.values.values()].every(({ type }) => byteSize(type) < 2 ** 20);

async function compileAndRun(graph: Graph, seed: number): Promise<void> {
  const rng = makeRng(seed);
  const { program } = compile(cleanGraph(graph, { verify: true }), { verify: true });
  verifyProgram(program);
  const session = await createSession(program);
  session.run(graph.inputs.map((v) => randomTensor(rng, typeOf(graph, v))));
  session.close();
}

/** The file's graph where it loads and is small, else null. */
function smallGraph(load: () => Graph): Graph | null {
  try {
    const graph = load();
    return isSmall(graph) ? graph : null;
  } catch (error) {
    if (error instanceof UserError) return null;
    throw error;
  }
}

for (const [name, make] of Object.entries(FORMATS)) {
  test(`${MODELS} damaged ${name} models that load compile and run (seed ${SEED})`, async (t) => {
    const format = make();
    let [ran, refused] = [0, 0];
    for (let i = 0; i < MAX_CASES && ran + refused < MODELS; i++) {
      const seed = SEED * 1_000_003 + i;
      const bytes = format.make(makeRng(seed));
      try {
        const graph = smallGraph(() => format.load(bytes));
        if (graph === null) continue;
        await compileAndRun(graph, seed);
        ran++;
      } catch (error) {
        if (!(error instanceof UserError)) throw new Error(`case ${i}`, { cause: error });
        t.diagnostic(`case ${i} refused: ${error.message}`);
        refused++;
      }
    }
    t.diagnostic(`${ran} ran, ${refused} refused`);
    assert.ok(ran > refused, `${ran} ran, ${refused} refused`);
  });
}
