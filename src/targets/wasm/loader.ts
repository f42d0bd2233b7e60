/**
 * @file Brings a model module to life: probes the engine, builds the best variant, places the weights.
 * The functions of LOADER refer to nothing but globals and each other through their first argument, so
 * that their sources can be pasted into artefacts, even from a bundled and minified build. They bind no
 * inner function to a name, which some bundlers would wrap in helpers of their own.
 */

import type { ModelArray, ModelFeeds, ModelInstance, ModelPort } from "./model.ts";
import { MODULE_BYTES, type Range, type Sections } from "./module-bytes.ts";
import { type StartWorker, TEAM } from "./team.ts";

export type { ModelArray, ModelFeeds, ModelInstance, ModelPort } from "./model.ts";

interface Port extends ModelPort {
  readonly offset: number;
}

/** The "tersor" section of a module. */
export interface Description {
  readonly inputs: readonly Port[];
  readonly outputs: readonly Port[];
  readonly steps: number;
  readonly memoryBytes: number;
  /** See ThreadPlaces in threads.ts. */
  readonly threads?: {
    readonly control: number;
    readonly scratch: number;
    readonly scratchBytes: number;
  };
  /** Offset and length of each constant, when they are not in the module. */
  readonly weights?: readonly (readonly [number, number])[];
}

export interface Exports {
  readonly memory: WebAssembly.Memory;
  readonly flip: WebAssembly.Global;
  readonly init: () => void;
  readonly run: () => void;
  readonly step: (index: number) => void;
}

export interface Choice {
  readonly variant: string;
  /** See Expr dot8: 0x80808080 where the engine reads the second operand as unsigned. */
  readonly flip: number;
  /** Where its bodies are in the module. */
  readonly bodies?: Range | undefined;
}

export interface ThreadOptions {
  /** Threads to use, the calling one included; default 1. */
  readonly threads?: number;
  /** Starts a worker in a browser, of a file that calls `serve`; default: from text, by a blob URL. */
  readonly start?: StartWorker;
}

type Arrays = Record<string, ModelArray>;
/** The functions that artefacts carry; those of TEAM only where the model has code for threads. */
export type Loader = Omit<typeof LOADER, "open"> & typeof TEAM & { readonly single: typeof open };

/**
 * The best variant whose results are exact here. The module tried is a function of three i32: the lane 0
 * of an instruction on bytes of the first, bytes of the second and words of the third.
 */
function probe(l: Loader, force: string | undefined): Choice {
  const head = [0, 97, 115, 109, 1, 0, 0, 0, 1, 8, 1, 96, 3, 127, 127, 127, 1, 127, 3, 2, 1, 0];
  const exports = [7, 5, 1, 1, 112, 0, 0, 10, 22, 1, 20, 0];
  const operands = [32, 0, 253, 15, 32, 1, 253, 15, 32, 2, 253, 17];
  // v128.bitselect (padded to three bytes), f32x4.relaxed_madd, i32x4.relaxed_dot_i8x16_i7x16_add_s.
  const select = [253, 210, 0];
  const madd = [253, 133, 2];
  const dot8 = [253, 147, 2];
  const lane = [253, 27, 0, 11];
  if (!WebAssembly.validate(l.join([head, exports, operands, select, lane]))) {
    throw new Error("this engine has no WebAssembly SIMD, which tersor models need");
  }
  const relaxed = WebAssembly.validate(l.join([head, exports, operands, madd, lane]));
  if (force === "base" || !relaxed) return { variant: force ?? "base", flip: 0 };
  const module = new WebAssembly.Module(l.join([head, exports, operands, dot8, lane]));
  const instance = new WebAssembly.Instance(module);
  const dot = instance.exports["p"] as (a: number, b: number, c: number) => number;
  const one = dot(1, -128, 5);
  const signed = one === -507 && dot(-128, -128, 0) === 65536 && dot(127, -128, 1) === -65023;
  const unsigned = one === 517 && dot(-128, -1, 0) === -130560 && dot(127, -1, 1) === 129541;
  return {
    variant: force ?? (signed || unsigned ? "dot8" : "fma"),
    flip: one > 0 ? 0x80808080 | 0 : 0,
  };
}

/** Copies constants that are not in the module to their places. */
function place(about: Description, memory: WebAssembly.Memory, weights?: Uint8Array): void {
  if (about.weights === undefined) return;
  const needed = about.weights.reduce((sum, [, length]) => sum + length, 0);
  if (weights === undefined || weights.length !== needed) {
    const got = weights === undefined ? "none" : `${weights.length} bytes`;
    throw new Error(`this model needs its weights file of ${needed} bytes, got ${got}`);
  }
  let from = 0;
  for (const [offset, length] of about.weights) {
    new Uint8Array(memory.buffer, offset, length).set(weights.subarray(from, from + length));
    from += length;
  }
}

/** The memory of a port. */
function view(memory: WebAssembly.Memory, { dtype, offset, length }: Port): ModelArray {
  const arrays: Record<string, new (b: ArrayBuffer, at: number, n: number) => ModelArray> = {
    f32: Float32Array,
    f64: Float64Array,
    f16: Uint16Array,
    bf16: Uint16Array,
    i8: Int8Array,
    u8: Uint8Array,
    i16: Int16Array,
    u16: Uint16Array,
    i32: Int32Array,
    u32: Uint32Array,
    i64: BigInt64Array,
    u64: BigUint64Array,
    bool: Uint8Array,
  };
  const array = arrays[dtype];
  if (array === undefined) throw new Error(`unknown element type ${dtype}`);
  return new array(memory.buffer, offset, length);
}

/** "Float32Array", "undefined", "object"... */
function nameOf(x: unknown): string {
  return ArrayBuffer.isView(x)
    ? String((x as unknown as Record<symbol, unknown>)[Symbol.toStringTag])
    : typeof x;
}

/** Copies `from` to `to`, one of which the caller passed for the port; that one is `given`. */
function copy(
  l: Loader,
  kind: "input" | "output",
  port: Port,
  given: unknown,
  to: ModelArray,
  from: ModelArray,
): void {
  const want = l.nameOf(given === to ? from : to);
  const type = l.nameOf(given);
  const fits = type === want || (type === "Uint8ClampedArray" && want === "Uint8Array");
  if (!fits || (given as ModelArray).length !== port.length) {
    const length = ArrayBuffer.isView(given) ? ` of length ${(given as ModelArray).length}` : "";
    const got = given === undefined ? "nothing" : type + length;
    throw new TypeError(
      `${kind} "${port.name}" (${port.dtype}[${port.shape.join(",")}]): ` +
        `expected ${want} of length ${port.length}, got ${got}`,
    );
  }
  (to as Uint8Array).set(from as Uint8Array);
}

function write(
  l: Loader,
  memory: WebAssembly.Memory,
  ports: readonly Port[],
  feeds: ModelFeeds,
): void {
  const list = Array.isArray(feeds);
  const names = list ? [] : Object.keys(feeds);
  const unknown = names.find((n) => !ports.some((p) => p.name === n));
  if (unknown !== undefined || (list && feeds.length !== ports.length)) {
    const what = unknown === undefined ? `${feeds.length} inputs` : `unknown input "${unknown}"`;
    const have = ports.map((p) => `"${p.name}"`).join(", ");
    throw new TypeError(`${what}: this model has ${ports.length} (${have})`);
  }
  ports.forEach((port, i) => {
    const given = (feeds as Record<string | number, ModelArray>)[list ? i : port.name];
    l.copy(l, "input", port, given, l.view(memory, port), given as ModelArray);
  });
}

function read(
  l: Loader,
  memory: WebAssembly.Memory,
  ports: readonly Port[],
  into: Readonly<Arrays>,
): Arrays {
  const result: Arrays = {};
  for (const port of ports) {
    const source = l.view(memory, port);
    const given = into[port.name];
    if (given !== undefined) l.copy(l, "output", port, given, given, source);
    result[port.name] = given ?? source.slice();
  }
  return result;
}

/** A running module. */
export interface Engine {
  readonly memory: WebAssembly.Memory;
  readonly init: () => void;
  readonly run: () => void;
  readonly step: (index: number) => void;
  /** What else a model says of itself and can do. */
  readonly fields?: object;
}

/** Compiles the module for one thread. */
async function open(
  l: Loader,
  wasm: Uint8Array,
  parts: Sections,
  { flip, bodies }: Choice,
): Promise<Engine> {
  const bytes = bodies === undefined ? wasm : l.patch(l, wasm, parts, bodies);
  const compiled = await WebAssembly.compile(bytes as Uint8Array<ArrayBuffer>);
  const instance = await WebAssembly.instantiate(compiled);
  const exports = instance.exports as unknown as Exports;
  exports.flip.value = flip;
  return exports;
}

async function load(
  l: Loader,
  wasm: Uint8Array,
  weights?: Uint8Array,
  force?: string,
  options?: ThreadOptions,
): Promise<ModelInstance> {
  const parts = l.sections(l, wasm);
  const description = parts.custom.get("tersor");
  if (description === undefined) throw new Error("this WebAssembly module is not a tersor model");
  const text = new TextDecoder().decode(wasm.subarray(...description));
  const about = JSON.parse(text) as Description;
  let { variant, flip } = l.probe(l, force);
  if (variant === "dot8" && !parts.custom.has("tersor.code.dot8")) variant = "fma";
  if (variant === "fma" && !parts.custom.has("tersor.code.fma")) variant = "base";
  if (variant !== "dot8") flip = 0;
  const choice = { variant, flip, bodies: parts.custom.get(`tersor.code.${variant}`) };
  const engine = await l.open(l, wasm, parts, choice, about, options);
  const { memory, init, run, step, fields } = engine;
  l.place(about, memory, weights);
  init();
  return {
    ...(fields as { threads: number; close(): void }),
    variant,
    memory,
    inputs: about.inputs,
    outputs: about.outputs,
    steps: about.steps,
    step,
    execute: run,
    write(feeds) {
      l.write(l, memory, about.inputs, feeds);
    },
    read(into = {}) {
      return l.read(l, memory, about.outputs, into);
    },
    run(feeds, into = {}) {
      l.write(l, memory, about.inputs, feeds);
      run();
      return l.read(l, memory, about.outputs, into);
    },
  };
}

const LOADER = {
  ...MODULE_BYTES,
  probe,
  place,
  view,
  nameOf,
  copy,
  write,
  read,
  open,
  load,
};

/** With threads: `single` opens a model for one. */
const ALL = { ...LOADER, ...TEAM, single: LOADER.open };

/**
 * Instantiates a module written by `emitModule`. `weights`: the bytes of the weights file when they are
 * beside the module. `force`: the variant to use in place of the best exact one, for tests.
 */
export const instantiateModel = (
  wasm: Uint8Array,
  weights?: Uint8Array,
  force?: string,
  threads?: ThreadOptions,
): Promise<ModelInstance> => load(ALL, wasm, weights, force, threads);

/** The source of an expression whose value is `instantiateModel`; `threads`: able to start some. */
export function loaderSource(threads: boolean): string {
  const all = Object.entries(threads ? ALL : LOADER);
  const parts = all.map(([name, part]) => `${name}: ${part.toString()}`);
  const text = `((l) => (wasm, weights, force, threads) => l.load(l, wasm, weights, force, threads))({
${parts.join(",\n")}
})`;
  const code = text.replace(/^\s*\/\/.*$/gm, "");
  return code.replace(/[ \t]+/g, " ").replace(/\s*\n\s*/g, "\n");
}
