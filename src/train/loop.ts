/**
 * @file The training loop: steps, evaluation on the way, early stopping, the best model, and states from which a run
 * goes on to the same bits. It knows no files: what is to be kept is handed to `save`.
 */
import { type Graph, nameOf, type Value } from "../graph/graph.ts";
import type { ModelArray } from "../targets/wasm/model.ts";
import type { TypedArray } from "../tensor/dtype.ts";
import type { Tensor } from "../tensor/tensor.ts";
import { UserError } from "../util/errors.ts";
import type { Batch, BatchSource } from "./batches.ts";
import type { StateHook } from "./between.ts";
import { divergence, locate, notFinite } from "./diverged.ts";
import { type Evaluator, metricRises, rightRows } from "./evaluate.ts";
import type { Optimizer } from "./optimizers.ts";
import type { Schedule } from "./schedules.ts";
import type { TrainingStep } from "./step.ts";
import { type Trainer, trainedModel } from "./trainer.ts";

/** Sums over the epoch under way. */
export interface EpochSums {
  readonly loss: number;
  readonly batches: number;
  readonly right: number;
  readonly rows: number;
}

/** How far a run is. Plain data. */
export interface Progress {
  /** Steps done. */
  readonly step: number;
  readonly epoch: EpochSums;
  /** The loss of the very first step. */
  readonly firstLoss: number | null;
  /** The latest evaluation, and the best one. */
  readonly last: { readonly step: number; readonly value: number } | null;
  readonly best: { readonly step: number; readonly value: number } | null;
  /** Evaluations since the best one. */
  readonly stale: number;
  /** Why the run is over; null while it is not. */
  readonly ended: "steps" | "early" | null;
}

/** All that a run needs to go on. */
export interface LoopState {
  readonly progress: Progress;
  /** Parameters, averages and optimiser state, as `Trainer.state`. */
  readonly state: ReadonlyMap<string, TypedArray>;
  /** What the best model learned, by the number of its value in the model; null: not evaluated yet. */
  readonly best: ReadonlyMap<string, TypedArray> | null;
}

export interface StepReport {
  /** Steps done, of `steps`. */
  readonly step: number;
  readonly steps: number;
  /** Counted from 1. */
  readonly epoch: number;
  readonly loss: number;
  /** Means over the epoch so far; accuracy in per cent, null where rows have no classes. */
  readonly meanLoss: number;
  readonly accuracy: number | null;
  readonly rate: number;
  readonly samplesPerSecond: number;
  readonly secondsLeft: number;
}

export interface EvaluationReport {
  readonly step: number;
  readonly value: number;
  readonly isBest: boolean;
  readonly stale: number;
  readonly seconds: number;
}

export interface FitOptions {
  /** What the trainer was made of: the step and its optimiser. */
  readonly step: TrainingStep;
  readonly optimizer: Optimizer;
  readonly trainer: Trainer;
  readonly train: BatchSource;
  /** Steps of the whole run, those before a resumption included. */
  readonly steps: number;
  readonly schedule: Schedule;
  /** Evaluates every so many steps and at the end. */
  readonly evaluation?: {
    readonly evaluator: Evaluator;
    readonly every: number;
    /** Evaluations after fewer steps are of models that are not yet what they are to be: never the best. Default 0. */
    readonly from?: number;
    /** Ends the run after so many evaluations without a better one; default never. */
    readonly patience?: number;
    /** What counts as better; default anything. */
    readonly minDelta?: number;
  };
  /** Hands over a state every so many steps, and when `signal` aborts. */
  readonly checkpoint?: {
    readonly every: number;
    readonly save: (state: LoopState) => void | Promise<void>;
  };
  /** Goes on from here. */
  readonly from?: LoopState;
  /** Ends the run after the present step. */
  readonly signal?: AbortSignal;
  /** Changes the state between steps, before evaluations and checkpoints. */
  readonly between?: StateHook;
  readonly onStep?: (report: StepReport) => void;
  /** After the last step of an epoch. */
  readonly onEpoch?: (report: StepReport & { readonly seconds: number }) => void;
  readonly onEvaluation?: (report: EvaluationReport) => void;
}

export interface FitResult {
  /** With `ended` null: stopped by the signal. */
  readonly state: LoopState;
  /** The model as it is now: what evaluations see. */
  readonly model: Graph;
  /** The model of the best evaluation; null: none was made. */
  readonly best: Graph | null;
}

const NONE: EpochSums = { loss: 0, batches: 0, right: 0, rows: 0 };

/** Where every run starts. */
export const START: Progress = {
  step: 0,
  epoch: NONE,
  firstLoss: null,
  last: null,
  best: null,
  stale: 0,
  ended: null,
};

/** Steps after which a state is kept in memory, to look back from when a step fails. */
const ANCHOR_EVERY = 64;
/** A loss of so many times the first one (or 1) has run away. */
const RUNAWAY = 1e4;
/** Milliseconds after which timers and signals get their turn. */
const TURN = 50;

/** Trains to the end, until evaluations get no better, or until the signal. Throws UserError E_DIVERGED. */
export const fit = (options: FitOptions): Promise<FitResult> => new Fit(options).run();

/** The tensors of `model` that are not those of `source`, by the number of their value. */
export function learnedOf(source: Graph, model: Graph): ReadonlyMap<string, TypedArray> {
  const own = [...model.constants].filter(([v, t]) => source.constants.get(v) !== t);
  return new Map(own.map(([v, t]) => [String(v), t.data]));
}

/** `source` with tensors that were learned. */
export function withLearned(source: Graph, learned: ReadonlyMap<string, TypedArray>): Graph {
  const constants = new Map<Value, Tensor>(source.constants);
  for (const [key, data] of learned) {
    const v = Number(key) as Value;
    const before = constants.get(v);
    if (before?.data.length !== data.length) {
      throw new UserError("E_DATA", `the best model's tensor ${key} does not fit ${source.name}`, {
        hint: "the checkpoint belongs to another model",
      });
    }
    constants.set(v, { type: before.type, data });
  }
  return { ...source, constants };
}

/** The model of a state: the best one, or as it was in the end, by averaged weights where such are kept. */
export function modelOfState(step: TrainingStep, loop: LoopState, best: boolean): Graph {
  if (best && loop.best !== null) return withLearned(step.model, loop.best);
  return trainedModel(step.model, step, ({ name }) => loop.state.get(name)!, {
    averaged: keepsAverages(step),
  });
}

class Fit {
  private readonly o: FitOptions;
  private progress: Progress;
  private best: ReadonlyMap<string, TypedArray> | null;
  private anchor: { readonly step: number; readonly state: ReadonlyMap<string, TypedArray> };
  private readonly begun = performance.now();
  private readonly firstStep: number;
  /** Names of the step's inputs. */
  private readonly inputs: ReadonlySet<string>;
  private epochBegun = performance.now();
  private turned = performance.now();
  /** Milliseconds of a step, recent ones weighing more. */
  private pace = 0;

  constructor(options: FitOptions) {
    this.o = options;
    const { from, trainer } = options;
    this.progress = from?.progress ?? START;
    this.best = from?.best ?? null;
    if (from !== undefined) trainer.restore(from.state, from.progress.step);
    this.firstStep = this.progress.step;
    const { graph } = options.step;
    this.inputs = new Set(graph.inputs.map((v) => nameOf(graph, v)));
    this.anchor = { step: this.progress.step, state: trainer.state() };
  }

  async run(): Promise<FitResult> {
    const { steps, signal, from, trainer } = this.o;
    if (from === undefined && (await this.between(0, null))) {
      this.anchor = { step: 0, state: trainer.state() };
    }
    while (this.progress.ended === null && this.progress.step < steps) {
      if (signal?.aborted === true) {
        await this.save();
        return this.result();
      }
      await this.step();
      await this.afterStep();
      await this.turn();
    }
    if (this.progress.ended === null) this.progress = { ...this.progress, ended: "steps" };
    return this.result();
  }

  private get state(): LoopState {
    return { progress: this.progress, state: this.o.trainer.state(), best: this.best };
  }

  private result(): FitResult {
    const best = this.best === null ? null : withLearned(this.o.step.model, this.best);
    return { state: this.state, model: this.model(), best };
  }

  /** The present model, with weights averaged over the steps where such are kept. */
  private model(): Graph {
    return this.o.trainer.model({ averaged: keepsAverages(this.o.step) });
  }

  /** What the step takes of a batch: an auto-encoder's has no use for classes. */
  private feeds({ feeds }: Batch): Batch["feeds"] {
    return Object.fromEntries(Object.entries(feeds).filter(([name]) => this.inputs.has(name)));
  }

  private async step(): Promise<void> {
    const { trainer, train, schedule } = this.o;
    const { step, epoch, firstLoss } = this.progress;
    if (step - this.anchor.step >= ANCHOR_EVERY) this.anchor = { step, state: trainer.state() };
    const start = performance.now();
    const batch = await train.batch(step);
    const rate = schedule(step);
    const { loss, outputs } = trainer.step(this.feeds(batch), rate);
    const first = firstLoss ?? loss;
    if (!(Math.abs(loss) <= RUNAWAY * Math.max(1, Math.abs(first)))) await this.fail(step, loss);
    const output = Object.values(outputs)[0];
    await this.between(step + 1, batch);
    const counts = output !== undefined && hasClasses(output, batch, train.rows);
    this.progress = {
      ...this.progress,
      step: step + 1,
      firstLoss: first,
      epoch: {
        loss: epoch.loss + loss,
        batches: epoch.batches + 1,
        right: epoch.right + (counts ? rightRows(output, batch.labels, train.rows) : 0),
        rows: epoch.rows + (counts ? batch.labels.length : 0),
      },
    };
    const took = performance.now() - start;
    this.pace = this.pace === 0 ? took : 0.95 * this.pace + 0.05 * took;
    this.report(loss, rate);
  }

  /** Lets the hook change the state after so many steps; whether it did. */
  private async between(step: number, batch: Batch | null): Promise<boolean> {
    const { between, trainer } = this.o;
    const next = await between?.({ step, batch, state: () => trainer.state() });
    if (next === undefined || next === null) return false;
    trainer.restore(next, step);
    return true;
  }

  private report(loss: number, rate: number): void {
    const { steps, train, onStep, onEpoch } = this.o;
    const { step, epoch } = this.progress;
    const each = (performance.now() - this.begun) / (step - this.firstStep);
    const report: StepReport = {
      step,
      steps,
      epoch: Math.ceil(step / train.batchesPerEpoch),
      loss,
      meanLoss: epoch.loss / epoch.batches,
      accuracy: epoch.rows === 0 ? null : (100 * epoch.right) / epoch.rows,
      rate,
      samplesPerSecond: (1000 * train.rows) / this.pace,
      secondsLeft: ((steps - step) * each) / 1000,
    };
    onStep?.(report);
    if (step % train.batchesPerEpoch !== 0) return;
    const seconds = (performance.now() - this.epochBegun) / 1000;
    this.epochBegun = performance.now();
    this.progress = { ...this.progress, epoch: NONE };
    onEpoch?.({ ...report, seconds });
  }

  private async afterStep(): Promise<void> {
    const { evaluation, checkpoint, steps } = this.o;
    const { step } = this.progress;
    if (evaluation !== undefined && (step % evaluation.every === 0 || step === steps)) {
      await this.evaluate(evaluation);
    }
    if (checkpoint !== undefined && step % checkpoint.every === 0) await this.save();
  }

  private async evaluate(how: NonNullable<FitOptions["evaluation"]>): Promise<void> {
    await this.refuseNotFinite();
    const { evaluator, from = 0, patience = Number.POSITIVE_INFINITY, minDelta = 0 } = how;
    const start = performance.now();
    const model = this.model();
    const value = await evaluator.run(model);
    const { best, step, stale } = this.progress;
    const sign = metricRises(evaluator.metric) ? 1 : -1;
    const counts = step >= from;
    const isBest = counts && (best === null || sign * (value - best.value) > minDelta);
    if (isBest) this.best = learnedOf(this.o.step.model, model);
    this.progress = {
      ...this.progress,
      last: { step, value },
      best: isBest ? { step, value } : best,
      stale: isBest || !counts ? 0 : stale + 1,
    };
    if (this.progress.stale >= patience) this.progress = { ...this.progress, ended: "early" };
    const seconds = (performance.now() - start) / 1000;
    this.o.onEvaluation?.({ step, value, isBest, stale: this.progress.stale, seconds });
  }

  private async save(): Promise<void> {
    if (this.o.checkpoint === undefined) return;
    await this.refuseNotFinite();
    await this.o.checkpoint.save(this.state);
  }

  /** A step may give a finite loss and leave parameters that are not. */
  private async refuseNotFinite(): Promise<void> {
    const state = this.o.trainer.state() as ReadonlyMap<string, ArrayLike<number>>;
    const { step } = this.progress;
    if (notFinite(state) !== undefined) await this.fail(step - 1, null);
  }

  /**
   * Repeats the steps since the anchor up to the one that went wrong, at the latest `last`, and names its layer.
   * `loss`: that of `last`; null: it was finite.
   */
  private async fail(last: number, loss: number | null): Promise<never> {
    const { trainer, train, step: training, schedule, optimizer } = this.o;
    let before = this.anchor.state;
    trainer.restore(before, this.anchor.step);
    for (let step = this.anchor.step; ; step++) {
      const batch = await train.batch(step);
      const rate = schedule(step);
      const known = step === last ? loss : null;
      const now = known ?? trainer.step(this.feeds(batch), rate).loss;
      const after = trainer.state();
      const lost = notFinite(after as ReadonlyMap<string, ArrayLike<number>>) !== undefined;
      if (step < last && !lost) {
        before = (await this.between(step + 1, batch)) ? trainer.state() : after;
        continue;
      }
      const given = Object.entries({ ...optimizer.scalars, ...training.given });
      const own = given.map(([name, f]) => [name, f(step + 1)]);
      const scalars = { rate, ...(Object.fromEntries(own) as Record<string, number>) };
      const finding = await locate(training, before, batch.feeds, scalars);
      throw divergence(finding, { step: step + 1, loss: now, rate });
    }
  }

  /** Lets timers and signals run. */
  private async turn(): Promise<void> {
    if (performance.now() - this.turned < TURN) return;
    await new Promise<void>((done) => setTimeout(done, 0));
    this.turned = performance.now();
  }
}

/** Whether the step averages weights over the steps: then these are what a run evaluates and gives. */
const keepsAverages = (step: TrainingStep): boolean =>
  step.state.some((s) => s.averageOf !== undefined);

/** Whether a batch's rows have classes among the outputs. */
const hasClasses = (output: ModelArray, batch: Batch, rows: number): boolean =>
  batch.labels.length > 0 && output.length / rows > 1;
