/** @file Runs a Program as WebAssembly in this process, in Node and in browsers, and times its steps. */
import type { Program } from "../kernel/program.ts";
import { instantiateModel, type ModelArray, type ModelInstance } from "../targets/wasm/loader.ts";
import { emitModule } from "../targets/wasm/module.ts";
import { sameShape, type Tensor, zeros as zerosOf } from "../tensor/tensor.ts";
import { UserError } from "../util/errors.ts";
import { median } from "../util/math.ts";

/** The time of one step of the program, in milliseconds, over the profiled runs. */
export interface StepTime {
  readonly label: string;
  readonly kernel: string;
  /** The median. */
  readonly ms: number;
  /** What one run in five stays below: the time when nothing else disturbs. */
  readonly lowMs: number;
}

export interface Session {
  /** "base", "fma" or "dot8": which instructions the engine allowed; native code names its compiler. */
  readonly variant: string;
  /** Threads that compute; where fewer than asked for, `note` says why. */
  readonly threads: number;
  readonly note?: string;
  /** One inference: tensors in the order of the program's inputs, results in that of its outputs. */
  readonly run: (feeds: readonly Tensor[]) => readonly Tensor[];
  /** Runs on the present inputs until times are stable, so that later ones are of optimised code. */
  readonly warmUp: () => void;
  /** Milliseconds of each whole inference on the present inputs. Warm up first. */
  readonly time: (runs: number) => readonly number[];
  /** Warms up, then times each step over `runs` inferences on the present inputs. */
  readonly profile: (runs: number) => readonly StepTime[];
  /** Drops the compiled module and its memory; the session cannot be used any more. */
  readonly close: () => void;
}

export interface SessionOptions {
  /** The variant to use in place of the best one, for comparisons and tests. */
  readonly variant?: "base" | "fma" | "dot8";
  /**
   * Threads to use, the calling one included; default 1. Results do not depend on it. In a page they need
   * cross-origin isolation, and workers that may start from blob URLs.
   */
  readonly threads?: number;
  /** "all": threads share whatever they can, and not only what is worth it; for tests. */
  readonly share?: "all";
}

const MIN_WARM_UP = 20;
const MAX_WARM_UP_MS = 2000;
const WINDOW = 10;

/** A loaded model, whatever code it runs: what a session drives. */
export type Driven = Pick<ModelInstance, "variant" | "step" | "execute" | "write" | "run"> &
  Partial<Pick<ModelInstance, "threads" | "note">>;

/** A model with the inputs it was last given: memory is shared, so a run leaves none of them intact. */
interface Fed {
  readonly model: Driven;
  feeds: readonly ModelArray[];
}

function timeRuns({ model, feeds }: Fed, runs: number): number[] {
  const times: number[] = [];
  for (let i = 0; i < runs; i++) {
    model.write(feeds);
    const start = performance.now();
    model.execute();
    times.push(performance.now() - start);
  }
  return times;
}

function warmUp(model: Fed): void {
  const start = performance.now();
  let before = median(timeRuns(model, MIN_WARM_UP));
  while (performance.now() - start < MAX_WARM_UP_MS) {
    const now = median(timeRuns(model, WINDOW));
    if (now > before * 0.97) return;
    before = now;
  }
}

function profile(fed: Fed, program: Program, runs: number): StepTime[] {
  const { model } = fed;
  warmUp(fed);
  const times = program.steps.map((): number[] => []);
  for (let r = 0; r < runs; r++) {
    model.write(fed.feeds);
    for (let i = 0; i < times.length; i++) {
      const start = performance.now();
      model.step(i);
      times[i]!.push(performance.now() - start);
    }
  }
  return program.steps.map((call, i) => ({
    label: call.label,
    kernel: program.kernels[call.kernel]!.name,
    ms: median(times[i]!),
    lowMs: times[i]!.sort((a, b) => a - b)[Math.floor(runs / 5)]!,
  }));
}

function checkFeeds(program: Program, feeds: readonly Tensor[]): void {
  const { inputs } = program;
  if (feeds.length !== inputs.length) {
    const names = inputs.map((p) => p.name).join(", ");
    throw new UserError(
      "E_ARGUMENT",
      `${program.name} takes ${inputs.length} inputs (${names}), got ${feeds.length}`,
    );
  }
  inputs.forEach(({ name, type }, i) => {
    const got = feeds[i]!.type;
    if (got.dtype === type.dtype && sameShape(got.shape, type.shape)) return;
    throw new UserError(
      got.dtype === type.dtype ? "E_SHAPE" : "E_DTYPE",
      `input ${name} takes ${type.dtype}[${type.shape}], got ${got.dtype}[${got.shape}]`,
    );
  });
}

/** Compiles the program for this engine and runs its `init`. */
export async function createSession(
  program: Program,
  options: SessionOptions = {},
): Promise<Session> {
  const { variant, threads = 1 } = options;
  const { wasm } = emitModule(program, { threads: threads > 1 && (options.share ?? true) });
  const model = await instantiateModel(wasm, undefined, variant, { threads });
  return driveModel(program, model, () => model.close());
}

/** A session over a loaded model of this program. `release` runs when it is closed. */
export function driveModel(program: Program, model: Driven, release?: () => void): Session {
  const { variant, threads = 1, note } = model;
  const zeros = program.inputs.map(({ type }) => zerosOf(type).data as ModelArray);
  let fed: Fed | null = { model, feeds: zeros };
  const open = (): Fed => {
    if (fed === null) throw new UserError("E_ARGUMENT", `session of ${program.name} is closed`);
    return fed;
  };
  return {
    ...{ variant, threads, ...(note !== undefined && { note }) },
    run: (feeds) => {
      checkFeeds(program, feeds);
      const at = open();
      at.feeds = feeds.map((t) => t.data as ModelArray);
      const results = at.model.run(at.feeds);
      return program.outputs.map(({ name, type }) => ({ type, data: results[name]! as never }));
    },
    warmUp: () => warmUp(open()),
    time: (runs) => timeRuns(open(), runs),
    profile: (runs) => profile(open(), program, runs),
    close: () => {
      if (fed !== null) release?.();
      fed = null;
    },
  };
}
