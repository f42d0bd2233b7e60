/** @file `tersor prune` with data: from the original to the pruned models, trained, and those they are compared with. */
import { join } from "node:path";
import {
  type ChooseOptions,
  importanceOf,
  narrowEvenly,
  type PruneTarget,
  prunableGroups,
  prunePlanned,
  removeChannels,
  shufflesToGather,
} from "../src/compress/prune/index.ts";
import { unpackWeights } from "../src/compress/quantize/index.ts";
import type { Graph } from "../src/graph/graph.ts";
import { type CompileModelOptions, trainableGraph } from "../src/pipeline.ts";
import { WASM } from "../src/primitives/capabilities.ts";
import { type PruneAmount, targetOf } from "../src/prune.ts";
import { freshWeights } from "../src/train/student/fresh-weights.ts";
import { rowsOf, withBatch } from "../src/train/with-batch.ts";
import { UserError } from "../src/util/errors.ts";
import { type Io, makeIo } from "./io.ts";
import { openForCommand } from "./options.ts";
import { checkFlags } from "./prune-checks.ts";
import { openPruneData, type PruneData } from "./prune-data.ts";
import {
  type AnyMethod,
  amountOf,
  anyMethodOf,
  costOf,
  type PruneFlags,
  perCostOf,
} from "./prune-options.ts";
import { type Made, writePruneReport } from "./prune-report.ts";
import { chosenBy, type JudgedGroups, sensitivityOf } from "./prune-sensitivity.ts";
import { type PruneSettings, pruneSettings, type Training } from "./prune-settings.ts";
import { cutWeights, lastSparsity, zerosOf } from "./prune-weights.ts";
import { selectionOptions } from "./selection-options.ts";
import { train } from "./train-run.ts";

/** All that the stages of a command share. */
export interface Job {
  readonly path: string;
  readonly flags: PruneFlags;
  readonly io: Io;
  readonly method: AnyMethod;
  readonly settings: PruneSettings;
  readonly data: PruneData;
  readonly predict: CompileModelOptions;
  /** As in the file, weights f32, batch normalisations as they are; the rows of the file. */
  readonly original: Graph;
  readonly amount: PruneAmount | undefined;
}

/** What pruning gave, before the last training. */
export interface Cut {
  readonly graph: Graph;
  readonly rounds: readonly Round[];
  readonly sensitivity: JudgedGroups | null;
}

export interface Round {
  readonly round: number;
  readonly removed: number;
  readonly graph: Graph;
  /** Of the metric. */
  readonly pruned: number;
  readonly tuned: number | null;
}

/** Prunes, trains, compares, and writes. Returns early, with the exit code set, when it is stopped by a signal. */
export async function pruneWithData(
  path: string,
  flags: PruneFlags,
  io: Io = makeIo(flags),
): Promise<void> {
  const job = await openJob(path, flags, io);
  const { data, original } = job;
  const base: Made = {
    ...{ name: "original", about: "the model as given", graph: original },
    ...{ value: await data.evaluate(original), run: null },
  };
  io.print(`original: ${data.metric} ${valueText(job, base.value)}`);
  const { method } = job;
  const cut =
    method.kind === "channels"
      ? await cutChannels(job)
      : await cutWeights(job, method, (name, training) => trainIn(job, name, training));
  if (cut === null) return;
  const made: Made[] = [base, ...(await untrained(job, cut))];
  const trained = await trainAll(job, cut);
  if (trained === null) return;
  made.push(...trained.filter((m) => m.name === "fine-tuned"));
  const result = made.at(-1)!;
  made.push(...trained.filter((m) => m.name !== "fine-tuned"));
  if (flags.int8 === true) {
    io.progress("quantising");
    const graph = await data.quantised(result.graph);
    const about = `the ${result.name} model in 8 bits, calibrated on training data`;
    made.push({ name: "int8", about, graph, value: await data.evaluate(graph), run: null });
  }
  await writePruneReport(job, made, result, cut);
}

/** The models before the last training; none where pruning is part of it. */
async function untrained({ data }: Job, { graph, rounds }: Cut): Promise<Made[]> {
  const pruned = rounds.at(-1);
  if (pruned === undefined) return [];
  const about = "as pruned, before the last training";
  const made: Made[] = [{ name: "pruned", about, graph, value: pruned.pruned, run: null }];
  const averaged = await data.reestimated(graph);
  if (averaged === null) return made;
  const value = await data.evaluate(averaged);
  const how = "batch normalisations averaged anew on training data, no training";
  return [...made, { name: "re-estimated", about: how, graph: averaged, value, run: null }];
}

export const valueText = ({ data }: Pick<Job, "data">, value: number): string =>
  data.metric === "accuracy" ? `${value.toFixed(2)} %` : Number(value.toPrecision(4)).toString();

async function openJob(path: string, flags: PruneFlags, io: Io): Promise<Job> {
  const method = anyMethodOf(flags.method);
  const settings = await pruneSettings(flags);
  checkFlags(flags, method, settings.trains);
  const { graph } = openForCommand(path, flags, io);
  const { profile } = flags;
  const predict = selectionOptions(profile === undefined ? {} : { profile }, WASM, io);
  const original = shufflesToGather(unpackWeights(trainableGraph(graph)));
  const amount = amountOf(flags, original, predict);
  checkAmount(method, amount);
  const data = await openPruneData(original, settings.base, settings.trains, io);
  return { path, flags, io, method, settings, data, predict, original, amount };
}

function checkAmount(method: AnyMethod, amount: PruneAmount | undefined): void {
  if (method.kind === "channels" && amount === undefined) {
    throw new UserError("E_ARGUMENT", "how much is to go is missing", {
      where: "--target",
      hint: "give --ratio, or --target macs=50%, bytes=100KB or latency=2ms",
    });
  }
  if (method.kind === "nm" && amount !== undefined) {
    throw new UserError("E_ARGUMENT", "n:m says itself how much goes", {
      where: "--method",
      hint: "leave out --ratio and --target",
    });
  }
  const single = method.kind !== "channels" && method.kind !== "nm";
  if (single && (amount === undefined || !("ratio" in amount))) {
    throw new UserError("E_ARGUMENT", "single weights are pruned to a share", {
      where: "--ratio",
      hint: "give --ratio; MACs, bytes and latency are targets of channel pruning",
    });
  }
}

/** The target of channels: costs are those of the clean graph. */
function channelTarget({ amount, predict }: Job): PruneTarget {
  const target = targetOf(amount!, predict);
  if ("share" in target) return target;
  const name = "macs" in amount! ? "macs" : "bytes" in amount! ? "bytes" : "latency";
  return { ...target, cost: costOf(name, predict) };
}

const choiceOf = ({ flags, predict }: Job): ChooseOptions => {
  const { roundTo, maxShare } = flags;
  const perCost = perCostOf(flags, predict);
  return {
    ...(roundTo !== undefined && { roundTo }),
    ...(maxShare !== undefined && { maxShare }),
    ...(perCost !== undefined && { perCost }),
  };
};

/** Trains in a folder of the command's; the graph has the rows of the file again. null: stopped. */
async function trainIn(job: Job, name: string, training: Omit<Training, "out">) {
  const { io, settings, flags } = job;
  const out = join(settings.base.out, name);
  io.print(`${name}: training for ${training.epochs} epochs`);
  const quiet: Io = { ...io, object: () => {} };
  const fresh = flags.fresh === true ? { fresh: true } : {};
  const got = await train(settings.of({ ...training, out }), fresh, quiet);
  if (got === null) return null;
  const graph = withBatch(got.model, rowsOf(job.original));
  return { graph, seconds: got.seconds, epochs: training.epochs };
}

async function cutChannels(job: Job): Promise<Cut | null> {
  const { method, flags, settings, data, original } = job;
  if (method.kind !== "channels") return null;
  const { criterion } = method;
  const target = channelTarget(job);
  const values: { pruned: number; tuned: number | null }[] = [];
  const judged: JudgedGroups[] = [];
  const auto = flags.ratios === "auto";
  const rounds = await prunePlanned(
    original,
    {
      ...{ criterion, target, rounds: flags.rounds ?? 1, seed: settings.base.seed },
      ...choiceOf(job),
    },
    {
      importance: (graph, by) => data.importance(graph, by),
      ...((auto || flags.sensitivity === true) && {
        choose: async (subject, aim, options, round) => {
          if (auto || round === 1) judged.push(await sensitivityOf(job, subject, round));
          return chosenBy(auto ? judged.at(-1)! : null, subject, aim, options);
        },
      }),
      tune: async (graph, round) => {
        const pruned = await data.evaluate(graph);
        const got = await trainIn(job, `round-${round}`, { graph, epochs: settings.between });
        if (got === null) return null;
        values.push({ pruned, tuned: await data.evaluate(got.graph) });
        return got.graph;
      },
    },
  );
  if (rounds === null) return null;
  const { graph } = rounds.at(-1)!;
  values.push({ pruned: await data.evaluate(graph), tuned: null });
  return {
    graph,
    rounds: rounds.map(({ round, removed, graph: g }, i) => ({
      ...{ round, removed, graph: g },
      ...values[i]!,
    })),
    sensitivity: judged[0] ?? null,
  };
}

/** Every training behind the last round. null: stopped. */
async function trainAll(job: Job, cut: Cut): Promise<Made[] | null> {
  const { settings, flags, method, original } = job;
  if (!settings.trains) return [];
  const made: Made[] = [];
  const add = async (
    [name, folder, about]: readonly [string, string, string],
    training: Omit<Training, "out">,
  ): Promise<boolean> => {
    const got = await trainIn(job, folder, training);
    if (got === null) return false;
    const { graph, ...run } = got;
    made.push({ name, about, graph, value: await job.data.evaluate(graph), run });
    return true;
  };
  const { epochs } = settings;
  const sparse = method.kind === "channels" ? null : lastSparsity(job, method);
  const tune = {
    ...{ graph: sparse?.whole ? original : cut.graph, epochs },
    ...(sparse !== null && { sparsity: sparse.tuning }),
  };
  const how = sparse?.whole
    ? "weights went while the original was trained"
    : "the pruned model, trained";
  if (!(await add(["fine-tuned", "finetune", how], tune))) return null;
  const { seed } = settings.base;
  const fresh = (graph: Graph): Graph => {
    const drawn = freshWeights(graph, seed);
    return sparse === null ? drawn : zerosOf(drawn, graph);
  };
  const anew = { ...settings.scratch, ...(sparse !== null && { sparsity: sparse.held }) };
  if (flags.scratch !== undefined) {
    const about = "the pruned architecture with fresh weights, trained";
    const graph = fresh(sparse?.found ? made[0]!.graph : cut.graph);
    if (!(await add(["scratch", "scratch", about], { graph, ...anew }))) return null;
  }
  if (flags.thinner !== true) return made;
  const thin = await thinner(job, cut);
  const about = `every group ${(100 * thin.ratio).toFixed(1)} % narrower, trained`;
  if (!(await add(["thinner", "thinner", about], { graph: thin.graph, epochs }))) return null;
  if (flags.scratch === undefined) return made;
  const graph = fresh(thin.graph);
  const words = ["thinner scratch", "thinner-scratch", "the thinner net, fresh weights"] as const;
  return (await add(words, { graph, ...anew })) ? made : null;
}

/** All groups narrowed alike, to the cost of the pruned model. */
async function thinner(job: Job, cut: Cut) {
  const { method, settings, original, amount, predict, data } = job;
  const criterion = method.kind === "channels" ? method.criterion : "l1";
  const groups = prunableGroups(original);
  const importance = await importanceOf(original, groups, criterion, {
    seed: settings.base.seed,
    importance: (g, by) => data.importance(g, by),
  });
  const name = amount !== undefined && "bytes" in amount ? "bytes" : "macs";
  const cost = costOf(amount !== undefined && "latencyMs" in amount ? "latency" : name, predict);
  const what = "the cost of the pruned model";
  const target = { cost, limit: cost(cut.graph), what };
  const { roundTo } = choiceOf(job);
  const options = roundTo === undefined ? {} : { roundTo };
  const { ratio, kept } = narrowEvenly({ graph: original, groups, importance }, target, options);
  return { ratio, graph: removeChannels(original, kept) };
}
