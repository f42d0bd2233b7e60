/**
 * @file Masks by magnitude. Sources: Han et al., arXiv:1506.02626; gradual schedule, Zhu & Gupta, arXiv:1710.01878;
 * LAMP, Lee et al., arXiv:2010.07611; N:M, Zhou et al., arXiv:2102.04010.
 */
import { strides } from "../../tensor/shape.ts";
import { UserError } from "../../util/errors.ts";
import type { LayerWeights, Masks } from "./weights.ts";

/**
 * Among which weights the smallest are sought: all together, each layer by itself, or all by LAMP's score, the share
 * of a weight's square in those of its layer that are no smaller.
 */
export const SCOPES = ["global", "layer", "lamp"] as const;
export type Scope = (typeof SCOPES)[number];

/** What goes or stays together: single weights, or those of four neighbouring outputs for one input (1x4 blocks). */
export type Grain = "single" | "block";

export interface MagnitudeOptions {
  /** Share of weights that go, 0 to 1. */
  readonly sparsity: number;
  readonly scope: Scope;
  /** Default "single". */
  readonly grain?: Grain;
}

const BLOCK = 4;

/** Weights of one layer that go or stay together, with their score: larger stays longer. */
interface Cells {
  readonly members: readonly Uint32Array[] | null;
  readonly scores: Float64Array;
}

/** Four neighbouring outputs of each input and tap. */
function blocksOf({ tensor, outAxis }: LayerWeights): Uint32Array[] {
  const { shape } = tensor.type;
  const step = strides(shape)[outAxis]!;
  const n = shape[outAxis]!;
  const blocks: Uint32Array[] = [];
  for (let at = 0; at < tensor.data.length; at++) {
    const o = Math.floor(at / step) % n;
    if (o % BLOCK !== 0) continue;
    const count = Math.min(BLOCK, n - o);
    blocks.push(Uint32Array.from({ length: count }, (_, i) => at + i * step));
  }
  return blocks;
}

/** Sums of single weights' scores over each cell. */
function cellsOf(layer: LayerWeights, grain: Grain, of: (i: number) => number): Cells {
  const { length } = layer.tensor.data;
  if (grain === "single") {
    return { members: null, scores: Float64Array.from({ length }, (_, i) => of(i)) };
  }
  const members = blocksOf(layer);
  const scores = Float64Array.from(members, (m) => m.reduce((sum, i) => sum + of(i), 0));
  return { members, scores };
}

/** Each score divided by the sum of those of its layer that are no smaller. */
function lamp(scores: Float64Array): Float64Array {
  const order = Uint32Array.from(scores.keys()).sort((a, b) => scores[b]! - scores[a]! || a - b);
  const out = new Float64Array(scores.length);
  let sum = 0;
  for (const i of order) {
    sum += scores[i]!;
    out[i] = sum === 0 ? 0 : scores[i]! / sum;
  }
  return out;
}

/** Masks of several layers whose cells compete; the largest scores stay, ties in order. */
function keepLargest(cells: readonly Cells[], sizes: readonly number[], sparsity: number) {
  const total = cells.reduce((n, c) => n + c.scores.length, 0);
  const gone = Math.round(sparsity * total);
  const sorted = new Float64Array(total);
  let at = 0;
  for (const { scores } of cells) {
    sorted.set(scores, at);
    at += scores.length;
  }
  sorted.sort();
  const limit = gone === 0 ? Number.NEGATIVE_INFINITY : sorted[gone - 1]!;
  let smaller = 0;
  for (const s of sorted) if (s < limit) smaller++;
  let ties = gone - smaller;
  return cells.map(({ members, scores }, n) => {
    const mask = new Uint8Array(sizes[n]!).fill(1);
    scores.forEach((score, i) => {
      if (score > limit || (score === limit && ties-- <= 0)) return;
      if (members === null) mask[i] = 0;
      else for (const k of members[i]!) mask[k] = 0;
    });
    return mask;
  });
}

function checkSparsity(sparsity: number): void {
  if (sparsity >= 0 && sparsity <= 1) return;
  throw new UserError("E_ARGUMENT", `a sparsity is from 0 to 1, got ${sparsity}`);
}

/** Masks without the smallest weights. The share is met to one cell (globally, or in every layer). */
export function magnitudeMasks(
  weights: readonly LayerWeights[],
  { sparsity, scope, grain = "single" }: MagnitudeOptions,
): Masks {
  const cells = weights.map((layer) => {
    const w = layer.tensor.data as Float32Array;
    if (scope !== "lamp") return cellsOf(layer, grain, (i) => Math.abs(w[i]!));
    const squares = cellsOf(layer, grain, (i) => w[i]! ** 2);
    return { ...squares, scores: lamp(squares.scores) };
  });
  return masksOf(weights, cells, sparsity, scope === "layer");
}

/** Options of masks by scores that are given. */
export type ScoreOptions = Omit<MagnitudeOptions, "scope"> & { readonly scope: "global" | "layer" };

/** Masks without the weights whose scores are smallest; by the names of layers, one score a weight. */
export function masksByScores(
  weights: readonly LayerWeights[],
  scores: ReadonlyMap<string, ArrayLike<number>>,
  { sparsity, scope, grain = "single" }: ScoreOptions,
): Masks {
  const cells = weights.map((layer) => {
    const own = scores.get(layer.name);
    const { length } = layer.tensor.data;
    if (own?.length !== length) {
      throw new UserError("E_ARGUMENT", `${own?.length ?? "no"} scores for ${length} weights`, {
        where: layer.name,
        hint: "scores belong to the model they were made for",
      });
    }
    return cellsOf(layer, grain, (i) => own[i]!);
  });
  return masksOf(weights, cells, sparsity, scope === "layer");
}

function masksOf(
  weights: readonly LayerWeights[],
  cells: readonly Cells[],
  sparsity: number,
  byLayer: boolean,
): Masks {
  checkSparsity(sparsity);
  const sizes = weights.map((w) => w.tensor.data.length);
  const masks = byLayer
    ? cells.flatMap((own, i) => keepLargest([own], [sizes[i]!], sparsity))
    : keepLargest(cells, sizes, sparsity);
  return new Map(weights.map(({ name }, i) => [name, masks[i]!]));
}

/**
 * Masks that keep the n largest of each m neighbouring input channels. Layers with fewer than m inputs stay whole; of a
 * last group that is cut short as many stay as fit the same share.
 */
export function nmMasks(weights: readonly LayerWeights[], n: number, m: number): Masks {
  if (!(Number.isInteger(n) && Number.isInteger(m) && n > 0 && n < m)) {
    throw new UserError("E_ARGUMENT", `expected n:m with 0 < n < m, got ${n}:${m}`, {
      hint: "2:4 keeps two of four weights",
    });
  }
  return new Map(weights.map((layer) => [layer.name, nmMask(layer, n, m)]));
}

function nmMask({ tensor, inAxis }: LayerWeights, n: number, m: number): Uint8Array {
  const { shape } = tensor.type;
  const w = tensor.data as Float32Array;
  const mask = new Uint8Array(w.length).fill(1);
  const [step, size] = [strides(shape)[inAxis]!, shape[inAxis]!];
  if (size < m) return mask;
  for (let first = 0; first < w.length; first++) {
    const i = Math.floor(first / step) % size;
    if (i % m !== 0) continue;
    const count = Math.min(m, size - i);
    const group = Array.from({ length: count }, (_, k) => first + k * step);
    const stay = Math.ceil((n * count) / m);
    group.sort((a, b) => Math.abs(w[b]!) - Math.abs(w[a]!) || a - b);
    for (const k of group.slice(stay)) mask[k] = 0;
  }
  return mask;
}

/** Sparsity that grows from step `begin` to `end`. */
export interface GradualSchedule {
  readonly begin: number;
  readonly end: number;
  /** Default 0. */
  readonly initial?: number;
  readonly final: number;
  /** Steps between changes of the masks; default 100. */
  readonly every?: number;
}

/** The sparsity at a step: s_f + (s_i - s_f)(1 - t)^3, t from 0 at `begin` to 1 at `end`. */
export function gradualSparsity(schedule: GradualSchedule, step: number): number {
  const { begin, end, initial = 0, final } = schedule;
  const t = end > begin ? (step - begin) / (end - begin) : step >= end ? 1 : 0;
  const left = 1 - Math.min(1, Math.max(0, t));
  const old = left ** 3;
  return initial * old + final * (1 - old);
}

/** Whether masks change before this step. */
export const isPruningStep = (
  { begin, end, every = 100 }: GradualSchedule,
  step: number,
): boolean => step >= begin && step <= end && ((step - begin) % every === 0 || step === end);
