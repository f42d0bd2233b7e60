/**
 * @file Makes the batch of a step into arrays given to it. What comes out depends on the seed and the step alone:
 * an epoch's order on the epoch, what happens to a row on the step and its place in the batch, or on its view.
 */
import { UserError } from "../../util/errors.ts";
import { product } from "../../util/math.ts";
import type { Rng } from "../../util/rng.ts";
import { beta, PURPOSES, rngFor } from "./draws.ts";
import { type PictureOptions, pictureWriter, type WriteRow } from "./pictures.ts";
import type { ExampleSet, PictureSet, SoundSet } from "./sets.ts";
import { type SoundOptions, soundWriter } from "./sounds.ts";

interface CommonOptions {
  /** Rows of a batch. */
  readonly batch: number;
  /** Name of the model's input; default "image", "sound" or "input", by the kind of the set. */
  readonly input?: string;
}

interface TrainingOptions {
  readonly seed: number;
  /** Share of a target that is spread over all classes; default 0. */
  readonly smoothing?: number;
  /**
   * mixup (arXiv:1710.09412): rows and targets of a batch are mixed with those of another row, by a share drawn
   * from Beta(mixup, mixup) for the batch; default 0: none.
   */
  readonly mixup?: number;
  /** Every example is altered in so many ways only, and shown in one of them an epoch, in turn; default 0: anew each time. */
  readonly views?: number;
  /** What a teacher says to each view of each example, [count, views, outputs]: becomes the feed "teacher". */
  readonly teacher?: Float32Array;
}

/** What belongs to the kind of a set. Arrays are taken as they are. */
export type KindOptions<S extends ExampleSet> = S extends PictureSet
  ? PictureOptions
  : S extends SoundSet
    ? SoundOptions
    : unknown;

export type BatchOptions<S extends ExampleSet = ExampleSet> = CommonOptions &
  TrainingOptions &
  KindOptions<S>;
export type EvaluationOptions<S extends ExampleSet = ExampleSet> = CommonOptions & KindOptions<S>;

/** Sizes of a batch's arrays, by name, and how to fill them. */
export interface BatchMaker {
  readonly rows: number;
  readonly batchesPerEpoch: number;
  readonly arrays: readonly { readonly name: string; readonly length: number }[];
  /** Fills arrays of those sizes, in that order; `labels` gets the class of each row. Returns how many rows count. */
  make(step: number, into: readonly Float32Array[], labels: Int32Array): number;
}

/** The names of targets and of a teacher's outputs among a step's inputs. */
const TARGET = "target";
export const TEACHER = "teacher";

interface Rows {
  readonly input: string;
  readonly size: number;
  readonly write: WriteRow;
}

function rowsOf(set: ExampleSet, options: object): Rows {
  if ("pixels" in set) {
    const write = pictureWriter(set, options as PictureOptions);
    return { input: "image", size: set.height * set.width * set.channels, write };
  }
  if ("samples" in set) {
    const sound = options as SoundOptions;
    whole("length", sound.length, 1);
    return { input: "sound", size: sound.length, write: finite(soundWriter(set, sound)) };
  }
  const size = product(set.shape);
  const write: WriteRow = (row, to) => to.set(set.values.subarray(row * size, (row + 1) * size));
  return { input: "input", size, write: finite(write) };
}

/** Values that are no numbers would only show as a loss that is none. */
function checkFinite(x: Float32Array, row: number): void {
  const sum = x.reduce((a, b) => a + b, 0);
  if (Number.isFinite(sum)) return;
  throw new UserError("E_DATA", "a value is not finite", {
    where: `example ${row}`,
    hint: "examples count from 0; leave this one out, or clean it",
  });
}

const finite =
  (write: WriteRow): WriteRow =>
  (row, to, rng) => {
    write(row, to, rng);
    checkFinite(to, row);
  };

function whole(name: string, value: number, least: number): void {
  if (Number.isInteger(value) && value >= least) return;
  throw new UserError("E_ARGUMENT", `${name}: expected an integer of at least ${least}`, {
    where: name,
    hint: `got ${value}`,
  });
}

function inRange(name: string, value: number, least: number, most: number): void {
  if (value >= least && value <= most) return;
  throw new UserError("E_ARGUMENT", `${name}: expected a number from ${least} to ${most}`, {
    where: name,
    hint: `got ${value}`,
  });
}

function check(set: ExampleSet, options: BatchOptions): void {
  const {
    batch,
    smoothing = 0,
    mixup = 0,
    views = 0,
    teacher,
    shift = 0,
    cutout = 0,
  } = options as BatchOptions & PictureOptions;
  const { timeShift = 0, gain = 0, noise = 0 } = options as Partial<SoundOptions>;
  whole("batch", batch, 1);
  whole("shift", shift, 0);
  whole("cutout", cutout, 0);
  whole("views", views, 0);
  if (teacher !== undefined && (views === 0 || mixup > 0)) {
    throw new UserError("E_ARGUMENT", "a teacher's outputs belong to views that are not mixed", {
      where: "teacher",
      hint: "give views, and no mixup",
    });
  }
  whole("timeShift", timeShift, 0);
  inRange("smoothing", smoothing, 0, 1);
  inRange("mixup", mixup, 0, 1e3);
  inRange("gain", gain, 0, 120);
  inRange("noise", noise, 0, 1e3);
  const bad = Array.from(set.labels).findIndex((c) => !(c >= 0 && c < set.classes));
  if (bad >= 0) {
    throw new UserError("E_DATA", `example ${bad} has class ${set.labels[bad]}`, {
      hint: `the set has ${set.classes} classes, counted from 0`,
    });
  }
}

/** Full batches of an epoch. Throws UserError E_DATA when there is none. */
function batchesIn({ count }: ExampleSet, batch: number): number {
  const batches = Math.floor(count / batch);
  if (batches > 0) return batches;
  throw new UserError("E_DATA", `${count} examples do not fill a batch of ${batch}`, {
    hint: "take a smaller batch",
  });
}

/** What happens to a row in one of its views. */
const viewRng = (seed: number, row: number, view: number): Rng =>
  rngFor(seed, PURPOSES.view, row, view);

/** Batches for training: shuffled anew each epoch, what is left over at its end dropped. */
export function batchMaker<S extends ExampleSet>(set: S, options: BatchOptions<S>): BatchMaker {
  check(set, options);
  const { batch, seed, smoothing = 0, mixup = 0, views = 0, teacher } = options as BatchOptions;
  const { input, size, write } = rowsOf(set, options);
  const batchesPerEpoch = batchesIn(set, batch);
  const told = teacher === undefined ? 0 : teacher.length / (set.count * views);
  const { classes } = set;
  const labelled = set.labels.length > 0;
  let epoch = -1;
  let order = new Int32Array(0);
  const make: BatchMaker["make"] = (step, arrays, labels) => {
    const [x, target] = labelled ? arrays : [arrays[0], undefined];
    const says = arrays[labelled ? 2 : 1];
    const now = Math.floor(step / batchesPerEpoch);
    if (now !== epoch) {
      order = rngFor(seed, PURPOSES.order, now).permutation(set.count) as Int32Array<ArrayBuffer>;
      epoch = now;
    }
    const first = (step % batchesPerEpoch) * batch;
    target?.fill(smoothing / classes);
    for (let i = 0; i < batch; i++) {
      const row = order[first + i]!;
      const view = views === 0 ? 0 : (now + row) % views;
      const rng = views === 0 ? rngFor(seed, PURPOSES.augment, step, i) : viewRng(seed, row, view);
      write(row, x!.subarray(i * size, (i + 1) * size), rng);
      const at = (row * views + view) * told;
      says?.set(teacher!.subarray(at, at + told), i * told);
      if (target === undefined) continue;
      const label = set.labels[row]!;
      labels[i] = label;
      target[i * classes + label] = 1 - smoothing + smoothing / classes;
    }
    if (mixup > 0) {
      const rng = rngFor(seed, PURPOSES.mix, step);
      const share = beta(rng, mixup, mixup);
      const partner = rng.permutation(batch);
      mixRows(x!, partner, share);
      if (target !== undefined) mixRows(target, partner, share);
    }
    return labelled ? batch : 0;
  };
  const arrays = [{ name: (options as CommonOptions).input ?? input, length: batch * size }];
  if (labelled) arrays.push({ name: TARGET, length: batch * classes });
  if (told > 0) arrays.push({ name: TEACHER, length: batch * told });
  return { rows: batch, batchesPerEpoch, arrays, make };
}

/** Row i becomes share * row i + (1 - share) * row partner[i]. */
function mixRows(x: Float32Array, partner: Int32Array, share: number): void {
  const before = x.slice();
  const size = x.length / partner.length;
  partner.forEach((p, i) => {
    const [to, from] = [i * size, p * size];
    for (let j = 0; j < size; j++) {
      x[to + j] = share * before[to + j]! + (1 - share) * before[from + j]!;
    }
  });
}

/**
 * Batches for evaluation: all examples in order and unchanged but for normalisation and length, without targets.
 * The last batch is filled up with the first rows, which do not count.
 */
export function evaluationMaker<S extends ExampleSet>(
  set: S,
  options: EvaluationOptions<S>,
): BatchMaker {
  return inOrder(set, { seed: 0, ...options } as BatchOptions, 0);
}

/**
 * All views of all examples in order, those of an example together, as `batchMaker` makes them; without targets. The
 * last batch is filled up with the first rows, which do not count.
 */
export const viewMaker = <S extends ExampleSet>(set: S, options: BatchOptions<S>): BatchMaker =>
  inOrder(set, options, (options as BatchOptions).views ?? 0);

function inOrder(set: ExampleSet, options: BatchOptions, views: number): BatchMaker {
  check(set, options);
  const { batch, input: name, seed } = options;
  const { input, size, write } = rowsOf(set, options);
  if (set.count === 0) throw new UserError("E_DATA", "there are no examples to evaluate with");
  const each = Math.max(1, views);
  const rows = set.count * each;
  const batchesPerEpoch = Math.ceil(rows / batch);
  return {
    rows: batch,
    batchesPerEpoch,
    arrays: [{ name: name ?? input, length: batch * size }],
    make: (step, [x], labels) => {
      const first = (step % batchesPerEpoch) * batch;
      for (let i = 0; i < batch; i++) {
        const at = (first + i) % rows;
        const row = Math.floor(at / each);
        const rng = views === 0 ? null : viewRng(seed, row, at % each);
        write(row, x!.subarray(i * size, (i + 1) * size), rng);
        labels[i] = set.labels[row] ?? 0;
      }
      return set.labels.length > 0 ? Math.min(batch, rows - first) : 0;
    },
  };
}
