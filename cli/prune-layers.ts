/** @file Times of the layers of a pruned model beside those of its original. */
import { prunedLayers } from "../src/compress/prune/index.ts";
import { randomFeed } from "../src/feeds.ts";
import { type Graph, typeOf } from "../src/graph/graph.ts";
import { type CompileModelOptions, compile } from "../src/pipeline.ts";
import { layerTimes, nodeTimes, type Times } from "../src/profile/node-times.ts";
import type { ReportedLayer, TimesPair } from "../src/report/pruning-types.ts";
import { createSession } from "../src/runtime/session.ts";
import { median } from "../src/util/math.ts";

const ROUNDS = 3;
const LEAST_RUNS = 5;
const MOST_RUNS = 300;

const pairOf = (before: Times, after: Times): TimesPair => ({
  predictedMs: [before.predictedMs, after.predictedMs],
  measuredMs: [before.measuredMs, after.measuredMs],
});

/** Layers and the rest of two clean graphs, each step timed in place, the graphs in turn, for some seconds in all. */
export async function timedLayers(
  graphs: readonly [original: Graph, result: Graph],
  predict: CompileModelOptions,
  seconds: number,
): Promise<{ readonly layers: readonly ReportedLayer[]; readonly rest: TimesPair }> {
  const models = [];
  for (const graph of graphs) {
    const compiled = compile(graph, predict);
    const feeds = graph.inputs.map((v, i) => randomFeed(typeOf(graph, v), i + 1));
    const session = await createSession(compiled.program);
    session.run(feeds);
    models.push({ graph, compiled, session, rounds: [] as (readonly number[])[] });
  }
  for (let round = 0; round < ROUNDS; round++) {
    for (const { session, rounds } of models) {
      const once = Math.max(median(session.time(LEAST_RUNS)), 1e-3);
      const fitting = Math.round((1000 * seconds) / models.length / ROUNDS / once);
      const runs = Math.min(MOST_RUNS, Math.max(LEAST_RUNS, fitting));
      rounds.push(session.profile(runs).map((step) => step.ms));
    }
  }
  for (const { session } of models) session.close();
  const [before, after] = models.map(({ graph, compiled, rounds }) => {
    const steps = rounds[0]!.map((_, i) => ({ ms: median(rounds.map((r) => r[i]!)) }));
    return layerTimes(graph, nodeTimes(compiled, steps));
  });
  const seen = new Map<string, number>();
  const layers = prunedLayers(...graphs).map((layer): ReportedLayer => {
    const at = seen.get(layer.name) ?? 0;
    seen.set(layer.name, at + 1);
    const [a, b] = [before!, after!].map((times) => times.layers.get(layer.name)?.[at] ?? null);
    return { ...layer, times: a && b ? pairOf(a, b) : null };
  });
  return { layers, rest: pairOf(before!.rest, after!.rest) };
}
