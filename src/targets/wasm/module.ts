/**
 * @file Program -> one WebAssembly module that runs on every engine with SIMD. Faster bodies for engines
 * with relaxed SIMD travel in custom sections; the loader swaps them in (loader.ts).
 */
import type { Expr, Kernel, Stmt } from "../../kernel/ir.ts";
import type { Port, Program, Segment } from "../../kernel/program.ts";
import { type SharedProgram, shareProgram } from "../../kernel/threads.ts";
import { eachExpr } from "../../kernel/walk.ts";
import { elementCount } from "../../tensor/tensor.ts";
import {
  chosenCall,
  type Driver,
  type EmitCall,
  emitCall,
  runBody,
  straightLine,
} from "./driver.ts";
import { emitKernel } from "./emit.ts";
import {
  ByteSink,
  customSection,
  dataSegment,
  type Export,
  exportSection,
  leb,
  MODULE_HEADER,
  SECTION,
  section,
  sleb,
  typeSection,
  VAL_TYPES,
  vector,
} from "./encoder.ts";
import { FunctionPool, type WasmFeatures } from "./pool.ts";
import { threadPlaces, threadSection } from "./threads.ts";

export interface ModuleOptions {
  /** "file": constants are left out; `weights` of the result holds them. Default "inline". */
  readonly weights?: "inline" | "file";
  /** Adds the name section, for profilers and disassemblers. */
  readonly names?: boolean;
  /**
   * Adds what the model needs to run on several threads, where that is worth it; "all", for tests: where
   * it is possible.
   */
  readonly threads?: boolean | "all";
}

export interface WasmModule {
  readonly wasm: Uint8Array;
  /** The module without the bytes of its constants. */
  readonly codeBytes: number;
  /** The constants, zeros included. */
  readonly weightsBytes: number;
  /** It has what it needs to run on several threads. */
  readonly threads: boolean;
  /** The constants back to back, when they are not in the module. */
  readonly weights?: Uint8Array;
}

/** Variants in the order the loader prefers them, worst first. */
const VARIANTS: Readonly<Record<string, WasmFeatures>> = {
  base: { fma: false, dot8: false },
  fma: { fma: true, dot8: false },
  dot8: { fma: true, dot8: true },
};

function uses(body: readonly Stmt[], test: (x: Expr) => boolean): boolean {
  let found = false;
  eachExpr(body, (x) => {
    found ||= test(x);
  });
  return found;
}

/** The variants of which at least one kernel could make use. */
function variantNames(kernels: readonly Kernel[]): string[] {
  const fuses = (x: Expr): boolean => x.kind === "fma" || x.kind === "call";
  const fma = kernels.some((k) => k.forms?.fma !== undefined || uses(k.body, fuses));
  const dot8 = kernels.some(
    (k) => k.forms?.dot8 !== undefined || uses(k.body, (x) => x.kind === "dot8"),
  );
  return ["base", ...(fma ? ["fma"] : []), ...(dot8 ? ["dot8"] : [])];
}

/** Scalar arguments of each kernel that no call gives a negative value. */
function nonNegativeArgs(program: Program): ReadonlySet<string>[] {
  const calls = [...program.init, ...program.steps];
  return program.kernels.map((kernel, k) => {
    const mine = calls.filter((c) => c.kernel === k);
    const safe = kernel.args.filter((_, i) =>
      mine.every((c) => c.args[i] !== "flip" && Number(c.args[i]) >= 0),
    );
    return new Set(safe.map((a) => a.name));
  });
}

/** Zero runs shorter than this are cheaper inside a segment than as a gap between two. */
const MIN_GAP = 12;
/** Engines take at most 100000 segments; far fewer load faster. */
const MAX_SEGMENTS = 10000;

/** The constants without long runs of zeros, which memory holds anyway. */
function dataSegments(constants: readonly Segment[], gap = MIN_GAP): Uint8Array[] {
  const out: Uint8Array[] = [];
  for (const { offset, bytes } of constants) {
    let start = 0;
    while (start < bytes.length) {
      if (bytes[start] === 0) {
        start++;
        continue;
      }
      let end = start;
      for (let i = start; i < bytes.length && i - end < gap; i++) {
        if (bytes[i] !== 0) end = i + 1;
      }
      out.push(dataSegment(offset + start, bytes.subarray(start, end)));
      start = end;
    }
  }
  return out.length > MAX_SEGMENTS ? dataSegments(constants, gap * 4) : out;
}

const describePort = ({ name, type, offset }: Port): object => ({
  name,
  dtype: type.dtype,
  shape: type.shape,
  ...(type.quant === undefined ? {} : { quant: type.quant }),
  length: elementCount(type.shape),
  offset,
});

/** The payload of the "tersor" section. */
function describe(
  program: Program,
  variants: readonly string[],
  beside: boolean,
  shared: SharedProgram | null,
): Uint8Array {
  const text = JSON.stringify({
    version: 1,
    name: program.name,
    inputs: program.inputs.map(describePort),
    outputs: program.outputs.map(describePort),
    steps: program.steps.length,
    memoryBytes: program.memoryBytes,
    arenaBytes: program.arenaBytes,
    variants,
    ...(shared === null ? {} : { threads: threadPlaces(shared) }),
    ...(beside ? { weights: program.constants.map((c) => [c.offset, c.bytes.length]) } : {}),
  });
  return new TextEncoder().encode(text);
}

/** The bodies in which variant `v` differs from the base, each after its function index. */
function patches(pool: FunctionPool, v: number): Uint8Array[] {
  return pool.functions.flatMap(({ bodies }, index) => {
    const [base, body] = [bodies[0]!, bodies[v]!];
    const same = base.length === body.length && base.every((b, i) => b === body[i]);
    return same ? [] : [new ByteSink().leb(index).bytes(body).take()];
  });
}

function nameSection(pool: FunctionPool): Uint8Array {
  const names = pool.functions.map((fn, i) => new ByteSink().leb(i).text(fn.name).take());
  return customSection("name", section(1, vector(names)));
}

interface Emitted {
  readonly pool: FunctionPool;
  readonly driver: Driver;
  readonly init: number;
  readonly run: number;
  readonly step: number;
}

/** Emits the kernels and the functions that call them, for all variants at once. */
function emitFunctions(program: Program, variants: readonly string[]): Emitted {
  const pool = new FunctionPool(variants.map((name) => VARIANTS[name]!));
  const safe = nonNegativeArgs(program);
  const functions = program.kernels.map((kernel, k) =>
    emitKernel(pool, kernel, { nonNegativeArgs: safe[k]! }),
  );
  const driver = { program, functions };
  const nothing = { params: [], results: [] };
  const emit: EmitCall = (f, call) => emitCall(f, driver, call);
  const init = pool.add("init", nothing, () => straightLine(program.init, emit));
  const step = pool.add("step", { params: ["i32"], results: [] }, () =>
    chosenCall(program.steps, emit),
  );
  const run = pool.add("run", nothing, () => runBody(program.steps.length, step));
  return { pool, driver, init, run, step };
}

export function emitModule(given: Program, options: ModuleOptions = {}): WasmModule {
  const beside = options.weights === "file";
  const { threads = false } = options;
  const shared = threads === false ? null : shareProgram(given, threads === "all");
  const program = shared?.program ?? given;
  const candidates = variantNames(program.kernels);
  const { pool, driver, init, run, step } = emitFunctions(program, candidates);
  const variants = candidates
    .map((name, v) => ({ name, patches: patches(pool, v) }))
    .filter((v) => v.patches.length > 0);
  const pages = Math.max(1, Math.ceil(program.memoryBytes / 65536));
  const segments = beside ? [] : dataSegments(program.constants);
  const data = segments.length === 0 ? new Uint8Array(0) : section(SECTION.data, vector(segments));
  const exports: readonly Export[] = [
    { name: "memory", kind: "memory", index: 0 },
    { name: "flip", kind: "global", index: 0 },
    { name: "init", kind: "function", index: init },
    { name: "run", kind: "function", index: run },
    { name: "step", kind: "function", index: step },
  ];
  const sink = new ByteSink()
    .bytes(MODULE_HEADER)
    .bytes(typeSection(pool.types))
    .bytes(section(SECTION.function, vector(pool.functions.map((fn) => leb(fn.type)))))
    .bytes(section(SECTION.memory, vector([[0, ...leb(pages)]])))
    .bytes(section(SECTION.global, vector([[VAL_TYPES.i32, 1, 0x41, ...sleb(0), 0x0b]])))
    .bytes(exportSection(exports))
    .bytes(section(SECTION.code, vector(pool.functions.map((fn) => fn.bodies[0]!))))
    .bytes(data);
  if (options.names === true) sink.bytes(nameSection(pool));
  const names = ["base", ...variants.map((v) => v.name)];
  sink.bytes(customSection("tersor", describe(program, names, beside, shared)));
  for (const v of variants) {
    sink.bytes(customSection(`tersor.code.${v.name}`, vector(v.patches)));
  }
  if (shared !== null) {
    const threads = threadSection({ shared, driver, pool, init, step, exports });
    sink.bytes(customSection("tersor.threads", threads));
  }
  const wasm = sink.take();
  const weightsBytes = program.constants.reduce((n, c) => n + c.bytes.length, 0);
  const result = {
    wasm,
    codeBytes: wasm.length - data.length,
    weightsBytes,
    threads: shared !== null,
  };
  if (!beside) return result;
  const weights = new ByteSink();
  for (const { bytes } of program.constants) weights.bytes(bytes);
  return { ...result, weights: weights.take() };
}
