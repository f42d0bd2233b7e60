/**
 * @file Batches made ahead by workers, in memory that all share. Slot s holds the batches of the steps s, s + depth,
 * ... in turn. Who takes batches writes the step it wants into each slot; the slot's worker fills it and says so.
 * Nothing else is agreed on: to go on from another step is to want other steps.
 */
import type { BatchMaker } from "./maker.ts";

/** Words of a slot. `wanted` and `done` are steps, -1 at first; `waiting` is 1 while someone sleeps until it is done. */
const WORDS = { wanted: 0, done: 1, waiting: 2, counted: 3 } as const;
const SLOT_WORDS = 4;

export interface Ring {
  readonly depth: number;
  readonly workers: number;
  /** SLOT_WORDS for each slot, then one bell for each worker, which counts requests. */
  readonly words: Int32Array;
  /** Arrays of each slot, in the maker's order. */
  readonly arrays: readonly (readonly Float32Array[])[];
  /** Classes of the rows of each slot. */
  readonly labels: readonly Int32Array[];
}

/** What a worker tells the one who takes batches. */
export type RingReply =
  | { readonly kind: "done" }
  | {
      readonly kind: "failed";
      readonly user: boolean;
      readonly code: string;
      readonly message: string;
      readonly where?: string;
      readonly hint?: string;
    };

export function makeRing(maker: BatchMaker, depth: number, workers: number): Ring {
  const words = new Int32Array(new SharedArrayBuffer(4 * (depth * SLOT_WORDS + workers)));
  words.fill(-1, 0, depth * SLOT_WORDS);
  const slots = Array.from({ length: depth }, (_, s) => {
    Atomics.store(words, s * SLOT_WORDS + WORDS.waiting, 0);
    return maker.arrays.map(({ length }) => new Float32Array(new SharedArrayBuffer(4 * length)));
  });
  const labels = slots.map(() => new Int32Array(new SharedArrayBuffer(4 * maker.rows)));
  return { depth, workers, words, arrays: slots, labels };
}

const place = (slot: number, word: keyof typeof WORDS): number => slot * SLOT_WORDS + WORDS[word];

/** Wants the batches of `step` and of the depth - 1 steps behind it; gives the slot of the first. */
export function want(ring: Ring, step: number): number {
  const { depth, workers, words } = ring;
  for (let n = step; n < step + depth; n++) {
    const slot = n % depth;
    if (Atomics.load(words, place(slot, "wanted")) === n) continue;
    Atomics.store(words, place(slot, "wanted"), n);
    const bell = depth * SLOT_WORDS + (slot % workers);
    Atomics.add(words, bell, 1);
    Atomics.notify(words, bell);
  }
  return step % depth;
}

/** Whether the slot holds the step's batch. If not, its worker will reply when it does. */
export function isDone({ words }: Ring, slot: number, step: number): boolean {
  Atomics.store(words, place(slot, "waiting"), 1);
  const done = Atomics.load(words, place(slot, "done")) === step;
  if (done) Atomics.store(words, place(slot, "waiting"), 0);
  return done;
}

/** Rows of the slot's batch that count. */
export const countedIn = ({ words }: Ring, slot: number): number =>
  Atomics.load(words, place(slot, "counted"));

/** The worker's slot that waits for the earliest step; null: none waits. */
function earliest(
  { depth, workers, words }: Ring,
  worker: number,
): { readonly slot: number; readonly step: number } | null {
  let found: { readonly slot: number; readonly step: number } | null = null;
  for (let slot = worker; slot < depth; slot += workers) {
    const step = Atomics.load(words, place(slot, "wanted"));
    const open = step >= 0 && Atomics.load(words, place(slot, "done")) !== step;
    if (open && (found === null || step < found.step)) found = { slot, step };
  }
  return found;
}

/** A worker's life: fills its slots, the earliest step first, until it is ended from outside or `make` throws. */
export function serveRing(
  ring: Ring,
  worker: number,
  maker: BatchMaker,
  reply: (message: RingReply) => void,
): void {
  const { depth, words, arrays, labels } = ring;
  const bell = depth * SLOT_WORDS + worker;
  for (;;) {
    const heard = Atomics.load(words, bell);
    const next = earliest(ring, worker);
    if (next === null) {
      Atomics.wait(words, bell, heard);
      continue;
    }
    const { slot, step } = next;
    const counted = maker.make(step, arrays[slot]!, labels[slot]!);
    Atomics.store(words, place(slot, "counted"), counted);
    Atomics.store(words, place(slot, "done"), step);
    if (Atomics.exchange(words, place(slot, "waiting"), 0) === 1) reply({ kind: "done" });
  }
}
