/** @file What `tersor exits` works on: data in three parts, the network with exits, what it says of rows. */
import type { Graph } from "../src/graph/graph.ts";
import type { BatchSource } from "../src/train/batches.ts";
import type { ExampleSet } from "../src/train/data/sets.ts";
import {
  calibrateExits,
  type ExitOutcome,
  type ExitPoint,
  exitOutcomes,
  exitPoint,
  exitStages,
  NEVER,
  openCascade,
  type Stages,
} from "../src/train/exits/index.ts";
import type { ExitsFlags, ExitsSettings } from "./exits-settings.ts";
import type { Io } from "./io.ts";
import { evalBatches } from "./train-data.ts";
import { inputOf } from "./train-setup.ts";

export interface ExitSets {
  readonly train: ExampleSet;
  /** Of the training data: the threshold is chosen by it. */
  readonly held: ExampleSet;
  readonly evaluation: ExampleSet;
}

export interface ExitsJob {
  readonly flags: ExitsFlags;
  readonly io: Io;
  readonly path: string;
  readonly settings: ExitsSettings;
  readonly sets: ExitSets;
  /** The model as given, in float, single rows. */
  readonly given: Graph;
  /** The same with branches. */
  readonly branched: Graph;
}

/** A network with exits, what it says of rows, and its threshold. */
export interface Judged {
  readonly graph: Graph;
  readonly stages: Stages;
  /** On the rows held apart. */
  readonly point: ExitPoint;
  readonly whole: ExitPoint;
  readonly outcomes: readonly ExitOutcome[];
}

/** Rows one by one as the model takes them. */
export function rowsFor({ settings }: ExitsJob, graph: Graph, set: ExampleSet): BatchSource {
  const { data } = settings.train;
  const single = { ...settings.train, data: { ...data, batch: 1 } };
  return evalBatches(set, single, inputOf(graph, set, single));
}

/** Runs all stages on all rows, and chooses the threshold. */
export async function judge(job: ExitsJob, graph: Graph): Promise<Judged> {
  const { settings, sets, io } = job;
  const { rule, confidence } = settings;
  const stages = exitStages(graph);
  const costs = stages.list.map((s) => s.macs);
  const open = await openCascade(stages, confidence);
  try {
    const outcomes = (set: ExampleSet) =>
      exitOutcomes(open, rowsFor(job, graph, set), (done, of) => {
        if (done % 64 === 0) io.progress(`exits: row ${done} of ${of}`);
      });
    const held = await outcomes(sets.held);
    const point =
      "threshold" in rule
        ? exitPoint(held, costs, rule.threshold)
        : calibrateExits(held, costs, rule);
    const whole = exitPoint(held, costs, NEVER);
    return { graph, stages, point, whole, outcomes: await outcomes(sets.evaluation) };
  } finally {
    open.close();
  }
}
