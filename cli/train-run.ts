/** @file One run of `tersor train`, from its configuration to the written model. */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { Graph } from "../src/graph/graph.ts";
import { nativeEngine } from "../src/native/index.ts";
import { compile } from "../src/pipeline.ts";
import { type Json, modelIdentity, type RunIdentity } from "../src/train/checkpoint.ts";
import { wasmEngine } from "../src/train/engine.ts";
import { evaluator, type TrainingMetric } from "../src/train/evaluate.ts";
import {
  type FitOptions,
  type FitResult,
  fit,
  type LoopState,
  modelOfState,
} from "../src/train/loop.ts";
import { type FoundCheckpoint, saveCheckpoint } from "../src/train/node/checkpoints.ts";
import { parametersOf } from "../src/train/parameters.ts";
import { createTrainer, type Trainer } from "../src/train/trainer.ts";
import { UserError } from "../src/util/errors.ts";
import { VERSION } from "../src/version.ts";
import { EXIT } from "./errors.ts";
import { writeFiles } from "./files.ts";
import { count } from "./format.ts";
import type { Io } from "./io.ts";
import { machineInfo } from "./measure.ts";
import { openTarget } from "./target.ts";
import { loadTrainConfig, type TrainFlags, type TrainSettings } from "./train-config.ts";
import { evalBatches, readSets, setIdentity, type TrainSets, trainBatches } from "./train-data.ts";
import { checkSameRun, claim, findStart, type RunFolder, runFolder } from "./train-folder.ts";
import { openLog, parseLog, type TrainLog } from "./train-log.ts";
import { plotOf } from "./train-plot.ts";
import { integerModel, withQuantisers } from "./train-quantise.ts";
import { writeResults } from "./train-results.ts";
import { inputOf, modelOf, type Setup, setUp } from "./train-setup.ts";
import { teacherTells } from "./train-teacher.ts";
import { epochLine, evaluationLine, metricText, progressLine } from "./train-view.ts";

/** What a run that came to its end learned. */
export interface Trained {
  /** Float, with the rows of a batch; with `quantize`, its fake quantisers are in it. */
  readonly model: Graph;
  readonly metric: TrainingMetric;
  /** Of the model; null: there was nothing to evaluate on. */
  readonly value: number | null;
  readonly seconds: number;
}

/** Trains as a configuration file says, to the end or until a signal. */
export async function runTraining(path: string, flags: TrainFlags, io: Io): Promise<void> {
  await train(await loadTrainConfig(path, flags), flags, io);
}

/**
 * Trains to the end, or until a signal, going on from the folder's last checkpoint; writes the log, the plot, the
 * checkpoints and the results to `settings.out`. A run that was finished before gives its model again. null: it was
 * stopped. `known`: the data, where they have been read.
 */
export async function train(
  settings: TrainSettings,
  flags: Pick<TrainFlags, "resume" | "fresh">,
  io: Io,
  known?: TrainSets,
): Promise<Trained | null> {
  const release = claim(settings.out);
  const signals = listen();
  try {
    return await new Run(settings, io, signals.signal).go(flags, known);
  } finally {
    signals.stop();
    release();
  }
}

/** Ctrl-C ends the run after the present step; a second time, at once. */
function listen(): { readonly signal: AbortSignal; readonly stop: () => void } {
  const abort = new AbortController();
  const onSignal = (): void => {
    if (abort.signal.aborted) process.exit(EXIT.stopped);
    abort.abort();
  };
  process.on("SIGINT", onSignal);
  process.on("SIGTERM", onSignal);
  const stop = (): void => {
    process.off("SIGINT", onSignal);
    process.off("SIGTERM", onSignal);
  };
  return { signal: abort.signal, stop };
}

/** What decides the bits of the result. */
function identityOf(settings: TrainSettings, setup: Setup, sets: TrainSets): RunIdentity {
  const { data, loss, optimizer, schedule, epochs, seed, engine, evaluate, earlyStopping } =
    settings;
  const { quantize, sparsity, stays } = settings;
  const { train: _t, eval: _e, workers: _w, ...ofData } = data;
  const { model } = settings;
  const decides = {
    model: typeof model === "function" ? "a function" : { ...model, file: undefined },
    ...{ data: ofData, loss: { ...loss, teacher: setup.teacher } },
    ...{ optimizer, schedule, epochs, seed, engine, evaluate, earlyStopping, quantize },
    ...{ sparsity, stays },
    trainData: setIdentity(sets.train),
    evalData: setIdentity(sets.evaluation),
  };
  const plain = JSON.parse(JSON.stringify(decides)) as Json;
  return { settings: plain, ...modelIdentity(setup.model) };
}

const plotEveryMs = 4000;

class Run {
  private readonly settings: TrainSettings;
  private readonly io: Io;
  private readonly signal: AbortSignal;
  private readonly folder: RunFolder;
  private setup!: Setup;
  /** Of the model that is written. */
  private rows = 1;
  private identity!: RunIdentity;
  private log!: TrainLog;
  private evaluated: string | null = null;
  private plotted = 0;
  private readonly begun = performance.now();

  constructor(settings: TrainSettings, io: Io, signal: AbortSignal) {
    this.settings = settings;
    this.io = io;
    this.signal = signal;
    this.folder = runFolder(settings.out);
  }

  async go(
    flags: Pick<TrainFlags, "resume" | "fresh">,
    known?: TrainSets,
  ): Promise<Trained | null> {
    const { settings, io } = this;
    const start = findStart(this.folder, flags);
    for (const why of start?.skipped ?? []) io.note(`note: passed over a checkpoint: ${why}`);
    const sets = known ?? (await readSets(settings, (text) => io.progress(text)));
    const { graph: float, rows } = modelOf(settings, sets.train);
    this.rows = rows;
    const input = inputOf(float, sets.train, settings);
    const { quantize } = settings;
    const plain = evalBatches(sets.train, settings, input);
    const model = quantize ? await withQuantisers(float, plain, input, quantize) : float;
    const told = await teacherTells(settings, sets.train, io, this.signal);
    if (told === "stopped") return this.stoppedAt("before the first step");
    const train = trainBatches(sets.train, settings, input, told);
    try {
      const batches = { source: train, goesOn: start !== null };
      this.setup = await setUp(settings, model, input, batches);
      this.identity = identityOf(settings, this.setup, sets);
      if (start !== null) checkSameRun(start, this.identity);
      if (start?.checkpoint.finished === true) {
        return this.alreadyDone(start);
      }
      const evaluation =
        sets.evaluation === null ? null : evalBatches(sets.evaluation, settings, input);
      const engine = settings.engine === "native" ? await nativeEngine() : wasmEngine;
      const { threads } = settings;
      const trainer = await createTrainer(model, this.setup.step, this.setup.optimizer, {
        threads,
        engine,
      });
      try {
        this.begin(start, trainer, sets, train.batchesPerEpoch);
        const options = await this.options(trainer, train, evaluation, sets);
        const from = start === null ? {} : { from: start.checkpoint.loop };
        return await this.end(await this.fit({ ...options, ...from }), options);
      } finally {
        trainer.close();
      }
    } finally {
      await train.close();
    }
  }

  private stoppedAt(where: string): null {
    this.io.print(`stopped ${where}; run the same command again to go on`);
    process.exitCode = EXIT.stopped;
    return null;
  }

  /** Which model is written. */
  private get keep(): "best" | "last" {
    const { evaluate, earlyStopping } = this.settings;
    return evaluate?.keep ?? (earlyStopping ? "best" : "last");
  }

  /** The model of the run, which is not written again. */
  private alreadyDone({ checkpoint: { loop } }: FoundCheckpoint): Trained {
    const { best, last, step } = loop.progress;
    const { setup } = this;
    const value = best === null ? "" : `, best ${metricText(best.value, setup.metric)}`;
    this.io.object({ finished: true, step, best, out: this.folder.out });
    this.io.print(
      `this run is finished: step ${step}${value}; results are in ${this.folder.out}; --fresh starts anew`,
    );
    const useBest = this.keep === "best" && loop.best !== null;
    const model = modelOfState(setup.step, loop, useBest);
    const log = existsSync(this.folder.log) ? readFileSync(this.folder.log, "utf8") : "";
    const end = parseLog(log).findLast((r) => r.kind === "end");
    const seconds = Number(end?.["seconds"] ?? Number.NaN);
    const of = useBest ? best : last;
    return { model, metric: setup.metric, value: of?.value ?? null, seconds };
  }

  private begin(
    start: FoundCheckpoint | null,
    trainer: Trainer,
    { train, evaluation }: TrainSets,
    perEpoch: number,
  ): void {
    const { settings, setup, io } = this;
    const step = start?.checkpoint.loop.progress.step ?? null;
    this.log = openLog(this.folder.log, step);
    const { model } = setup;
    const learned = [...parametersOf(model).keys()];
    const parameters = learned.reduce((n, v) => n + model.constants.get(v)!.data.length, 0);
    if (this.log.records.length === 0) {
      this.log.append({
        ...{ kind: "settings", step: 0, tersor: VERSION, model: model.name, parameters },
        ...{ engine: trainer.engine, threads: trainer.threads, machine: machineInfo() },
        ...{ stepsPerEpoch: perEpoch, steps: setup.steps, settings: this.identity.settings },
      });
    }
    const rows = evaluation === null ? "" : `, ${count(evaluation.count)} to evaluate`;
    io.print(
      `${model.name}: ${count(parameters)} parameters, ${count(train.count)} examples${rows}; ${trainer.engine}, ${trainer.threads} thread${trainer.threads === 1 ? "" : "s"}`,
    );
    if (start !== null) {
      this.log.append({ kind: "resume", step: step! });
      io.print(`going on from step ${step} of ${setup.steps} (${start.path})`);
    }
    io.print(`watch ${join(settings.out, "plot.html")}`);
    this.plot("Starting.", true);
  }

  private async options(
    trainer: Trainer,
    train: FitOptions["train"],
    evaluation: FitOptions["train"] | null,
    sets: TrainSets,
  ): Promise<FitOptions> {
    const { setup, settings } = this;
    const { evaluate = {}, earlyStopping, checkpoint = {} } = settings;
    const perEpoch = train.batchesPerEpoch;
    const target = await openTarget(settings.engine);
    const how = evaluation !== null && {
      evaluation: {
        evaluator: evaluator(evaluation, {
          metric: setup.metric,
          ...(setup.target !== undefined && { target: setup.target }),
          count: sets.evaluation!.count,
          open: (graph) =>
            target.open(compile(graph, { caps: target.caps }).program, settings.threads),
        }),
        every: Math.max(1, Math.round((evaluate.every ?? 1) * perEpoch)),
        from: setup.settled,
        ...earlyStopping,
      },
    };
    return {
      ...{ trainer, train, step: setup.step, optimizer: setup.optimizer },
      ...{ steps: setup.steps, schedule: setup.schedule, signal: this.signal },
      ...how,
      ...(setup.between !== undefined && { between: setup.between }),
      checkpoint: {
        every: checkpoint.every ?? perEpoch,
        save: (state) => void this.save(state, false),
      },
      ...this.hooks(),
    };
  }

  private hooks(): Pick<FitOptions, "onStep" | "onEpoch" | "onEvaluation"> {
    const { io, setup, settings } = this;
    const every = settings.log?.every ?? Math.max(1, Math.round(setup.steps / 400));
    return {
      onStep: (r) => {
        if (r.step % every === 0) {
          const { step, epoch, loss, rate } = r;
          this.log.append({ kind: "step", step, epoch, loss, rate });
        }
        const line = progressLine(r, settings.epochs, this.evaluated);
        io.progress(line);
        if (performance.now() - this.plotted > plotEveryMs) this.plot(`Running: ${line}`, true);
      },
      onEpoch: (r) => {
        const { step, epoch, meanLoss, accuracy, rate, samplesPerSecond, seconds } = r;
        this.log.append({
          ...{ kind: "epoch", step, epoch, loss: meanLoss, accuracy, rate },
          ...{ samplesPerSecond: Math.round(samplesPerSecond), seconds },
        });
        io.print(epochLine(r, settings.epochs));
      },
      onEvaluation: (r) => {
        const { step, value, isBest, seconds } = r;
        const { metric } = setup;
        this.log.append({ kind: "evaluation", step, metric, value, isBest, seconds });
        this.evaluated =
          metric === "accuracy" ? `${value.toFixed(1)} %` : metricText(value, metric);
        io.print(evaluationLine(r, metric));
      },
    };
  }

  private save(loop: LoopState, finished: boolean): string {
    const keep = this.settings.checkpoint?.keep ?? 2;
    const checkpoint = { identity: this.identity, loop, finished };
    return saveCheckpoint(this.folder.checkpoints, checkpoint, { keep });
  }

  private async fit(options: FitOptions): Promise<FitResult> {
    try {
      return await fit(options);
    } catch (error) {
      if (error instanceof UserError && error.code === "E_DIVERGED") {
        const { message, hint } = error;
        const step = Number(/^step (\d+)/.exec(message)?.[1] ?? 0);
        this.log.append({ kind: "diverged", step, message, hint });
        this.plot(`Stopped: ${message}; ${hint}.`, false);
      }
      throw error;
    }
  }

  private async end(
    { state, model, best }: FitResult,
    options: FitOptions,
  ): Promise<Trained | null> {
    const { io, folder, setup, settings } = this;
    const { progress } = state;
    const { step, ended, last } = progress;
    if (ended === null) {
      this.plot(`Stopped at step ${step} of ${setup.steps}.`, false);
      return this.stoppedAt(`at step ${step} of ${setup.steps}; a checkpoint is saved`);
    }
    const { keep } = this;
    const useBest = keep === "best" && best !== null;
    const of = useBest ? progress.best : last;
    const chosen = useBest ? best : model;
    const integer = settings.quantize && integerModel(chosen, settings.quantize);
    const checked = integer && (await options.evaluation?.evaluator.run(integer));
    const files = writeResults(
      folder.out,
      { model: chosen, rows: this.rows },
      settings.quantize,
      io,
    );
    const seconds = (performance.now() - this.begun) / 1000;
    const value = of?.value ?? null;
    this.log.append({
      kind: "end",
      step,
      ended,
      written: keep,
      value,
      best: progress.best,
      seconds,
    });
    const score = of === null ? "" : `, ${setup.metric} ${metricText(of.value, setup.metric)}`;
    if (checked !== undefined) {
      io.print(`the integer model: ${setup.metric} ${metricText(checked, setup.metric)}`);
    }
    const early = ended === "early" ? " (early: evaluations got no better)" : "";
    this.plot(`Finished at step ${step}${early}${score}.`, false);
    this.save(state, true);
    io.object({
      ended,
      step,
      steps: setup.steps,
      metric: setup.metric,
      value,
      best: progress.best,
      seconds,
      files,
    });
    io.print(`finished at step ${step}${early}; the ${keep} model${score}`);
    for (const file of Object.values(files)) io.print(`wrote ${file}`);
    return { model: chosen, metric: setup.metric, value, seconds };
  }

  /** A plot that cannot be written is no reason to stop. */
  private plot(status: string, running: boolean): void {
    this.plotted = performance.now();
    const { name } = this.setup.model;
    const { metric, steps } = this.setup;
    const { records } = this.log;
    try {
      const page = plotOf({ name, metric, steps, records, status, running });
      writeFiles(this.folder.out, new Map([["plot.html", page]]));
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      this.io.note(`note: plot.html ${error.message}`);
    }
  }
}
