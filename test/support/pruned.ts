/** @file A pruned model against the same model with those channels at 0, compiled and in ONNX Runtime. */
import {
  chooseChannels,
  maskChannels,
  normalised,
  prunableGroups,
  removeChannels,
  removedShare,
  shufflesToGather,
  weightImportance,
} from "../../src/compress/prune/index.ts";
import { constantBytes, macsOf } from "../../src/graph/count.ts";
import type { Graph } from "../../src/graph/graph.ts";
import { usesOf } from "../../src/graph/rewrite.ts";
import { verifyGraph } from "../../src/graph/verify.ts";
import { cleanGraph, compile, toOnnx } from "../../src/pipeline.ts";
import { createSession } from "../../src/runtime/session.ts";
import { type Tensor, toNumbers } from "../../src/tensor/tensor.ts";
import { runOrt, seededFeeds, worstDifference } from "./whole-models.ts";

export interface PrunedResult {
  readonly groups: number;
  /** Channels that went, of those that could. */
  readonly share: number;
  readonly macs: readonly [before: number, after: number];
  readonly bytes: readonly [before: number, after: number];
  /** Largest differences from the masked model, in units of the largest magnitude, or 1 behind a scalar function. */
  readonly compiled: number;
  readonly ort: number;
}

async function run(graph: Graph, feeds: readonly Tensor[]): Promise<readonly Tensor[]> {
  const session = await createSession(compile(graph).program);
  const outs = session.run(feeds).map((t) => ({ type: t.type, data: t.data.slice() }) as Tensor);
  session.close();
  return outs;
}

/** Outputs of scalar functions, which may saturate, also before the function. */
function withLogits(graph: Graph): Graph {
  const uses = usesOf(graph);
  const before = graph.outputs.flatMap((v) => {
    const node = uses.producer(v);
    return node?.op.scalar === undefined ? [] : [node.ins[0]!];
  });
  const names = before.map((_, i) => `before${i}`);
  return {
    ...graph,
    outputs: [...graph.outputs, ...before],
    outputNames: [...graph.outputNames, ...names],
  };
}

/** Removes a share of the channels by L1, and compares. Throws where a step fails. */
export async function comparePruned(model: Graph, share: number): Promise<PrunedResult> {
  const graph = withLogits(shufflesToGather(cleanGraph(model)));
  const uses = usesOf(graph);
  const unit = (i: number) =>
    uses.producer(graph.outputs[i]!)?.op.scalar === undefined ? "relative" : "absolute";
  const groups = prunableGroups(graph);
  const importance = normalised(weightImportance(graph, groups, "l1"));
  const kept = chooseChannels(graph, groups, importance, { share });
  const small = removeChannels(graph, kept);
  verifyGraph(small);
  const masked = maskChannels(graph, kept);
  verifyGraph(masked);
  const feeds = seededFeeds(graph, 5);
  const want = await run(masked, feeds);
  const got = await run(small, feeds);
  const ort = await runOrt(toOnnx(small), feeds);
  return {
    groups: groups.length,
    share: removedShare(kept),
    macs: [macsOf(graph), macsOf(small)],
    bytes: [constantBytes(graph), constantBytes(small)],
    compiled: Math.max(
      ...want.map((t, i) => worstDifference(toNumbers(got[i]!), toNumbers(t), unit(i))),
    ),
    ort: Math.max(...want.map((t, i) => worstDifference(ort[i]!, toNumbers(t), unit(i)))),
  };
}
