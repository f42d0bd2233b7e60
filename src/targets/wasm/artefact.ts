/**
 * @file Program -> the files a user ships: a module, an ES module that runs it without any dependency,
 * and its types. The JavaScript needs no eval, only 'wasm-unsafe-eval' where a policy is set.
 */
import type { Port, Program } from "../../kernel/program.ts";
import type { DType } from "../../tensor/dtype.ts";
import { loaderSource } from "./loader.ts";
import { emitModule, type ModuleOptions, type WasmModule } from "./module.ts";
import { serve } from "./worker.ts";

export interface ArtefactOptions extends ModuleOptions {
  /** Puts the module into the JavaScript file as base64, for places that can load only one file. */
  readonly inline?: boolean;
  /** File name without extension; default "model". */
  readonly fileName?: string;
}

export interface Artefact {
  /** Contents by file name: `.wasm` (unless inline), `.js`, `.d.ts`, `.bin` (weights beside). */
  readonly files: ReadonlyMap<string, Uint8Array | string>;
  readonly module: WasmModule;
}

const ARRAYS: Readonly<Record<DType, string>> = {
  f32: "Float32Array",
  f64: "Float64Array",
  f16: "Uint16Array",
  bf16: "Uint16Array",
  i8: "Int8Array",
  u8: "Uint8Array",
  i16: "Int16Array",
  u16: "Uint16Array",
  i32: "Int32Array",
  u32: "Uint32Array",
  i64: "BigInt64Array",
  u64: "BigUint64Array",
  bool: "Uint8Array",
};

/** Text that cannot end a block comment. */
const inComment = (text: string): string =>
  text.replace(/\*\//g, "* /").replace(/[\r\n\u2028\u2029]+/g, " ");

/** "i8[1,49,10]{0.08, 83}": dtype, shape and, for one entry, the quantisation. */
function typeText({ type }: Port): string {
  const base = `${type.dtype}[${type.shape.join(",")}]`;
  if (type.quant === undefined) return base;
  const { scale, zeroPoint, axis } = type.quant;
  const entry = axis === null ? `${scale[0]}, ${zeroPoint[0]}` : `per axis ${axis}`;
  return `${base}{${entry}}`;
}

function base64(bytes: Uint8Array): string {
  let binary = "";
  for (let i = 0; i < bytes.length; i += 0x8000) {
    binary += String.fromCharCode(...bytes.subarray(i, i + 0x8000));
  }
  return btoa(binary);
}

const describePorts = (title: string, ports: readonly Port[]): string =>
  ports.map((p) => ` * ${title} ${inComment(JSON.stringify(p.name))}: ${typeText(p)}\n`).join("");

function javaScript(
  program: Program,
  module: WasmModule,
  fileName: string,
  inline: boolean,
  threads: boolean,
): string {
  const url = (extension: string): string =>
    `new URL(${JSON.stringify(`./${fileName}.${extension}`)}, import.meta.url)`;
  const wasm = inline
    ? `Uint8Array.from(atob("${base64(module.wasm)}"), (c) => c.charCodeAt(0))`
    : url("wasm");
  const weights = module.weights === undefined ? "undefined" : url("bin");
  return `/**
 * ${inComment(program.name)}, compiled by tersor.
${describePorts("input", program.inputs)}${describePorts("output", program.outputs)} */
const instantiate = ${loaderSource(threads)};

async function bytesOf(source) {
  source = await source;
  if (source === undefined || source instanceof Uint8Array) return source;
  if (source instanceof ArrayBuffer) return new Uint8Array(source);
  if (ArrayBuffer.isView(source)) {
    return new Uint8Array(source.buffer, source.byteOffset, source.byteLength);
  }
  if (typeof source.arrayBuffer === "function") {
    if (source.ok === false) throw new Error(source.url + ": HTTP status " + source.status);
    return new Uint8Array(await source.arrayBuffer());
  }
  const url = new URL(source, import.meta.url);
  if (url.protocol === "file:" && globalThis.process?.versions?.node !== undefined) {
    const fs = ["node:fs", "promises"].join("/");
    const { readFile } = await import(/* webpackIgnore: true */ /* @vite-ignore */ fs);
    return readFile(url);
  }
  return bytesOf(fetch(url));
}

${threads ? workerPart(fileName) : ""}
export async function load(source = ${wasm}, weights = ${weights}${threads ? ", options = {}" : ""}) {
  const [bytes, rest] = await Promise.all([bytesOf(source), bytesOf(weights)]);
${threads ? THREADED_LOAD : PLAIN_LOAD}}
`;
}

const PLAIN_LOAD = `  const { variant, memory, inputs, outputs, run } = await instantiate(bytes, rest);
  return { variant, memory, inputs, outputs, run };
`;

const THREADED_LOAD = `  const { write, read, step, execute, steps, ...model } = await instantiate(
    bytes, rest, undefined, { threads: options.threads, start: startWorker },
  );
  return model;
`;

/** Workers of browsers load the artefact's own file under a name of their own, and do as they are told. */
const workerPart = (fileName: string): string => `
const WORKER = "tersor worker";

function startWorker() {
  return new Worker(new URL(${JSON.stringify(`./${fileName}.js`)}, import.meta.url), {
    type: "module",
    name: "tersor worker",
  });
}

if (globalThis.name === WORKER && typeof document === "undefined") {
  const listen = (e) => (${serve.toString().replace(/\s*\n\s*/g, "\n")})(e.data, (m) => postMessage(m));
  addEventListener("message", listen, { once: true });
}
`;

function fields(ports: readonly Port[], clamped: boolean): string {
  return ports
    .map((p) => {
      const array = ARRAYS[p.type.dtype];
      const also = clamped && array === "Uint8Array" ? " | Uint8ClampedArray" : "";
      const text = inComment(typeText(p));
      return `  /** ${text} */\n  ${JSON.stringify(p.name)}: ${array}${also};\n`;
    })
    .join("");
}

const THREAD_FIELDS = `  /** How many threads compute; 1 where there can be no more, \`note\` then says why. */
  readonly threads: number;
  readonly note?: string;
  /** Ends the other threads; the model cannot be used any more. */
  close(): void;
`;

const LOAD_OPTIONS = `export interface LoadOptions {
  /** Threads to use, the calling one included; default 1. */
  readonly threads?: number;
}

`;

function declarations(program: Program, module: WasmModule, threads: boolean): string {
  const weights = "\n  weights?: Source | Promise<Source>,";
  const beside = module.weights === undefined ? threads && "\n  weights?: undefined," : weights;
  return `/** Inputs by name. f16 and bf16 are passed as their bits, bool as 0 and 1. */
export interface Inputs {
${fields(program.inputs, true)}}

export interface Outputs {
${fields(program.outputs, false)}}

export interface Port {
  readonly name: string;
  readonly dtype: string;
  readonly shape: readonly number[];
  /** Number of elements. */
  readonly length: number;
  /** Present: elements stand for scale * (q - zeroPoint), per tensor or per index of axis. */
  readonly quant?: {
    readonly scale: readonly number[];
    readonly zeroPoint: readonly number[];
    readonly axis: number | null;
  };
}

export interface Model {
  /** Which instructions the engine allowed. */
  readonly variant: "base" | "fma" | "dot8";
${threads ? THREAD_FIELDS : ""}  readonly memory: WebAssembly.Memory;
  readonly inputs: readonly Port[];
  readonly outputs: readonly Port[];
  /**
   * One inference. Results are new arrays; pass arrays in \`into\` to have those filled and returned.
   * Throws a TypeError that names the input when an array is missing or of the wrong type or length.
   */
  run(inputs: Inputs, into?: Partial<Outputs>): Outputs;
}

/** A place or content: URL, fetched Response, or bytes. */
export type Source = string | URL | Response | ArrayBuffer | ArrayBufferView;

${threads ? LOAD_OPTIONS : ""}/** Loads the model; without arguments from the files beside this one. */
export function load(
  source?: Source | Promise<Source>,${beside || ""}${threads ? "\n  options?: LoadOptions," : ""}
): Promise<Model>;
`;
}

/** The files of a self-contained model. The same program and options give the same bytes. */
export function writeArtefact(program: Program, options: ArtefactOptions = {}): Artefact {
  const { inline = false, fileName = "model", ...moduleOptions } = options;
  const module = emitModule(program, moduleOptions);
  const threads = (moduleOptions.threads ?? false) !== false;
  const files = new Map<string, Uint8Array | string>();
  if (!inline) files.set(`${fileName}.wasm`, module.wasm);
  files.set(`${fileName}.js`, javaScript(program, module, fileName, inline, threads));
  files.set(`${fileName}.d.ts`, declarations(program, module, threads));
  if (module.weights !== undefined) files.set(`${fileName}.bin`, module.weights);
  return { files, module };
}
