/** @file From the settings of a training run to batches. */
import { openSource, type SourceOptions } from "../src/data/node.ts";
import type { BatchSource } from "../src/train/batches.ts";
import type { DataConfig } from "../src/train/config.ts";
import type { BatchOptions, EvaluationOptions } from "../src/train/data/maker.ts";
import { type ReadOptions, readSet } from "../src/train/data/read.ts";
import type { ExampleSet } from "../src/train/data/sets.ts";
import { evaluationBatches, viewBatches } from "../src/train/data/source.ts";
import { prefetchedBatches } from "../src/train/node/prefetch.ts";
import { UserError } from "../src/util/errors.ts";
import { hashBytes } from "../src/util/math.ts";
import type { TrainSettings } from "./train-config.ts";

export interface TrainSets {
  readonly train: ExampleSet;
  readonly evaluation: ExampleSet | null;
}

/** The entries that are set. */
function given<T extends object>(entries: T): { [K in keyof T]: Exclude<T[K], undefined> } {
  const set = Object.entries(entries).filter(([, v]) => v !== undefined);
  return Object.fromEntries(set) as { [K in keyof T]: Exclude<T[K], undefined> };
}

async function readPart(
  path: string,
  count: number | undefined,
  data: DataConfig,
  onProgress: (text: string) => void,
): Promise<ExampleSet> {
  const { column, labelColumn, size, channels, classes, shape, preprocess } = data;
  const source = await openSource(path, given({ column, labelColumn }) as SourceOptions);
  const rows =
    count === undefined
      ? undefined
      : Array.from({ length: Math.min(count, source.size) }, (_, i) => i);
  const options = given({ rows, size, channels, classes, shape, preprocess }) as ReadOptions;
  return readSet(source, {
    ...options,
    onProgress: (done, total) => onProgress(`reading ${done}/${total}`),
  });
}

/** Reads everything into memory. The classes of the evaluation are those of the training data. */
export async function readSets(
  { data }: TrainSettings,
  onProgress: (text: string) => void,
): Promise<TrainSets> {
  const train = await readPart(data.train, data.rows, data, onProgress);
  if (data.eval === undefined) return { train, evaluation: null };
  const known = train.classes > 0 ? { classes: train.classes } : {};
  const own = { ...data, ...known };
  const evaluation = await readPart(data.eval, data.evalRows, own, onProgress);
  return { train, evaluation };
}

/** Names the labels and the number of examples: what a resumed run must find again. */
export const setIdentity = (set: ExampleSet | null): string =>
  set === null
    ? "none"
    : `${set.count} examples, labels ${hashBytes(new Uint8Array(Int32Array.from(set.labels).buffer))}`;

/** The model's input: its only one. */
export interface InputPort {
  readonly name: string;
  readonly shape: readonly number[];
  /** Pictures go in channel by channel: [batch, channels, height, width]. */
  readonly planar: boolean;
}

/** The same batches with the channels of pictures first. */
function planarBatches(source: BatchSource, { name, shape }: InputPort): BatchSource {
  const [rows, channels, height, width] = shape as [number, number, number, number];
  const area = height * width;
  const to = new Float32Array(rows * channels * area);
  return {
    ...{ rows: source.rows, batchesPerEpoch: source.batchesPerEpoch },
    close: () => source.close(),
    batch: async (step) => {
      const { feeds, labels } = await source.batch(step);
      const from = feeds[name] as Float32Array;
      for (let at = 0, row = 0; row < rows; row++) {
        for (let c = 0; c < channels; c++) {
          const first = row * channels * area + c;
          for (let i = 0; i < area; i++) to[at++] = from[first + i * channels]!;
        }
      }
      return { feeds: { ...feeds, [name]: to }, labels };
    },
  };
}

function kindOptions(set: ExampleSet, data: DataConfig): object {
  const { augment = {}, mean, std, length } = data;
  const { shift, mirror, cutout, timeShift, gain, noise } = augment;
  const refuse = (keys: object, kind: string): void => {
    const wrong = Object.keys(given(keys))[0];
    if (wrong === undefined) return;
    throw new UserError("E_CONFIG", `data.${wrong}: does not apply to ${kind}`, {
      hint: "leave it out",
    });
  };
  const ofPictures = { "augment.shift": shift, "augment.mirror": mirror, "augment.cutout": cutout };
  const ofSounds = {
    length,
    "augment.timeShift": timeShift,
    "augment.gain": gain,
    "augment.noise": noise,
  };
  if ("pixels" in set) {
    refuse(ofSounds, "pictures");
    return given({ mean, std, shift, mirror, cutout });
  }
  refuse({ mean, std, ...ofPictures }, "samples" in set ? "sounds" : "arrays");
  if (!("samples" in set)) {
    refuse(ofSounds, "arrays");
    return {};
  }
  if (length === undefined) {
    throw new UserError("E_CONFIG", "data.length: missing", {
      hint: "sounds need the number of samples of every row",
    });
  }
  return given({ length, timeShift, gain, noise });
}

function trainingOptions(set: ExampleSet, settings: TrainSettings, input: InputPort): BatchOptions {
  const { data, seed, loss } = settings;
  const smoothing = "smoothing" in loss ? loss.smoothing : undefined;
  const { mixup, views } = data.augment ?? {};
  return {
    batch: data.batch,
    seed,
    input: input.name,
    ...kindOptions(set, data),
    ...given({ smoothing, mixup, views }),
  } as BatchOptions;
}

/** Shuffled, augmented batches, made ahead by worker threads; with what a teacher says to their views. */
export function trainBatches(
  set: ExampleSet,
  settings: TrainSettings,
  input: InputPort,
  teacher: Float32Array | null = null,
): BatchSource {
  const told = teacher === null ? {} : { teacher };
  const options = { ...trainingOptions(set, settings, input), ...told };
  const source = prefetchedBatches(set, options, { workers: settings.data.workers ?? 1 });
  return input.planar ? planarBatches(source, input) : source;
}

/** All views of all examples, as training sees them. */
export function allViews(set: ExampleSet, settings: TrainSettings, input: InputPort): BatchSource {
  const source = viewBatches(set, trainingOptions(set, settings, input));
  return input.planar ? planarBatches(source, input) : source;
}

/** All examples in order, as they are but normalised. */
export function evalBatches(
  set: ExampleSet,
  { data }: TrainSettings,
  input: InputPort,
): BatchSource {
  const { augment: _, ...plain } = data;
  const options = { batch: data.batch, input: input.name, ...kindOptions(set, plain) };
  const source = evaluationBatches(set, options as EvaluationOptions);
  return input.planar ? planarBatches(source, input) : source;
}
