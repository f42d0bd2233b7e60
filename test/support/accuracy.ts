/** @file Labelled rows of the shared data as model inputs, and the accuracy of a compiled model on them. */
import { openSource, type SourceOptions } from "../../src/data/node.ts";
import { type Preprocess, preprocess } from "../../src/data/preprocess.ts";
import type { Graph } from "../../src/graph/graph.ts";
import { typeOf } from "../../src/graph/graph.ts";
import { load, runRows } from "../../src/optimize/evaluate.ts";
import { correct } from "../../src/optimize/metrics.ts";
import type { Tensor } from "../../src/tensor/tensor.ts";

export interface LabelledRows {
  readonly feeds: readonly (readonly Tensor[])[];
  readonly labels: readonly number[];
}

/** What the rows are read with. The models have one input. */
export interface Task {
  readonly preprocess: Preprocess;
  readonly source?: SourceOptions;
}

/** Keyword spotting: MFCC features stored with the int8 reference model's input parameters. */
export const KEYWORDS: Task = {
  preprocess: { dtype: "i8", quantScale: 0.5847029089927673, zeroPoint: 83 },
};
/** CIFAR-10: RGB bytes as they are. */
export const PICTURES: Task = { preprocess: { layout: "nhwc" } };

/** The rows of a file as inputs of `graph`. */
export async function readRows(
  path: string,
  rows: readonly number[],
  graph: Graph,
  task: Task,
): Promise<LabelledRows> {
  const source = await openSource(path, task.source);
  const examples = await source.read(rows);
  const input = typeOf(graph, graph.inputs[0]!);
  return {
    feeds: examples.map((e) => [preprocess(e, input, task.preprocess)]),
    labels: examples.map((e) => e.label ?? -1),
  };
}

export interface Accuracy {
  /** Percent of the rows whose largest output is the label's. */
  readonly top1: number;
  readonly rows: number;
  readonly codeBytes: number;
  readonly totalBytes: number;
}

/** Compiles the graph and counts right answers. */
export async function accuracyOf(graph: Graph, rows: LabelledRows): Promise<Accuracy> {
  const { session, bytes } = await load(graph);
  const outputs = await runRows(session, { feeds: rows.feeds, labels: rows.labels });
  session.close();
  const hits = correct(outputs, rows.labels).filter((c) => c).length;
  const { length } = rows.labels;
  return {
    top1: (100 * hits) / length,
    rows: length,
    codeBytes: bytes.code,
    totalBytes: bytes.total,
  };
}

export const range = (from: number, to: number): number[] =>
  Array.from({ length: to - from }, (_, i) => from + i);
