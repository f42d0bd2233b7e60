/**
 * @file Sessions on V8 with its experimental re-vectoriser, which joins the pairs of vectors that programs for
 * WASM256 are written in. Opt-in, Node only: the flag is set while a model's code is compiled, results are compared
 * with those of the same code compiled without it, and where they differ that code runs.
 */
import { GraphBuilder } from "../graph/graph.ts";
import type { Program } from "../kernel/program.ts";
import { linear } from "../ops/nn/linear.ts";
import { compileGraph } from "../plan/compile.ts";
import { WASM, WASM256 } from "../primitives/capabilities.ts";
import { primitives } from "../primitives/index.ts";
import { instantiateModel, type ModelArray, type ModelInstance } from "../targets/wasm/loader.ts";
import { emitModule } from "../targets/wasm/module.ts";
import { isFloat } from "../tensor/dtype.ts";
import { type Tensor, tensorOf, tensorType, zeros } from "../tensor/tensor.ts";
import { UserError } from "../util/errors.ts";
import { makeRng } from "../util/rng.ts";
import { driveModel, type Session } from "./session.ts";

/** Sets flags of V8: `setFlagsFromString` of node:v8. */
export type SetFlags = (flags: string) => void;

/** Optimised code at the first call: it is compiled while the flag is set, and never again. */
const ON = ["--experimental-wasm-revectorize", "--no-liftoff"];
const OFF = ["--no-experimental-wasm-revectorize", "--liftoff"];

/** Random inputs: floats in [-1, 1), integers 0, since they may be indices. */
function randomFeeds(program: Program): ModelArray[] {
  const rng = makeRng(7);
  return program.inputs.map(({ type }) => {
    const { data } = zeros(type);
    const integers = !isFloat(type.dtype) && type.quant === undefined;
    if (data instanceof Float32Array || (!integers && data instanceof Int8Array)) {
      for (let i = 0; i < data.length; i++) {
        data[i] = data instanceof Float32Array ? 2 * rng.next() - 1 : rng.int(256) - 128;
      }
    }
    return data as ModelArray;
  });
}

const bytesOf = (a: ModelArray): Uint8Array => new Uint8Array(a.buffer, a.byteOffset, a.byteLength);

/** Whether two runs gave the same bits. */
function sameResults(
  a: Readonly<Record<string, ModelArray>>,
  b: Readonly<Record<string, ModelArray>>,
): boolean {
  return Object.entries(a).every(([name, value]) => {
    const [p, q] = [bytesOf(value), bytesOf(b[name]!)];
    return p.every((x, i) => x === q[i]);
  });
}

const PAGE = 65536;

interface Wide {
  readonly model: ModelInstance;
  readonly same: boolean;
}

/** The program with and without the re-vectoriser, both run once on the same inputs. */
async function openWide(program: Program, setFlags: SetFlags, threads = 1): Promise<Wide> {
  const feeds = randomFeeds(program);
  // A page more: for equal bytes the engine would take the code it has compiled.
  const options = { threads: threads > 1 };
  const other = emitModule({ ...program, memoryBytes: program.memoryBytes + PAGE }, options);
  const plain = await instantiateModel(other.wasm, undefined, undefined, { threads });
  const want = plain.run(feeds);
  const { wasm } = emitModule(program, options);
  try {
    ON.forEach(setFlags);
    const model = await instantiateModel(wasm, undefined, undefined, { threads });
    const same = sameResults(want, model.run(feeds));
    (same ? plain : model).close();
    return same ? { model, same } : { model: plain, same };
  } finally {
    OFF.forEach(setFlags);
  }
}

/** A session of a program compiled for WASM256; its `note` says when the plain code has to serve. */
export async function createWideSession(
  program: Program,
  setFlags: SetFlags,
  threads = 1,
): Promise<Session> {
  const { model, same } = await openWide(program, setFlags, threads);
  const note = "results of the wide code differ from the plain ones: running the plain ones";
  const variant = same ? `${model.variant}+256` : model.variant;
  const { step, execute, write, run } = model;
  const why = same ? model.note : note;
  const driven = {
    ...{ variant, threads: model.threads, step, execute, write, run },
    ...(why !== undefined && { note: why }),
  };
  return driveModel(program, driven, () => model.close());
}

/** A matrix product that takes about a tenth of a millisecond. */
function probeProgram(caps: typeof WASM): Program {
  const [m, k, n] = [96, 128, 128];
  const rng = makeRng(5);
  const random = (shape: readonly number[], count: number): Tensor =>
    tensorOf(
      "f32",
      shape,
      Array.from({ length: count }, () => rng.normal()),
    );
  const g = new GraphBuilder("probe");
  const x = g.input("x", tensorType("f32", [m, k]));
  const ins = [x, g.constant(random([n, k], n * k)), g.constant(random([n], n))];
  g.output(g.apply(linear, ins, {}), "y");
  return compileGraph(g.build(), { primitives, caps }).program;
}

/** Least factor by which a product must gain for the wide code to be worth its start. */
const LEAST_GAIN = 1.2;
const PROBE_RUNS = 400;

/** Throws UserError E_TARGET where V8 does not join pairs of vectors, or not exactly. */
export async function checkWide(setFlags: SetFlags): Promise<void> {
  const { model, same } = await openWide(probeProgram(WASM256), setFlags);
  const plain = await instantiateModel(emitModule(probeProgram(WASM)).wasm);
  const best = [Number.POSITIVE_INFINITY, Number.POSITIVE_INFINITY];
  for (let run = 0; run < PROBE_RUNS; run++) {
    [plain, model].forEach((m, i) => {
      const start = performance.now();
      m.execute();
      best[i] = Math.min(best[i]!, performance.now() - start);
    });
  }
  plain.close();
  model.close();
  const gain = best[0]! / best[1]!;
  if (same && gain >= LEAST_GAIN) return;
  const reason = same ? `products gain a factor of ${gain.toFixed(2)} only` : "results differ";
  throw new UserError("E_TARGET", `this engine does not widen vectors: ${reason}`, {
    hint: "it needs V8 on x64 with AVX2 and --experimental-wasm-revectorize; use --target wasm",
  });
}
