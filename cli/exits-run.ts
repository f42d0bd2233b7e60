/** @file One run of `tersor exits`: adds branches, trains, chooses the threshold, measures, writes. */
import { join } from "node:path";
import { unpackWeights } from "../src/compress/quantize/index.ts";
import type { Graph } from "../src/graph/graph.ts";
import { trainableGraph } from "../src/pipeline.ts";
import { type ExitsReport, renderExitsReport } from "../src/report/exits.ts";
import { subset } from "../src/train/data/sets.ts";
import { exitStages, exitsOf, isOfExit, withExits } from "../src/train/exits/index.ts";
import { parametersOf, withOwnParameters } from "../src/train/parameters.ts";
import { withBatch } from "../src/train/with-batch.ts";
import { UserError } from "../src/util/errors.ts";
import { makeRng } from "../src/util/rng.ts";
import { type ExitSets, type ExitsJob, judge, rowsFor } from "./exits-job.ts";
import { exitsReport } from "./exits-report.ts";
import { type ExitsFlags, type ExitsSettings, exitsSettings } from "./exits-settings.ts";
import { writeFiles } from "./files.ts";
import { bytes, count, ms, table } from "./format.ts";
import { integersOf } from "./int8.ts";
import { type Io, seedOf } from "./io.ts";
import { openForCommand } from "./options.ts";
import type { TrainSettings } from "./train-config.ts";
import { readSets, type TrainSets } from "./train-data.ts";
import { train } from "./train-run.ts";

/** Fewer rows say little about a threshold. */
const FEW_ROWS = 200;

/** The training data without a part of it, drawn by the seed. Both keep their order. */
function split({ train: all, evaluation }: TrainSets, settings: ExitsSettings, io: Io): ExitSets {
  const { data, seed } = settings.train;
  if (all.classes === 0 || evaluation === null) {
    throw new UserError("E_DATA", "the training data has no labels", {
      where: data.train,
      hint: "see data.labelColumn, or give a folder with a sub-folder for each class",
    });
  }
  const apart = Math.max(1, Math.round(settings.hold * all.count));
  if (all.count - apart < data.batch) {
    throw new UserError(
      "E_DATA",
      `${all.count - apart} examples do not fill a batch of ${data.batch}`,
      { where: data.train, hint: "give a smaller --batch, or hold less apart with --hold" },
    );
  }
  if (apart < FEW_ROWS && !("threshold" in settings.rule)) {
    io.note(`note: the threshold is chosen by ${apart} rows only; --hold takes more`);
  }
  const order = makeRng(seed).permutation(all.count);
  const rows = (from: number, to: number): number[] =>
    Array.from(order.slice(from, to)).sort((a, b) => a - b);
  const held = subset(all, rows(0, apart));
  return { train: subset(all, rows(apart, all.count)), held, evaluation };
}

function branches(given: Graph, flags: ExitsFlags): Graph {
  if (exitsOf(given).length > 0) {
    throw new UserError("E_MODEL", `${given.name} has early exits already`, {
      hint: "give the model from before exits were added",
    });
  }
  const { at, conv } = flags;
  return withExits(given, {
    seed: seedOf(flags),
    ...(at !== undefined && { points: at }),
    ...(conv !== undefined && { conv }),
  });
}

function announce({ io, branched }: ExitsJob): void {
  const { list } = exitStages(branched);
  const whole = list.at(-1)!.macs;
  const rows = exitsOf(branched).map(({ name, point }, i) => {
    const { macs } = list[i]!;
    return [
      name,
      `behind ${point}`,
      `${count(macs)} MACs`,
      `${((100 * macs) / whole).toFixed(1)} %`,
    ];
  });
  const end = ["end", "", `${count(whole)} MACs`, "100.0 %"];
  io.print(table([...rows, end], { width: io.width, flexible: 1, right: [2, 3] }));
}

/** With `--freeze`: all but the branches. */
function stays({ flags, branched }: ExitsJob): TrainSettings["stays"] {
  if (flags.freeze !== true) return undefined;
  const exits = exitsOf(branched);
  const freeze = [...parametersOf(branched).values()].filter((name) => !isOfExit(exits, name));
  return { freeze, batchNorm: "trained" };
}

/** Trains network and branches; null: it was stopped. */
async function trained(job: ExitsJob): Promise<Graph | null> {
  const { settings, branched, flags, sets } = job;
  const fixed = stays(job);
  const all: TrainSettings = {
    ...settings.train,
    model: ({ batch }) => withBatch(branched, batch),
    ...(fixed !== undefined && { stays: fixed }),
  };
  const io: Io = { ...job.io, object: () => {} };
  const result = await train(all, flags, io, { train: sets.train, evaluation: sets.held });
  return result === null ? null : withBatch(result.model, 1);
}

function describe({ models, findings }: ExitsReport, io: Io): string {
  const titles = ["model", "top-1", "mean MACs", "bytes", "mean latency"];
  const rows = models.map((m) => [
    m.name,
    `${m.accuracy.value.toFixed(2)} %`,
    count(m.meanMacs),
    m.bytes === null ? "" : bytes(m.bytes.total),
    m.latency === null ? "" : ms(m.latency.meanMs),
  ]);
  const shown = table([titles, ...rows], { width: io.width, right: [1, 2, 3, 4] });
  return `${shown}\n${findings.map((f) => `  ${f}\n`).join("")}`;
}

/** Adds, trains and measures exits, to the end or until a signal. */
export async function exits(path: string, flags: ExitsFlags, io: Io): Promise<void> {
  const opened = openForCommand(path, flags, io).graph;
  // Names of parameters must be those that training gives them.
  const given = withOwnParameters(withBatch(unpackWeights(trainableGraph(opened)), 1));
  const settings = await exitsSettings(path, flags, io);
  const branched = branches(given, flags);
  const sets = split(await readSets(settings.train, (t) => io.progress(t)), settings, io);
  const job: ExitsJob = { flags, io, path, settings, sets, given, branched };
  announce(job);
  const graph = await trained(job);
  if (graph === null) return;
  const judged = await judge(job, graph);
  const small = flags.int8 === true ? await judge(job, await inIntegers(job, graph)) : null;
  const { report, files } = await exitsReport(job, judged, small);
  const written = [...files].flatMap(([folder, own]) => writeFiles(join(flags.out, folder), own));
  const pages = writeFiles(
    flags.out,
    new Map([
      ["report.html", renderExitsReport(report)],
      ["report.json", `${JSON.stringify(report, null, 2)}\n`],
    ]),
  );
  io.object({ ...report, written: [...pages, ...written] });
  io.print(describe(report, io));
  for (const file of [...pages, ...written]) io.print(`wrote ${file}`);
  const best = join(flags.out, small === null ? "" : "int8", "model.js");
  io.print(`next: open ${pages[0]}, then ship ${best} with the stage files beside it`);
}

/** In 8 bits, by the ranges of training rows. */
const inIntegers = (job: ExitsJob, graph: Graph): Promise<Graph> =>
  integersOf(graph, rowsFor(job, graph, job.sets.train));
