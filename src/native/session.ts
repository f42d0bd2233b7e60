/** @file Runs a Program as code of this machine: C, the system's compiler, a shared library, threads. */
import { availableParallelism } from "node:os";
import type { Program } from "../kernel/program.ts";
import { driveModel, type Session } from "../runtime/session.ts";
import { emitC, MOST_THREADS } from "../targets/c/emit.ts";
import type { ModelArray, ModelFeeds, ModelInstance } from "../targets/wasm/model.ts";
import { DTYPES } from "../tensor/dtype.ts";
import { elementCount } from "../tensor/tensor.ts";
import { InternalError, UserError } from "../util/errors.ts";
import { buildLibrary } from "./build.ts";
import type { Env } from "./compiler.ts";
import { type LoadedLibrary, loadLibrary } from "./library.ts";
import { nativeTarget } from "./target.ts";
import { teamText } from "./team.ts";

export interface NativeOptions {
  /** Threads of the team, this one included; default 1. Results do not depend on it. */
  readonly threads?: number;
  /** Subnormal numbers are zero in the model's steps, which is faster where there are many; default false. */
  readonly flushSubnormals?: boolean;
  /** More options for the C compiler, for comparisons and tests. */
  readonly flags?: readonly string[];
  /** Where CC, TERSOR_CACHE and XDG_CACHE_HOME are read; default the process's. */
  readonly env?: Env;
}

const LINE = 64;

/** Memory that begins on a cache line. */
interface Block {
  readonly bytes: Uint8Array;
  readonly address: bigint;
}

function allocate(library: LoadedLibrary, size: number): Block {
  // Small arrays without a buffer of their own would move.
  const whole = new Uint8Array(new ArrayBuffer(size + LINE));
  const at = library.addressOf(whole);
  const skip = Number(-at & BigInt(LINE - 1));
  return { bytes: whole.subarray(skip, skip + size), address: at + BigInt(skip) };
}

/** The functions of a loaded model. */
interface Functions {
  readonly init: (arena: bigint, weights: bigint) => number;
  readonly open: (arena: bigint, weights: bigint, threads: number) => bigint;
  readonly run: (team: bigint, first: number, last: number) => void;
  readonly close: (team: bigint) => void;
}

const functionsOf = ({ func }: LoadedLibrary): Functions => ({
  init: func("int model_init(uintptr_t arena, uintptr_t weights)") as Functions["init"],
  open: func("uintptr_t team_open(uintptr_t a, uintptr_t w, int threads)") as Functions["open"],
  run: func("void team_run(uintptr_t team, int first, int last)") as Functions["run"],
  close: func("void team_close(uintptr_t team)") as Functions["close"],
});

function checkThreads(threads: number): void {
  if (Number.isInteger(threads) && threads >= 1 && threads <= MOST_THREADS) return;
  throw new UserError("E_ARGUMENT", `threads is ${threads}, expected 1 to ${MOST_THREADS}`);
}

/** A loaded model: what sessions and training drive. */
export interface NativeModel
  extends Pick<
    ModelInstance,
    "variant" | "threads" | "step" | "execute" | "write" | "read" | "run"
  > {
  /** The memory of each port: inputs, outputs, state. */
  readonly views: readonly ModelArray[];
  readonly close: () => void;
}

/**
 * Compiles the program for this machine, or takes the library compiled before, and runs its `init`. Throws
 * UserError E_TARGET where there is no compiler, no koffi, or the compiler refuses.
 */
export async function loadNative(
  program: Program,
  options: NativeOptions = {},
): Promise<NativeModel> {
  const threads = options.threads ?? 1;
  checkThreads(threads);
  const { compiler, cpu } = await nativeTarget(options.env);
  const spread = { files: availableParallelism(), threads: true, cpu: cpu.name };
  const source = emitC(program, { weights: "file", ...spread });
  const texts = [...source.files].filter(([name]) => !name.endsWith(".bin"));
  const files = new Map(texts.map(([name, text]) => [name, String(text)]));
  files.set(
    "team.c",
    teamText(source.shared, { flushSubnormals: options.flushSubnormals ?? false }),
  );
  const built = await buildLibrary(files, compiler, options);
  const library = await loadLibrary(built.path);
  built.release();
  const weights = allocate(library, source.weightsBytes);
  weights.bytes.set(source.files.get("model_weights.bin") as Uint8Array);
  const arena = allocate(library, source.arenaBytes + (threads - 1) * source.threadBytes);
  const model = drive(program, functionsOf(library), arena, weights, threads, source.places);
  return {
    ...model,
    variant: `${cpu.name}, ${compiler.name}`,
    close: () => {
      model.close();
      library.unload();
    },
  };
}

/** A session of a native model. Throws as `loadNative`. */
export async function createNativeSession(
  program: Program,
  options: NativeOptions = {},
): Promise<Session> {
  const model = await loadNative(program, options);
  return driveModel(program, model, model.close);
}

/** Arrays over the memory of each port. */
function portViews(
  program: Program,
  places: ReturnType<typeof emitC>["places"],
  arena: Block,
  weights: Block,
): ModelArray[] {
  const ports = [...program.inputs, ...program.outputs, ...(program.state ?? [])];
  return ports.map(({ type }, i) => {
    const { memory, offset } = places[i]!;
    const { buffer, byteOffset } = (memory === "arena" ? arena : weights).bytes;
    const n = elementCount(type.shape);
    return DTYPES[type.dtype].view(buffer as ArrayBuffer, byteOffset + offset, n) as ModelArray;
  });
}

/** Copies arrays, given in order or by name, to the memory of the inputs. */
function writeInputs(program: Program, views: readonly ModelArray[], feeds: ModelFeeds): void {
  program.inputs.forEach(({ name }, i) => {
    const data = Array.isArray(feeds)
      ? (feeds as readonly ModelArray[])[i]
      : (feeds as Readonly<Record<string, ModelArray>>)[name];
    const view = views[i]!;
    if (data?.length !== view.length) {
      const got = data === undefined ? "nothing" : `${data.length}`;
      throw new UserError("E_ARGUMENT", `input ${name} has ${view.length} elements, got ${got}`);
    }
    (view as Uint8Array).set(data as Uint8Array);
  });
}

function drive(
  program: Program,
  c: Functions,
  arena: Block,
  weights: Block,
  threads: number,
  places: ReturnType<typeof emitC>["places"],
): Omit<NativeModel, "variant"> & { readonly held: readonly Block[] } {
  const status = c.init(arena.address, weights.address);
  if (status !== 0) throw new InternalError(`native ${program.name}: init returned ${status}`);
  const team = c.open(arena.address, weights.address, threads);
  if (Number(team) === 0) throw new UserError("E_LIMIT", `the system gives no ${threads} threads`);
  const views = portViews(program, places, arena, weights);
  const first = program.inputs.length;
  const last = program.steps.length - 1;
  const execute = (): void => c.run(team, 0, last);
  const write = (feeds: ModelFeeds): void => writeInputs(program, views, feeds);
  const read = (): Record<string, ModelArray> =>
    Object.fromEntries(
      program.outputs.map(({ name }, i) => [name, views[first + i]!.slice() as ModelArray]),
    );
  return {
    threads,
    views,
    step: (index) => c.run(team, index, index),
    execute,
    write,
    read,
    run: (feeds) => {
      write(feeds);
      execute();
      return read();
    },
    close: () => c.close(team),
    // Referred to by address only: this keeps it from being collected.
    held: [arena, weights],
  };
}
