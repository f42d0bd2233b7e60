/** @file Batches made some steps ahead by worker threads of Node. */
import { Worker } from "node:worker_threads";
import { type ErrorCode, InternalError, UserError } from "../../util/errors.ts";
import type { Batch, BatchSource } from "../batches.ts";
import { type BatchMaker, type BatchOptions, batchMaker } from "../data/maker.ts";
import { countedIn, isDone, makeRing, type Ring, type RingReply, want } from "../data/ring.ts";
import { type ExampleSet, sharedSet } from "../data/sets.ts";
import { batchIn, checkStep, trainingBatches } from "../data/source.ts";

export interface PrefetchOptions {
  /** Worker threads; 0 makes batches when they are asked for. Default 1. */
  readonly workers?: number;
  /** Batches kept at once, that of the present step among them; default 4 and two for each worker. */
  readonly depth?: number;
}

/** What a worker thread is started with. */
export interface WorkerTask {
  readonly set: ExampleSet;
  readonly options: BatchOptions;
  readonly ring: Ring;
  readonly worker: number;
}

/**
 * The batches of `trainingBatches`, the same to the bit for any number of workers, made ahead. A batch's arrays
 * hold until the next one is asked for. Workers do not keep the process alive.
 */
export function prefetchedBatches<S extends ExampleSet>(
  set: S,
  options: BatchOptions<S>,
  { workers = 1, depth = 4 + 2 * workers }: PrefetchOptions = {},
): BatchSource {
  if (!Number.isInteger(workers) || workers < 0 || workers > 64) {
    throw new UserError("E_ARGUMENT", `workers: expected 0 to 64, got ${workers}`);
  }
  if (workers === 0) return trainingBatches(set, options);
  if (!Number.isInteger(depth) || depth < Math.max(2, workers)) {
    throw new UserError("E_ARGUMENT", `depth: expected at least ${Math.max(2, workers)}`, {
      hint: `got ${depth}; every worker needs a batch to work at`,
    });
  }
  // Wrong options are refused here rather than in a worker.
  const maker = batchMaker(set, options);
  const ring = makeRing(maker, depth, workers);
  const common = { set: sharedSet(set), options: options as BatchOptions, ring };
  return new Prefetcher(maker, ring, (worker) => ({ ...common, worker }));
}

/** In a build the file beside this one is JavaScript. */
const workerFile = (): URL =>
  new URL(`./worker.${import.meta.url.endsWith(".ts") ? "ts" : "js"}`, import.meta.url);

class Prefetcher implements BatchSource {
  readonly rows: number;
  readonly batchesPerEpoch: number;
  private readonly maker: BatchMaker;
  private readonly ring: Ring;
  private readonly threads: readonly Worker[];
  private failure: Error | null = null;
  private busy = false;
  /** Called whenever a worker says something. */
  private wake: () => void = () => {};

  constructor(maker: BatchMaker, ring: Ring, taskOf: (worker: number) => WorkerTask) {
    this.maker = maker;
    this.ring = ring;
    this.rows = maker.rows;
    this.batchesPerEpoch = maker.batchesPerEpoch;
    this.threads = Array.from({ length: ring.workers }, (_, i) => this.start(taskOf(i)));
  }

  private start(workerData: WorkerTask): Worker {
    const thread = new Worker(workerFile(), { workerData, execArgv: [] });
    thread.unref();
    thread.on("message", (reply: RingReply) => this.hear(reply));
    thread.on("error", (error) => this.fail(new InternalError(`a data worker: ${error}`)));
    thread.on("exit", (code) => this.fail(new InternalError(`a data worker ended with ${code}`)));
    return thread;
  }

  private hear(reply: RingReply): void {
    if (reply.kind === "done") this.wake();
    else this.fail(errorOf(reply));
  }

  private fail(error: Error): void {
    this.failure ??= error;
    this.wake();
  }

  async batch(step: number): Promise<Batch> {
    checkStep(step);
    if (this.failure !== null) throw this.failure;
    if (this.busy) {
      throw new UserError("E_ARGUMENT", "a batch is asked for before the last one came", {
        hint: "await each batch: its arrays hold until the next is asked for",
      });
    }
    const slot = want(this.ring, step);
    this.busy = true;
    try {
      while (!isDone(this.ring, slot, step)) {
        await this.news(slot);
        if (this.failure !== null) throw this.failure;
      }
    } finally {
      this.busy = false;
    }
    const { arrays, labels } = this.ring;
    return batchIn(this.maker, arrays[slot]!, labels[slot]!, countedIn(this.ring, slot));
  }

  /** Sleeps until a worker says something; meanwhile the slot's worker keeps the process alive. */
  private async news(slot: number): Promise<void> {
    const thread = this.threads[slot % this.ring.workers]!;
    thread.ref();
    await new Promise<void>((resolve) => {
      this.wake = resolve;
    });
    thread.unref();
  }

  async close(): Promise<void> {
    this.fail(new UserError("E_ARGUMENT", "the source of batches is closed"));
    await Promise.all(this.threads.map((thread) => thread.terminate()));
  }
}

function errorOf(reply: Extract<RingReply, { readonly kind: "failed" }>): Error {
  const { user, code, message, where, hint } = reply;
  if (!user) return new InternalError(`a data worker: ${message}`);
  return new UserError(code as ErrorCode, message, {
    ...(where !== undefined && { where }),
    ...(hint !== undefined && { hint }),
  });
}
