/** @file What `tersor prune` with data writes: models, artefacts, report.json and report.html. */
import { basename, join } from "node:path";
import { gzipSync } from "node:zlib";
import { channelGroups, prunableGroups } from "../src/compress/prune/index.ts";
import { randomFeed } from "../src/feeds.ts";
import { constantBytes, macsOf } from "../src/graph/count.ts";
import { type Graph, isOp, typeOf } from "../src/graph/graph.ts";
import { batchNorm } from "../src/ops/nn/batch-norm.ts";
import { cleanGraph, compile, toOnnx } from "../src/pipeline.ts";
import { predictedMs } from "../src/prune.ts";
import { renderPruning } from "../src/report/pruning.ts";
import type { MeasuredTime, PruneReport, PruneVariant } from "../src/report/pruning-types.ts";
import { writeArtefact } from "../src/targets/wasm/artefact.ts";
import { VERSION } from "../src/version.ts";
import { ENGINES } from "./bench-engines.ts";
import { writeFiles } from "./files.ts";
import { plural } from "./format.ts";
import { machineInfo, measure, timeFor } from "./measure.ts";
import { timedLayers } from "./prune-layers.ts";
import type { Job, Round } from "./prune-run.ts";
import type { JudgedGroups } from "./prune-sensitivity.ts";
import { layerTable, storedTable, variantTable } from "./prune-table.ts";
import { onnxFiles, storedBytes, storedPairs } from "./stored-bytes.ts";

/** A model of the report. */
export interface Made {
  readonly name: string;
  readonly about: string;
  readonly graph: Graph;
  /** Of the metric. */
  readonly value: number;
  /** Its training; null: none. */
  readonly run: { readonly seconds: number; readonly epochs: number } | null;
}

interface Told {
  readonly rounds: readonly Round[];
  readonly sensitivity: JudgedGroups | null;
}

/** Measures, and writes everything. */
export async function writePruneReport(
  job: Job,
  made: readonly Made[],
  result: Made,
  told: Told,
): Promise<void> {
  const { io, settings } = job;
  const { out } = settings.base;
  const files = [...filesOf(job, out, result.graph)];
  const int8 = made.find((m) => m.name === "int8");
  if (int8 !== undefined) files.push(...filesOf(job, join(out, "int8"), int8.graph));
  const report = await reportOf(job, made, result, told);
  const pages = new Map([
    ["report.html", renderPruning(report)],
    ["report.json", `${JSON.stringify(report, null, 2)}\n`],
  ]);
  files.push(...writeFiles(out, pages));
  io.object({ ...report, written: files });
  io.print(layerTable(report.layers, io.width, report.rest));
  io.print(variantTable(report, io.width));
  io.print(storedTable(report.stored, io.width));
  for (const note of report.notes) io.note(`note: ${note}`);
  for (const file of files) io.print(`wrote ${file}`);
  io.print(`next: open ${join(out, "report.html")}`);
}

function filesOf({ predict, method }: Job, folder: string, graph: Graph): string[] {
  const clean = cleanGraph(graph);
  const files = onnxFiles(clean, method.kind !== "channels");
  const { program } = compile(clean, predict);
  for (const [name, content] of writeArtefact(program).files) files.set(name, content);
  return writeFiles(folder, files);
}

/** Times of the models that differ in more than the numbers in their weights, in turn. */
async function timesOf(job: Job, made: readonly Made[]): Promise<Map<Made, MeasuredTime>> {
  const { io, flags, settings } = job;
  const own = made.filter(
    ({ name, run }) => run !== null || name === "original" || name === "int8",
  );
  const last = made.filter((m) => m.run === null && m.name !== "int8").at(-1)!;
  const all = own.some((m) => m.name === "fine-tuned") ? own : [...own, last];
  const apart = [...new Set(all)].filter(({ name }) => !name.endsWith("scratch"));
  io.progress("measuring");
  const loaded = [];
  for (const { graph } of apart) {
    const feeds = graph.inputs.map((v, i) => randomFeed(typeOf(graph, v), settings.base.seed + i));
    loaded.push(await ENGINES.tersor.load({ graph, feeds, threads: 1 }));
  }
  const timed = loaded.map(({ run }) => ({ turn: (ms: number) => timeFor(run, ms) }));
  const times = await measure(timed, flags.seconds ?? 1);
  for (const one of loaded) await one.close();
  return new Map(
    apart.map((m, i) => {
      const { p10Ms, p50Ms, p90Ms } = times[i]!;
      return [m, { p10Ms, p50Ms, p90Ms }];
    }),
  );
}

function variantOf(job: Job, made: Made, measured: MeasuredTime | null): PruneVariant {
  const clean = cleanGraph(made.graph);
  const onnx = toOnnx(clean);
  return {
    ...{ name: made.name, about: made.about, value: made.value },
    macs: macsOf(clean),
    weightBytes: constantBytes(clean),
    onnxBytes: onnx.length,
    gzipBytes: gzipSync(onnx, { level: 9 }).length,
    predictedMs: predictedMs(clean, job.predict),
    measured,
    seconds: made.run?.seconds ?? null,
    epochs: made.run?.epochs ?? null,
  };
}

/** The share of its units that each group of the original has lost. */
function chosenShares(original: Graph, now: Graph): Record<string, number> {
  const left = new Map(channelGroups(now).map((g) => [g.name, g.count]));
  return Object.fromEntries(
    prunableGroups(original).map((g) => [g.name, 1 - (left.get(g.name) ?? g.count) / g.count]),
  );
}

function notesOf({ data, original, settings, flags }: Job): string[] {
  const notes: string[] = [];
  if (!data.ownEvaluation) {
    notes.push("evaluated on the training data; give --eval-data for an honest figure");
  }
  const folded = !original.nodes.some((n) => isOp(n, batchNorm));
  if (folded && flags.scratch !== undefined) {
    notes.push("the file has no batch normalisations, and fresh weights are trained without them");
  }
  if (!settings.trains) notes.push("nothing was trained; give --finetune epochs=5,rate=0.02");
  return notes;
}

/** What was to be reached, in words. */
function targetText({ flags }: Job): string {
  if (flags.target !== undefined) return `target ${flags.target}`;
  return flags.ratio === undefined ? "a fixed share" : `${100 * flags.ratio} % of what can go`;
}

async function reportOf(
  job: Job,
  made: readonly Made[],
  result: Made,
  { rounds, sensitivity }: Told,
): Promise<PruneReport> {
  const { path, flags, data, settings, original } = job;
  const { base } = settings;
  const times = await timesOf(job, made);
  const { cpu, cores, os, node } = machineInfo();
  const ends = [cleanGraph(original), cleanGraph(result.graph)] as const;
  job.io.progress("measuring layers");
  const { layers, rest } = await timedLayers(ends, job.predict, flags.seconds ?? 1);
  const [before, after] = ends.map((g) => storedBytes(g, compile(g, job.predict).program));
  const count = (data.sets.evaluation ?? data.sets.train).count;
  return {
    ...{ model: basename(path), tersor: VERSION, command: process.argv.slice(2) },
    ...{ method: flags.method, target: targetText(job), metric: data.metric, better: data.better },
    data: {
      ...{ train: base.data.train, trainCount: data.sets.train.count },
      evaluation: data.ownEvaluation ? base.data.eval! : `${base.data.train} (training data)`,
      evaluationCount: count,
    },
    ...{ seed: base.seed, engine: `${base.engine}, ${plural(base.threads, "thread")}` },
    machine: `${cpu}, ${cores} cores, ${os}, Node ${node}`,
    variants: made.map((m) => variantOf(job, m, times.get(m) ?? null)),
    result: result.name,
    rounds: rounds.map(({ round, removed, graph, pruned, tuned }) => ({
      ...{ round, removed, macs: macsOf(cleanGraph(graph)), pruned },
      tuned: tuned ?? made.find((m) => m.name === "fine-tuned")?.value ?? null,
    })),
    ...{ layers, rest },
    stored: storedPairs(before!, after!),
    sensitivity:
      sensitivity === null
        ? null
        : {
            ...sensitivity.sensitivity,
            rows: sensitivity.rows,
            chosen: chosenShares(original, result.graph),
          },
    notes: notesOf(job),
  };
}
