/** @file What `tersor prune` does with data: evaluation, gradients, running averages, calibration. */
import {
  type Importance,
  type LossCriterion,
  type LossData,
  lossImportance,
  prunableGroups,
} from "../src/compress/prune/index.ts";
import { collectStats, plainWeights, quantizeGraph } from "../src/compress/quantize/index.ts";
import type { Masks, ScoreOptions } from "../src/compress/sparsity/index.ts";
import { type Graph, isOp, typeOf } from "../src/graph/graph.ts";
import { batchNorm } from "../src/ops/nn/batch-norm.ts";
import { compiledExecutor } from "../src/optimize/executor.ts";
import { cleanGraph, compile } from "../src/pipeline.ts";
import type { Session } from "../src/runtime/session.ts";
import { makeTensor, type Tensor, type TensorType, toNumbers } from "../src/tensor/tensor.ts";
import type { BatchSource } from "../src/train/batches.ts";
import { type ExampleSet, subset } from "../src/train/data/sets.ts";
import { evaluator } from "../src/train/evaluate.ts";
import { reestimateBatchNorm } from "../src/train/reestimate.ts";
import { rowsOf, withBatch } from "../src/train/with-batch.ts";
import { UserError } from "../src/util/errors.ts";
import { makeRng } from "../src/util/rng.ts";
import type { Io } from "./io.ts";
import { openTarget } from "./target.ts";
import type { TrainSettings } from "./train-config.ts";
import {
  evalBatches,
  type InputPort,
  readSets,
  setIdentity,
  type TrainSets,
  trainBatches,
} from "./train-data.ts";
import { inputOf, lossOf } from "./train-setup.ts";
import { batchTensors, snipMasksOf } from "./train-snip.ts";

/** Batches that gradients are taken of, and that running averages are computed from, at most. */
const GRADIENT_BATCHES = 16;
const AVERAGE_BATCHES = 50;
/** Examples that ranges of 8-bit values are taken from, and that groups are judged by, at most. */
const CALIBRATION_ROWS = 256;
const JUDGED_ROWS = 1000;

/** accuracy in per cent; mse; or, without classes, the squared error relative to the outputs of the original. */
export type PruneMetric = "accuracy" | "mse" | "output error";

type Feeds = Readonly<Record<string, Float32Array<ArrayBuffer>>>;

/** The data of a command. Graphs that are given have the rows of the file. */
export interface PruneData {
  readonly metric: PruneMetric;
  readonly better: "high" | "low";
  readonly sets: TrainSets;
  /** Whether the evaluation has data of its own. */
  readonly ownEvaluation: boolean;
  /** Names the examples. */
  readonly identity: string;
  /** On the evaluation data. */
  evaluate(graph: Graph): Promise<number>;
  /** On examples of the training data. */
  judge(graph: Graph): Promise<number>;
  readonly judgedRows: number;
  importance(graph: Graph, criterion: LossCriterion): Promise<Importance>;
  /** Masks without the weights to which the loss is least sensitive, by the names of parameters. */
  sensitive(graph: Graph, options: ScoreOptions): Promise<Masks>;
  /** With running averages computed anew; null: the graph has no batch normalisation. */
  reestimated(graph: Graph): Promise<Graph | null>;
  /** Computes on 8-bit integers. */
  quantised(graph: Graph): Promise<Graph>;
}

/** Reads the data, and refuses what does not fit the model. `graph`: the original. */
export async function openPruneData(
  graph: Graph,
  settings: TrainSettings,
  trains: boolean,
  io: Io,
): Promise<PruneData> {
  const sets = await readSets(settings, (text) => io.progress(text));
  const { batch } = settings.data;
  if (sets.train.count < batch) {
    throw new UserError("E_DATA", `${sets.train.count} examples do not fill a batch of ${batch}`, {
      where: settings.data.train,
      hint: "give --finetune a smaller batch, for example batch=16",
    });
  }
  const input = inputOf(withBatch(graph, batch), sets.train, settings);
  return new Data(graph, settings, sets, input, trains);
}

/** What needs no classes: an auto-encoder's loss. */
const byInput = ({ loss }: TrainSettings): boolean =>
  loss.kind === "mse" && loss.target === "input";

class Data implements PruneData {
  readonly metric: PruneMetric;
  readonly better: "high" | "low";
  readonly ownEvaluation: boolean;
  readonly identity: string;
  readonly judgedRows: number;
  private readonly original: Graph;
  private readonly settings: TrainSettings;
  readonly sets: TrainSets;
  private readonly input: InputPort;
  private readonly judged: ExampleSet;
  private readonly references = new Map<ExampleSet, readonly Float32Array[]>();

  constructor(
    original: Graph,
    settings: TrainSettings,
    sets: TrainSets,
    input: InputPort,
    trains: boolean,
  ) {
    this.original = original;
    this.settings = settings;
    this.sets = sets;
    this.input = input;
    const labelled = sets.train.labels.length > 0;
    if (trains && !labelled && !byInput(settings)) this.refuseUnlabelled("fine-tuning");
    const asked = settings.evaluate?.metric;
    const known = labelled ? "accuracy" : byInput(settings) ? "mse" : "output error";
    this.metric = asked ?? known;
    this.better = this.metric === "accuracy" ? "high" : "low";
    this.ownEvaluation = sets.evaluation !== null;
    this.identity = `${setIdentity(sets.train)}; ${setIdentity(sets.evaluation)}`;
    const { count } = sets.train;
    this.judgedRows = Math.min(JUDGED_ROWS, count);
    const order = Array.from(makeRng(settings.seed).permutation(count));
    this.judged = subset(
      sets.train,
      order.slice(0, this.judgedRows).sort((a, b) => a - b),
    );
  }

  private refuseUnlabelled(what: string): never {
    throw new UserError("E_DATA", `the examples have no labels, which ${what} needs`, {
      where: this.settings.data.train,
      hint: "name their column with --label-column, or use l1, l2, bn or fpgm without training",
    });
  }

  private rows(graph: Graph): Graph {
    return withBatch(graph, this.settings.data.batch);
  }

  evaluate(graph: Graph): Promise<number> {
    return this.valueOf(graph, this.sets.evaluation ?? this.sets.train);
  }

  judge(graph: Graph): Promise<number> {
    return this.valueOf(graph, this.judged);
  }

  private async valueOf(graph: Graph, set: ExampleSet): Promise<number> {
    const source = evalBatches(set, this.settings, this.input);
    if (this.metric === "output error") return this.outputError(graph, set, source);
    return evaluator(source, {
      metric: this.metric,
      count: set.count,
      ...(byInput(this.settings) && { target: this.input.name }),
      open: (clean) => this.open(clean),
    }).run(this.rows(graph));
  }

  private async open(clean: Graph): Promise<Session> {
    const target = await openTarget(this.settings.engine);
    const { program } = compile(clean, { caps: target.caps });
    return target.open(program, this.settings.threads);
  }

  /** The first outputs of the examples. */
  private async outputs(graph: Graph, source: BatchSource, count: number): Promise<Float32Array[]> {
    const session = await this.open(cleanGraph(this.rows(graph)));
    try {
      const outs: Float32Array[] = [];
      for (let i = 0; i < source.batchesPerEpoch; i++) {
        const { feeds } = await source.batch(i);
        const y = toNumbers(session.run([this.tensor(feeds as Feeds)])[0]!);
        const counted = Math.min(source.rows, count - i * source.rows);
        outs.push(Float32Array.from(y.slice(0, (y.length / source.rows) * counted)));
      }
      return outs;
    } finally {
      session.close();
    }
  }

  private async outputError(graph: Graph, set: ExampleSet, source: BatchSource): Promise<number> {
    const want = this.references.get(set) ?? (await this.outputs(this.original, source, set.count));
    this.references.set(set, want);
    const got = await this.outputs(graph, source, set.count);
    let [error, power] = [0, 0];
    want.forEach((y, i) => {
      y.forEach((x, k) => {
        error += (got[i]![k]! - x) ** 2;
        power += x * x;
      });
    });
    return power === 0 ? error : error / power;
  }

  /** The model's input of a batch, a copy. */
  private tensor(feeds: Feeds): Tensor {
    const { name, shape } = this.input;
    return makeTensor({ dtype: "f32", shape }, feeds[name]!.slice());
  }

  /** Shuffled batches of the training data without augmentation, the same in every call; at most `most`. */
  private async *batches(most: number): AsyncGenerator<Feeds> {
    const { augment: _, ...data } = this.settings.data;
    const source = trainBatches(
      this.sets.train,
      { ...this.settings, data: { ...data, workers: 0 } },
      this.input,
    );
    try {
      for (let i = 0; i < Math.min(most, source.batchesPerEpoch); i++) {
        yield (await source.batch(i)).feeds as Feeds;
      }
    } finally {
      await source.close();
    }
  }

  importance(graph: Graph, criterion: LossCriterion): Promise<Importance> {
    const whole = this.rows(graph);
    return lossImportance(whole, prunableGroups(whole), criterion, this.lossData(criterion));
  }

  sensitive(graph: Graph, options: ScoreOptions): Promise<Masks> {
    return snipMasksOf(this.rows(graph), () => true, this.lossData("snip"), options);
  }

  /** The loss that `what` takes gradients of. */
  private lossData(what: string): LossData {
    const labelled = this.sets.train.labels.length > 0;
    if (!labelled && !byInput(this.settings)) this.refuseUnlabelled(what);
    const tensors = async function* (data: Data) {
      for await (const feeds of data.batches(GRADIENT_BATCHES)) {
        yield batchTensors({ feeds }, data.input);
      }
    };
    const loss = byInput(this.settings)
      ? ({ kind: "mse", target: "input" } as const)
      : ({ kind: "cross-entropy" } as const);
    return {
      loss: lossOf({ loss }, this.input),
      batches: tensors(this),
      executor: compiledExecutor(),
    };
  }

  async reestimated(graph: Graph): Promise<Graph | null> {
    if (!graph.nodes.some((n) => isOp(n, batchNorm))) return null;
    const feeds = async function* (data: Data) {
      for await (const f of data.batches(AVERAGE_BATCHES)) yield [data.tensor(f)];
    };
    const found = await reestimateBatchNorm(this.rows(graph), feeds(this), compiledExecutor());
    return withBatch(found, rowsOf(graph));
  }

  async quantised(graph: Graph): Promise<Graph> {
    const float = plainWeights(cleanGraph(graph));
    const [input] = float.inputs;
    const feeds: Tensor[][] = [];
    const { batch } = this.settings.data;
    for await (const f of this.batches(Math.ceil(CALIBRATION_ROWS / batch))) {
      for (const t of inRows(f[this.input.name]!, batch, typeOf(float, input!))) feeds.push([t]);
    }
    const stats = await collectStats(float, compiledExecutor(), feeds);
    return quantizeGraph(float, stats, { observer: { kind: "mse" } });
  }
}

/** A batch as tensors of another number of rows; what is left over is dropped. */
function inRows(data: Float32Array, batch: number, type: TensorType): Tensor[] {
  const rows = type.shape[0] ?? 1;
  const size = (data.length / batch) * rows;
  return Array.from({ length: Math.max(1, Math.floor(batch / rows)) }, (_, i) => {
    const part = new Float32Array(size);
    // A batch smaller than the model's rows is repeated.
    for (let k = 0; k < size; k++) part[k] = data[(i * size + k) % data.length]!;
    return makeTensor(type, part);
  });
}
