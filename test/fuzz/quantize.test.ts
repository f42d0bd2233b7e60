/** @file Random float models survive quantisation: graphs verify, run, and stay near. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { collectStats, compareGraphs, quantizeGraph } from "../../src/compress/quantize/index.ts";
import { typeOf } from "../../src/graph/graph.ts";
import { interpretExecutor } from "../../src/graph/interpret.ts";
import { printGraph, printType } from "../../src/graph/print.ts";
import { verifyGraph } from "../../src/graph/verify.ts";
import { cleanup, runPasses, toTarget } from "../../src/passes/index.ts";
import { makeRng } from "../../src/util/rng.ts";
import { randomGraph, randomTensor } from "./random-graph.ts";

const MODELS = Number(process.env["FUZZ"] ?? 40);

test("random models quantise", async () => {
  let worst = Number.POSITIVE_INFINITY;
  let sum = 0;
  let counted = 0;
  for (let seed = 1; seed <= MODELS; seed++) {
    const rng = makeRng(seed);
    const graph = runPasses(randomGraph(rng), cleanup);
    const batch = () => graph.inputs.map((v) => randomTensor(rng, typeOf(graph, v)));
    const batches = [batch(), batch(), batch(), batch()];
    try {
      const stats = await collectStats(graph, interpretExecutor, batches);
      const quantised = quantizeGraph(graph, stats);
      verifyGraph(quantised);
      quantised.outputs.forEach((v, i) => {
        const want = printType(typeOf(graph, graph.outputs[i]!));
        assert.equal(printType(typeOf(quantised, v)), want);
      });
      const target = runPasses(quantised, toTarget, { verify: true });
      const exact = await compareGraphs(quantised, target, interpretExecutor, batches);
      assert.equal(exact.mse, 0, "compiling for a target keeps quantised results");
      if (quantised === graph) continue;
      const { sqnr } = await compareGraphs(graph, quantised, interpretExecutor, batches);
      worst = Math.min(worst, sqnr);
      sum += Math.min(sqnr, 60);
      counted++;
    } catch (error) {
      throw new Error(`seed ${seed}\n${printGraph(graph)}`, { cause: error });
    }
  }
  assert.ok(sum / counted > 25, `mean SQNR ${sum / counted} dB`);
  assert.ok(worst > 5, `worst SQNR ${worst} dB`);
});
