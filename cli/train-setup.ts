/** @file From the settings of a training run to its model, step, optimiser and schedule. */
import { Calc } from "../src/autodiff/calc.ts";
import { type Graph, nameOf, typeOf } from "../src/graph/graph.ts";
import { openModel, readBytes } from "../src/node.ts";
import { trainableGraph } from "../src/pipeline.ts";
import { sameShape } from "../src/tensor/tensor.ts";
import type { BatchSource } from "../src/train/batches.ts";
import type { StateHook } from "../src/train/between.ts";
import type { LossConfig } from "../src/train/config.ts";
import { TEACHER } from "../src/train/data/maker.ts";
import type { ExampleSet } from "../src/train/data/sets.ts";
import { distil } from "../src/train/distil.ts";
import type { TrainingMetric } from "../src/train/evaluate.ts";
import { exitLoss } from "../src/train/exits/loss.ts";
import { crossEntropy, meanSquaredError } from "../src/train/losses.ts";
import { logitsOf } from "../src/train/network.ts";
import { adam, type Optimizer, sgd } from "../src/train/optimizers.ts";
import { parametersOf } from "../src/train/parameters.ts";
import {
  constantRate,
  cosineRate,
  oneCycle,
  type Schedule,
  stepRate,
  warmUp,
} from "../src/train/schedules.ts";
import { type LossInput, type TrainingStep, trainingStep } from "../src/train/step.ts";
import { rowsOf, withBatch } from "../src/train/with-batch.ts";
import { UserError } from "../src/util/errors.ts";
import { hashBytes, product } from "../src/util/math.ts";
import type { TrainSettings } from "./train-config.ts";
import type { InputPort } from "./train-data.ts";
import { BUILDERS } from "./train-models.ts";
import type { FirstBatches } from "./train-snip.ts";
import { sparseTraining } from "./train-sparsity.ts";

/** Whether a name fits one of the patterns, in which * stands for anything. */
export function fitsPattern(pattern: string, name: string): boolean {
  const parts = pattern.split("*").map((p) => p.replace(/[.+?^${}()|[\]\\]/g, "\\$&"));
  return new RegExp(`^${parts.join(".*")}$`).test(name);
}

/** A model before training. */
interface StartModel {
  /** With the rows of a batch. */
  readonly graph: Graph;
  /** Rows of the model that is written: those of its file, or one. */
  readonly rows: number;
}

export function modelOf(settings: TrainSettings, set: ExampleSet): StartModel {
  const { model, data, seed } = settings;
  const { batch } = data;
  const { classes } = set;
  if (typeof model === "function") {
    return { graph: checkedModel(model({ batch, classes, seed })), rows: 1 };
  }
  if ("file" in model) {
    const { graph } = openModel(model.file, model.shapes ? { shapes: model.shapes } : {});
    return { graph: withBatch(trainableGraph(graph), batch), rows: rowsOf(graph) };
  }
  const { build, ...sizes } = model;
  const options = { ...sizes, batch, classes: model.classes ?? classes, seed };
  return { graph: BUILDERS[build]!.build(options), rows: 1 };
}

function checkedModel(graph: Graph): Graph {
  if (Array.isArray(graph?.nodes) && graph.values instanceof Map) return graph;
  throw new UserError("E_CONFIG", "model: the function gave no graph", {
    hint: "return the Graph that Net.build or openModel gives",
  });
}

/** The model's only input. Throws UserError when it has others, or does not fit the data. */
export function inputOf(model: Graph, set: ExampleSet, settings: TrainSettings): InputPort {
  const [first, ...others] = model.inputs;
  if (first === undefined || others.length > 0) {
    throw new UserError(
      "E_MODEL",
      `training feeds one input, ${model.name} has ${model.inputs.length}`,
    );
  }
  const { shape } = typeOf(model, first);
  const one = exampleShape(set, settings);
  const rows = settings.data.batch;
  const name = nameOf(model, first);
  const [h, w, c] = one;
  const planar = "pixels" in set && sameShape(shape, [rows, c!, h!, w!]);
  const fits = planar || shape.length !== 4 || sameShape(shape.slice(1), one) || one.length < 3;
  if (!fits || shape[0] !== rows || product(shape.slice(1)) !== product(one)) {
    throw new UserError(
      "E_SHAPE",
      `the data gives batches [${[rows, ...one]}], the model takes [${shape}]`,
      {
        where: name,
        hint: "see data.size, data.channels, data.shape and data.length",
      },
    );
  }
  return { name, shape, planar: planar && !sameShape(shape.slice(1), one) };
}

function exampleShape(set: ExampleSet, { data }: TrainSettings): readonly number[] {
  if ("pixels" in set) return [set.height, set.width, set.channels];
  return "samples" in set ? [data.length ?? 0] : set.shape;
}

/** What is minimised, how, and how fast. */
export interface Setup {
  readonly model: Graph;
  readonly step: TrainingStep;
  readonly optimizer: Optimizer;
  readonly schedule: Schedule;
  readonly steps: number;
  readonly metric: TrainingMetric;
  /** The feed that "mse" compares with; undefined: classes. */
  readonly target: string | undefined;
  /** Names the bytes of the teacher. */
  readonly teacher: string;
  /** What happens to the state between steps. */
  readonly between?: StateHook;
  /** Steps after which the model is as sparse as it is to be. */
  readonly settled: number;
}

type Asked = Pick<LossInput, "g" | "outputs" | "input"> & {
  readonly student: Pick<LossInput["student"], "graph" | "at">;
};
type LossOf<In> = (given: In) => ReturnType<typeof crossEntropy>;

function stepLossOf(settings: TrainSettings, input: InputPort): LossOf<LossInput> {
  const { loss, seed } = settings;
  if (loss.kind !== "distillation") return lossOf({ loss }, input);
  return distil({ ...loss, seed, ...(teacherToldAhead(settings) && { outputs: TEACHER }) });
}

/** Whether the teacher runs before training rather than in every step: views repeat, and only its outputs count. */
export function teacherToldAhead({ loss, data }: TrainSettings): boolean {
  const { views = 0, mixup = 0 } = data.augment ?? {};
  return loss.kind === "distillation" && views > 0 && mixup === 0 && !loss.beta && !loss.hint;
}

/** The loss of a model by itself. */
export function lossOf(
  { loss }: { readonly loss: Exclude<TrainSettings["loss"], { readonly kind: "distillation" }> },
  input: InputPort,
): LossOf<Asked> {
  switch (loss.kind) {
    case "exits":
      return exitLoss(loss);
    case "mse":
      return ({ g, outputs, student, input: ask }) => {
        const y = Object.values(outputs)[0]!;
        const { shape } = g.typeOf(y);
        if (loss.target !== "input") return meanSquaredError(g, y, ask("target", shape));
        const x = student.at(student.graph.inputs[0]!);
        return meanSquaredError(g, y, new Calc(g).reshape(x, sameCount(input, shape)));
      };
    case "cross-entropy":
      return ({ g, student, input: ask }) => {
        const logits = logitsOf(student);
        return crossEntropy(g, logits, ask("target", g.typeOf(logits).shape));
      };
  }
}

function sameCount(input: InputPort, output: readonly number[]): readonly number[] {
  if (product(input.shape) === product(output)) return output;
  throw new UserError(
    "E_SHAPE",
    `the output [${output}] cannot be compared with the input [${input.shape}]`,
    {
      hint: 'loss.target "input" is for networks that give back what they get',
    },
  );
}

function optimizerOf({ optimizer: o }: TrainSettings): Optimizer {
  const { momentum = 0.9 } = o;
  const set = Object.entries(o).filter(([k]) => ["beta1", "beta2", "epsilon"].includes(k));
  switch (o.kind) {
    case "sgd":
      return sgd({ momentum: 0 });
    case "momentum":
      return sgd({ momentum });
    case "nesterov":
      return sgd({ momentum, nesterov: true });
    default:
      return adam({ ...Object.fromEntries(set), decoupled: o.kind === "adamw" });
  }
}

/** Times of the configuration are epochs. */
export function scheduleOf(
  { schedule: s }: TrainSettings,
  perEpoch: number,
  steps: number,
): Schedule {
  const warm = Math.round((s.warmUp ?? 0) * perEpoch);
  const rest = Math.max(1, steps - warm);
  const main = (): Schedule => {
    switch (s.kind) {
      case "constant":
        return constantRate(s.rate);
      case "cosine":
        return cosineRate(s.rate, rest, s.last ?? 0);
      case "one-cycle":
        return oneCycle(s.rate, rest, s.rising ?? 0.3);
      case "step": {
        const at = (s.milestones ?? []).map((m) => Math.round(m * perEpoch) - warm);
        return stepRate(s.rate, at, s.factor ?? 0.1);
      }
    }
  };
  return warm === 0 ? main() : warmUp(warm, main());
}

function decayOf({ optimizer: { decay = 0 } }: TrainSettings): number | ((name: string) => number) {
  if (typeof decay === "number") return decay;
  return (name) => Object.entries(decay).find(([p]) => fitsPattern(p, name))?.[1] ?? 0;
}

/** What of the model does not learn. */
const staysOf = ({ model, stays = {} }: TrainSettings): NonNullable<TrainSettings["stays"]> =>
  typeof model === "object" && "file" in model ? model : stays;

/** Which parameters learn; a pattern that fits none is a mistake. */
function trainsOf(settings: TrainSettings, model: Graph): ((name: string) => boolean) | null {
  const { freeze } = staysOf(settings);
  if (freeze === undefined) return null;
  const names = [...parametersOf(model).values()];
  freeze.forEach((pattern, i) => {
    if (names.some((n) => fitsPattern(pattern, n))) return;
    throw new UserError("E_CONFIG", `model.freeze[${i}]: no parameter fits '${pattern}'`, {
      hint: `there are ${names.slice(0, 12).join(", ")}${names.length > 12 ? ", ..." : ""}`,
    });
  });
  return (name) => !freeze.some((p) => fitsPattern(p, name));
}

export const teacherOf = ({
  teacher,
  shapes,
}: Extract<LossConfig, { kind: "distillation" }>): Graph =>
  openModel(teacher, shapes ? { shapes } : {}).graph;

/** Where the training's batches come from; `goesOn`: from a checkpoint. */
interface Batches {
  readonly source: BatchSource;
  readonly goesOn: boolean;
}

/** The first batches, for masks made of them; a teacher has no say in these. */
function firstBatches(
  { loss, model }: TrainSettings,
  input: InputPort,
  { source, goesOn }: Batches,
): FirstBatches | null {
  if (goesOn) return null;
  const own = loss.kind === "distillation" ? ({ kind: "cross-entropy" } as const) : loss;
  const frozen = typeof model === "object" && "file" in model && model.batchNorm === "frozen";
  return { source, input, loss: lossOf({ loss: own }, input), byBatch: !frozen };
}

/** The step of a model. */
export async function setUp(
  settings: TrainSettings,
  model: Graph,
  input: InputPort,
  batches: Batches,
): Promise<Setup> {
  const { loss, optimizer: o, epochs, evaluate = {} } = settings;
  const perEpoch = batches.source.batchesPerEpoch;
  const optimizer = optimizerOf(settings);
  const steps = Math.max(1, Math.round(epochs * perEpoch));
  const follow = settings.quantize?.observe ?? Math.min(1, epochs / 2);
  const observe = { steps: Math.round(follow * perEpoch) };
  const trains = trainsOf(settings, model);
  const first = firstBatches(settings, input, batches);
  const sparse = await sparseTraining(settings, model, trains, { perEpoch, steps }, first);
  const { batchNorm } = staysOf(settings);
  const step = trainingStep(model, {
    optimizer,
    loss: stepLossOf(settings, input),
    decay: decayOf(settings),
    ...(settings.quantize !== undefined && { observe }),
    ...(trains !== null && { trains }),
    ...sparse?.step,
    ...(batchNorm !== undefined && { batchNorm }),
    ...(o.clipNorm !== undefined && { clipNorm: o.clipNorm }),
    ...(o.clipValue !== undefined && { clipValue: o.clipValue }),
    ...(o.average !== undefined && { average: o.average }),
    ...(loss.kind === "distillation" &&
      !teacherToldAhead(settings) && { teacher: teacherOf(loss) }),
  });
  const byInput = loss.kind === "mse" && loss.target === "input";
  return {
    model,
    step,
    optimizer,
    steps,
    schedule: scheduleOf(settings, perEpoch, steps),
    ...(sparse?.between && { between: sparse.between(step) }),
    settled: sparse?.settled ?? 0,
    metric: evaluate.metric ?? (byInput ? "mse" : "accuracy"),
    target: byInput ? input.name : undefined,
    teacher: loss.kind === "distillation" ? hashBytes(readBytes(loss.teacher)) : "none",
  };
}
