/** @file What `tersor exits` found: files of the artefacts, and the report with everything measured. */
import { basename } from "node:path";
import { macsOf, parameterCount } from "../src/graph/count.ts";
import type { Graph } from "../src/graph/graph.ts";
import { type MetricValue, pairedDrop, proportion } from "../src/optimize/metrics.ts";
import { cleanGraph, toOnnx } from "../src/pipeline.ts";
import {
  type ExitModel,
  type ExitRow,
  type ExitsReport,
  exitFindings,
  type MeanLatency,
} from "../src/report/exits.ts";
import {
  type ExitOutcome,
  exitPoint,
  exitsOf,
  exitTaken,
  NEVER,
  writeExitArtefact,
} from "../src/train/exits/index.ts";
import { argMax } from "../src/util/math.ts";
import { VERSION } from "../src/version.ts";
import { type ExitsJob, type Judged, rowsFor } from "./exits-job.ts";
import {
  type Files,
  type LoadedArtefact,
  meanLatencies,
  moduleBytes,
  rowsOf,
  withArtefacts,
} from "./exits-measure.ts";
import type { ExitsSettings } from "./exits-settings.ts";
import { count, plural } from "./format.ts";
import { seedOf } from "./io.ts";
import { machineInfo } from "./measure.ts";
import { modelFiles } from "./train-results.ts";

/** Thresholds of the report's chart. */
const SHOWN = [0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99];

/** A way to run the model, the evaluation rows it gets right, and what runs one row of it. */
interface Way extends Omit<ExitModel, "accuracy" | "drop" | "latency"> {
  readonly right: readonly boolean[];
  readonly files: Files | null;
  readonly threshold?: number;
}

const accuracyOf = (right: readonly boolean[]): MetricValue =>
  proportion(right.filter(Boolean).length, right.length);

const sizeOf = (graph: Graph): number => parameterCount(cleanGraph(graph));

const rightAt = (outcomes: readonly ExitOutcome[], threshold: number): boolean[] =>
  outcomes.map((o) => o.right[exitTaken(o, threshold)]!);

/** The rows that the model as given gets right. */
async function rightOf(job: ExitsJob, artefact: LoadedArtefact): Promise<boolean[]> {
  const { given, sets, io } = job;
  const rows = rowsFor(job, given, sets.evaluation);
  const output = given.outputNames[0]!;
  const right: boolean[] = [];
  for (let i = 0; i < rows.batchesPerEpoch; i++) {
    const { feeds, labels } = await rows.batch(i);
    const outs = artefact.run(feeds) as Readonly<Record<string, Float32Array>>;
    right.push(argMax(outs[output]!) === labels[0]);
    if (i % 64 === 63) io.progress(`model as given: row ${i + 1} of ${rows.batchesPerEpoch}`);
  }
  return right;
}

/** model.onnx, and the artefact that stops early. */
const exitFiles = ({ graph, stages, point }: Judged, { confidence }: ExitsSettings): Files =>
  new Map([
    ["model.onnx", toOnnx(graph)],
    ...writeExitArtefact(stages, { threshold: point.threshold, confidence }),
  ]);

/** A network with exits at its threshold. */
function atThreshold({ graph, stages, point, outcomes }: Judged, files: Files) {
  const costs = stages.list.map((s) => s.macs);
  const { threshold } = point;
  return {
    ...{ parameters: sizeOf(graph), bytes: moduleBytes(files), files, threshold },
    meanMacs: exitPoint(outcomes, costs, threshold).meanCost,
    right: rightAt(outcomes, threshold),
  };
}

/** The network with exits: all layers, each exit alone, at the threshold. */
function waysOf(judged: Judged, files: Files): Way[] {
  const { graph, stages, outcomes } = judged;
  const sizes = stages.list.map((s) => sizeOf(s.graph));
  const own = atThreshold(judged, files);
  const whole: Way = {
    ...{ ...own, name: "all layers", description: "trained with exits, none taken", kind: "whole" },
    ...{ meanMacs: stages.list.at(-1)!.macs, threshold: NEVER },
    right: rightAt(outcomes, NEVER),
  };
  const alone = exitsOf(graph).map(
    ({ name, point }, k): Way => ({
      ...{ name, description: `always, behind ${point}`, kind: "one exit" },
      ...{ meanMacs: stages.list[k]!.macs, bytes: null, files: null },
      parameters: sizes.slice(0, k + 1).reduce((a, b) => a + b, 0),
      right: outcomes.map((o) => o.right[k]!),
    }),
  );
  return [
    whole,
    ...alone,
    { ...own, name: "with exits", description: "at the threshold", kind: "chosen" },
  ];
}

const inIntegers = (small: Judged, files: Files): Way => ({
  ...atThreshold(small, files),
  ...{ name: "with exits, int8", description: "8-bit weights and activations", kind: "int8" },
});

interface Measured {
  readonly ways: readonly Way[];
  readonly latencies: ReadonlyMap<Way, MeanLatency>;
  readonly timedRows: number;
}

/** Runs the artefacts as their users do: the model as given for what it gets right, all for their times. */
async function measured(job: ExitsJob, given: Files, others: readonly Way[]): Promise<Measured> {
  const distinct = [...new Set(others.flatMap((w) => w.files ?? []))];
  return withArtefacts([given, ...distinct], async ([plain, ...loaded]) => {
    const first: Way = {
      ...{ name: "as given", description: "the model without exits", kind: "given" },
      ...{ parameters: sizeOf(job.given), bytes: moduleBytes(given), files: given },
      meanMacs: macsOf(cleanGraph(job.given)),
      right: await rightOf(job, plain!),
    };
    const ways = [first, ...others];
    const timed = ways.filter((w) => w.files !== null);
    const runs = timed.map(({ files, threshold }) => {
      const artefact = files === given ? plain! : loaded[distinct.indexOf(files!)]!;
      return (row: Parameters<LoadedArtefact["run"]>[0]) => artefact.run(row, threshold);
    });
    job.io.progress("measuring latencies");
    const rows = await rowsOf(rowsFor(job, job.given, job.sets.evaluation));
    const { all, rows: timedRows } = await meanLatencies(runs, rows);
    return { ways, timedRows, latencies: new Map(timed.map((w, i) => [w, all[i]!])) };
  });
}

function modelRows({ ways, latencies }: Measured): ExitModel[] {
  const first = ways[0]!;
  return ways.map((way): ExitModel => {
    const { right, files: _, threshold: _t, ...model } = way;
    return {
      ...model,
      accuracy: accuracyOf(right),
      drop: way === first ? null : pairedDrop(first.right, right),
      latency: latencies.get(way) ?? null,
    };
  });
}

function exitRows({ graph, stages, point, outcomes }: Judged): ExitRow[] {
  const known = [...exitsOf(graph), { name: "end", point: "–" }];
  return known.map(({ name, point: at }, k) => {
    const own = outcomes.filter((o) => exitTaken(o, point.threshold) === k);
    const right = own.map((o) => o.right[k]!);
    return {
      ...{ name, point: at, macs: stages.list[k]!.macs, share: own.length / outcomes.length },
      accuracy: own.length === 0 ? null : accuracyOf(right),
    };
  });
}

const ruleText = ({ rule }: ExitsSettings): string => {
  if ("threshold" in rule) return "as asked for";
  return "maxDrop" in rule
    ? `the least mean cost that loses at most ${rule.maxDrop} points against all layers`
    : `the best accuracy within ${100 * rule.meanCost} % of the cost of all layers`;
};

function trainingText({ settings, sets, flags }: ExitsJob): Record<string, string> {
  const { epochs, data, schedule, optimizer, engine, threads, loss } = settings.train;
  const mode = loss.kind === "exits" ? (loss.mode ?? "joint") : "";
  const what = flags.freeze === true ? "the branches alone" : "network and branches";
  const from = mode === "self" ? "labels, exits also from the last head" : "labels at every exit";
  return {
    Trained: `${what}, ${from}, by ${engine}, ${plural(threads, "thread")}`,
    Data: `${count(sets.train.count)} examples, batches of ${data.batch}; ${count(sets.held.count)} held apart for the threshold; ${count(sets.evaluation.count)} to evaluate`,
    Schedule: `${epochs} epochs, ${schedule.kind} to ${schedule.rate}, ${optimizer.kind}`,
  };
}

function reportOf(job: ExitsJob, judged: Judged, found: Measured): ExitsReport {
  const { outcomes, point, whole, stages } = judged;
  const { settings, path, sets, flags } = job;
  const costs = stages.list.map((s) => s.macs);
  const { cpu, node } = machineInfo();
  const plain: Omit<ExitsReport, "findings"> = {
    ...{ model: basename(path), tersor: VERSION, seed: seedOf(flags) },
    ...{ engine: `Node ${node} on ${cpu}`, models: modelRows(found), exits: exitRows(judged) },
    threshold: {
      ...{ value: point.threshold, confidence: settings.confidence, rule: ruleText(settings) },
      held: {
        ...{ rows: sets.held.count, accuracy: point.accuracy },
        ...{ whole: whole.accuracy, meanMacs: point.meanCost },
      },
    },
    drop: pairedDrop(rightAt(outcomes, NEVER), rightAt(outcomes, point.threshold)),
    curve: SHOWN.map((threshold) => ({
      threshold,
      accuracy: accuracyOf(rightAt(outcomes, threshold)),
      meanMacs: exitPoint(outcomes, costs, threshold).meanCost,
    })),
    timedRows: found.timedRows,
    training: trainingText(job),
  };
  return { ...plain, findings: exitFindings(plain) };
}

export interface ExitsResult {
  readonly report: ExitsReport;
  /** By the folder below --out. */
  readonly files: ReadonlyMap<string, Files>;
}

/** Makes the artefacts and measures them beside the model as given. */
export async function exitsReport(
  job: ExitsJob,
  judged: Judged,
  small: Judged | null,
): Promise<ExitsResult> {
  const { settings, given } = job;
  const own = exitFiles(judged, settings);
  const integers = small === null ? null : exitFiles(small, settings);
  const ways = [
    ...waysOf(judged, own),
    ...(integers === null ? [] : [inIntegers(small!, integers)]),
  ];
  const found = await measured(job, modelFiles(given), ways);
  const files = new Map([["", own], ...(integers === null ? [] : [["int8", integers] as const])]);
  return { report: reportOf(job, judged, found), files };
}
