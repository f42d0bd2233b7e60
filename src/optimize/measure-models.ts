/** @file Several models of one task side by side: accuracy on the same rows, counts, bytes, and measured latency. */
import { macsOf, parameterCount } from "../graph/count.ts";
import type { Graph } from "../graph/graph.ts";
import { typeOf } from "../graph/graph.ts";
import { cleanGraph } from "../pipeline.ts";
import { makeTensor } from "../tensor/tensor.ts";
import type { BatchSource } from "../train/batches.ts";
import { UserError } from "../util/errors.ts";
import { argMax } from "../util/math.ts";
import { type Loaded, load, measureLatencies, realsOf } from "./evaluate.ts";
import { type MetricValue, pairedDrop, proportion } from "./metrics.ts";
import type { Bytes, Latency } from "./types.ts";

/** A model to be measured, for single rows. */
export interface Subject {
  readonly name: string;
  readonly description: string;
  readonly graph: Graph;
  /** Batches of one row, by the name of the model's one input; null: accuracy is not measured. */
  readonly rows: BatchSource | null;
}

export interface MeasuredModel {
  readonly name: string;
  readonly description: string;
  readonly parameters: number;
  /** Of one row. */
  readonly macs: number;
  readonly bytes: Bytes;
  readonly arenaBytes: number;
  /** Of one row in WebAssembly, one thread. */
  readonly latency: Latency;
  /** Top-1 in per cent. */
  readonly accuracy: MetricValue | null;
  /** Points against the first model, on the same rows; positive is worse. */
  readonly drop: MetricValue | null;
}

export interface Measured {
  readonly models: readonly MeasuredModel[];
  /** Points that the second of two models, by name, loses against the first, on the same rows; null: not measured. */
  readonly drop: (before: string, after: string) => MetricValue | null;
}

/** Per row: is the largest output the label? `onRow` is told how many are done. */
async function rightRows(
  { session }: Loaded,
  { graph, rows }: Subject,
  onRow: (done: number, of: number) => void,
): Promise<boolean[]> {
  const right: boolean[] = [];
  const of = rows?.batchesPerEpoch ?? 0;
  const input = graph.inputs[0]!;
  const { name, type } = { name: graph.values.get(input)!.name, type: typeOf(graph, input) };
  for (let i = 0; i < of; i++) {
    const { feeds, labels } = await rows!.batch(i);
    const data = feeds[name];
    if (data === undefined || labels.length !== 1) {
      throw new UserError("E_DATA", `rows of ${graph.name} have no '${name}', or no label`, {
        hint: "give labelled examples, one at a time",
      });
    }
    const [y] = session.run([makeTensor(type, (data as Float32Array).slice() as never)]);
    right.push(argMax(realsOf(y!)) === labels[0]);
    if (i % 64 !== 63) continue;
    onRow(i + 1, of);
    await new Promise((done) => setTimeout(done, 0));
  }
  return right;
}

/** Top-1 accuracy of a model; null without rows. Throws UserError when rows do not fit it. */
export async function topOne(subject: Subject): Promise<MetricValue | null> {
  const loaded = await load(cleanGraph(subject.graph));
  try {
    return accuracyOf(await rightRows(loaded, subject, () => {}));
  } finally {
    loaded.session.close();
  }
}

const accuracyOf = (right: readonly boolean[]): MetricValue | null =>
  right.length === 0 ? null : proportion(right.filter(Boolean).length, right.length);

/** Measures models one after the other, latencies in turn. Throws UserError when rows do not fit a model. */
export async function measureModels(
  subjects: readonly Subject[],
  onProgress: (text: string) => void = () => {},
): Promise<Measured> {
  const loaded: Loaded[] = [];
  try {
    const right: boolean[][] = [];
    for (const subject of subjects) {
      const one = await load(cleanGraph(subject.graph));
      loaded.push(one);
      const tell = (done: number, of: number): void =>
        onProgress(`${subject.name}: row ${done} of ${of}`);
      right.push(await rightRows(one, subject, tell));
    }
    onProgress("measuring latencies");
    const latencies = measureLatencies(loaded.map((l) => l.session));
    const at = (name: string): readonly boolean[] =>
      right[subjects.findIndex((s) => s.name === name)] ?? [];
    const drop: Measured["drop"] = (before, after) => {
      const [a, b] = [at(before), at(after)];
      return a.length === 0 || a.length !== b.length ? null : pairedDrop(a, b);
    };
    const models = subjects.map(({ name, description }, i): MeasuredModel => {
      const { graph, bytes, compiled } = loaded[i]!;
      return {
        ...{ name, description, bytes },
        parameters: parameterCount(graph),
        macs: macsOf(graph),
        arenaBytes: compiled.program.arenaBytes,
        latency: latencies[i]!,
        accuracy: accuracyOf(right[i]!),
        drop: i === 0 ? null : drop(subjects[0]!.name, name),
      };
    });
    return { models, drop };
  } finally {
    for (const { session } of loaded) session.close();
  }
}
