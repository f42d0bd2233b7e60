/**
 * @file The loader's part for several threads: shared memory, the module for threads, workers. Written
 * under the rules of loader.ts, whose functions these join; artefacts without threads go without them.
 * Word numbers are those of WORDS in threads.ts, in i32.
 */
import type { Choice, Description, Engine, Exports, Loader, ThreadOptions } from "./loader.ts";
import type { Cursor, Range, Sections } from "./module-bytes.ts";
import type { ThreadPlaces } from "./threads.ts";
import { serve, type WorkerReply, type WorkerTask } from "./worker.ts";

/** Starts a worker from a file that passes its first message to `serve` (worker.ts). */
export type StartWorker = () => Worker;

/** A thread as both Node and browsers have it. */
interface Thread {
  end(): void;
  /** No longer keeps the process alive. */
  rest(): void;
}

interface Events {
  heard(reply: WorkerReply): void;
  failed(why: string): void;
}

/** What the leader knows of its team. */
interface Crew {
  readonly memory: WebAssembly.Memory;
  readonly control: number;
  readonly words: Int32Array;
  readonly threads: Thread[];
  closed: boolean;
  failure: string;
}

/** Why this model cannot have threads here, or "". */
function obstacle({ custom }: Sections): string {
  if (!custom.has("tersor.threads")) {
    return "the model has no code for threads: it is too small, or was compiled without them";
  }
  const isolated = (globalThis as { crossOriginIsolated?: boolean }).crossOriginIsolated;
  if (typeof SharedArrayBuffer === "undefined" || isolated === false) {
    return (
      "the page is not cross-origin isolated: its server has to send the headers " +
      "Cross-Origin-Opener-Policy: same-origin and Cross-Origin-Embedder-Policy: require-corp"
    );
  }
  return "";
}

/** The sections and bodies for threads: sections by id, and where the bodies are. */
function threadParts(
  l: Loader,
  wasm: Uint8Array,
  [begin, end]: Range,
): { readonly sections: Map<number, Uint8Array>; readonly bodies: Range } {
  const c: Cursor = { bytes: wasm, at: begin };
  const sections = new Map<number, Uint8Array>();
  for (let n = l.leb(c); n > 0; n--) {
    const start = c.at++;
    l.sized(l, c);
    sections.set(wasm[start] as number, wasm.subarray(start, c.at));
  }
  // Memory is imported, and its contents are put there once for all threads.
  for (const id of [5, 11]) sections.set(id, new Uint8Array(0));
  return { sections, bodies: [c.at, end] };
}

/** What is put in place of parts of a module. */
interface Changes {
  /** Where lists of bodies are: count, then (index, body)...; indices past the last add functions. */
  readonly bodies: readonly Range[];
  /** Sections by id; an empty one is left out. */
  readonly sections: ReadonlyMap<number, Uint8Array>;
}

/** Unsigned LEB128 of a number. */
function unsigned(value: number): number[] {
  const out: number[] = [];
  for (let rest = value; ; rest >>>= 7) {
    out.push(rest < 128 ? rest : (rest & 127) | 128);
    if (rest < 128) return out;
  }
}

/** The module with other function bodies and sections; custom sections are left out. */
function rebuild(
  l: Loader,
  wasm: Uint8Array,
  { kept, code }: Sections,
  { bodies, sections }: Changes,
): Uint8Array<ArrayBuffer> {
  const changed = new Map<number, Uint8Array>();
  for (const range of bodies) {
    const c = { bytes: wasm, at: range[0] };
    for (let n = l.leb(c); n > 0; n--) changed.set(l.leb(c), l.sized(l, c));
  }
  const c = { bytes: wasm, at: code[0] + 1 };
  l.leb(c);
  const parts: ArrayLike<number>[] = [];
  for (let i = 0, count = l.leb(c); i < count || changed.has(i); i++) {
    const original = i < count ? l.sized(l, c) : undefined;
    parts.push(changed.get(i) ?? (original as Uint8Array));
  }
  parts.unshift(l.unsigned(parts.length));
  const size = parts.reduce((sum, p) => sum + p.length, 0);
  parts.unshift([10], l.unsigned(size));
  const whole = new Map(sections).set(10, l.join(parts));
  for (const [begin, end] of kept) {
    const id = wasm[begin] as number;
    if (!whole.has(id)) whole.set(id, wasm.subarray(begin, end));
  }
  const ids = [...whole.keys()].sort((a, b) => a - b);
  return l.join([wasm.subarray(0, 8), ...ids.map((id) => whole.get(id) as Uint8Array)]);
}

/** Memory for the model and so many threads. */
function share({ scratch, scratchBytes }: ThreadPlaces, threads: number): WebAssembly.Memory {
  const pages = Math.ceil((scratch + threads * scratchBytes) / 65536);
  return new WebAssembly.Memory({ initial: pages, maximum: pages, shared: true });
}

/** Does what an engine does with active data segments. */
function fill(
  l: Loader,
  wasm: Uint8Array,
  data: Range | undefined,
  memory: WebAssembly.Memory,
): void {
  if (data === undefined) return;
  const c: Cursor = { bytes: wasm, at: data[0] + 1 };
  l.leb(c);
  const to = new Uint8Array(memory.buffer);
  for (let n = l.leb(c); n > 0; n--) {
    c.at += 2;
    const offset = l.leb(c) >>> 0;
    c.at++;
    const size = l.leb(c);
    to.set(wasm.subarray(c.at, c.at + size), offset);
    c.at += size;
  }
}

/** Starts one thread: in Node from text, in a browser by `start`. */
async function hire(
  l: Loader,
  task: WorkerTask,
  events: Events,
  start: StartWorker | undefined,
): Promise<Thread> {
  if (globalThis.process?.versions?.node !== undefined) {
    const name = ["node:worker", "threads"].join("_");
    const node = (await import(/* webpackIgnore: true */ /* @vite-ignore */ name)) as {
      Worker: new (code: string, options: object) => NodeWorker;
    };
    const run = `(${l.serve.toString()})(w.workerData, (m) => w.parentPort.postMessage(m))`;
    const code = `import(${JSON.stringify(name)}).then((w) => ${run})`;
    const worker = new node.Worker(code, { eval: true, workerData: task });
    worker.on("message", (reply: WorkerReply) => events.heard(reply));
    worker.on("error", (error: Error) => events.failed(String(error)));
    worker.on("exit", (status: number) => events.failed(`it ended with code ${status}`));
    return {
      end() {
        worker.terminate();
      },
      rest() {
        worker.unref();
      },
    };
  }
  const code = `onmessage = (e) => (${l.serve.toString()})(e.data, (m) => postMessage(m))`;
  const worker =
    start === undefined
      ? new Worker(URL.createObjectURL(new Blob([code], { type: "text/javascript" })))
      : start();
  worker.addEventListener("message", (e: MessageEvent<WorkerReply>) => events.heard(e.data));
  worker.addEventListener("error", (e) => {
    e.preventDefault();
    events.failed(e.message || "its file did not load");
  });
  worker.addEventListener("messageerror", () => events.failed("it could not read the module"));
  worker.postMessage(task);
  return {
    end() {
      worker.terminate();
    },
    rest() {},
  };
}

/** Sets globals of this thread's instance. */
function adjust(exports: Exports, values: Readonly<Record<string, number>>): void {
  for (const name of Object.keys(values)) {
    (exports as unknown as Record<string, WebAssembly.Global>)[name]!.value = values[name];
  }
}

/** Ends all other threads. */
function disband(crew: Crew): void {
  crew.closed = true;
  Atomics.store(crew.words, 1, -1);
  Atomics.add(crew.words, 0, 1);
  Atomics.notify(crew.words, 0);
  for (const thread of crew.threads) thread.end();
}

/** Runs a function of the module; says what went wrong in whichever thread it did. */
function guarded<T>(crew: Crew, call: () => T): T {
  if (crew.closed) throw new Error("the model is closed");
  if (crew.failure === "") {
    try {
      return call();
    } catch (error) {
      const size = Atomics.load(crew.words, 65);
      const text = new Uint8Array(crew.memory.buffer, crew.control + 264, size).slice();
      const own = String(error);
      const mine = own.includes("unreachable") ? "it does not answer" : own;
      crew.failure = size > 0 ? new TextDecoder().decode(text) : mine;
    }
  }
  throw new Error(`a thread of the model failed: ${crew.failure}; load the model again`);
}

/** Resolves when all other threads wait for work. */
function assemble(
  l: Loader,
  crew: Crew,
  tasks: readonly WorkerTask[],
  start: StartWorker | undefined,
): Promise<void> {
  return new Promise((done, fail) => {
    let waiting = tasks.length;
    const timer = setTimeout(() => fail(new Error("they do not answer")), 20000);
    const events: Events = {
      heard({ error }) {
        if (error !== undefined) this.failed(error);
        else if (--waiting === 0) {
          clearTimeout(timer);
          done();
        }
      },
      failed(why) {
        if (crew.closed) return;
        if (crew.failure === "") crew.failure = why;
        clearTimeout(timer);
        fail(new Error(why));
      },
    };
    for (const task of tasks) {
      l.hire(l, task, events, start).then((thread) => {
        crew.threads.push(thread);
        if (crew.closed) thread.end();
      }, fail);
    }
  });
}

/** Starts the other threads of a module; gives them up when one does not start. */
async function gather(
  l: Loader,
  crew: Crew,
  exports: Exports,
  task: WorkerTask,
  { threads = 1, start }: ThreadOptions,
  { scratch, scratchBytes }: ThreadPlaces,
): Promise<string> {
  let mayWait = 1;
  try {
    Atomics.wait(crew.words, 0, 1, 0);
  } catch {
    mayWait = 0;
  }
  l.adjust(exports, { ...task.globals, threads, scratch, mayWait });
  const tasks = Array.from({ length: threads - 1 }, (_, i) => {
    const own = { thread: i + 1, scratch: scratch + (i + 1) * scratchBytes };
    return { ...task, globals: { ...task.globals, threads, ...own } };
  });
  try {
    await l.assemble(l, crew, tasks, start);
  } catch (error) {
    l.disband(crew);
    l.adjust(exports, { threads: 1 });
    return `workers could not be started: ${error instanceof Error ? error.message : error}`;
  }
  for (const thread of crew.threads) thread.rest();
  return "";
}

/** Compiles the module for the threads asked for, as far as there can be so many. */
async function open(
  l: Loader,
  wasm: Uint8Array,
  parts: Sections,
  choice: Choice,
  about: Description,
  options: ThreadOptions = {},
): Promise<Engine> {
  const { threads = 1 } = options;
  if (!(Number.isInteger(threads) && threads > 0 && threads <= 256)) {
    throw new TypeError(`threads: expected an integer from 1 to 256, got ${threads}`);
  }
  const note = threads === 1 ? "" : l.obstacle(parts);
  if (threads === 1 || note !== "") {
    const single = await l.single(l, wasm, parts, choice);
    const { memory, init, run, step } = single;
    return { memory, init, run, step, fields: { threads: 1, ...(note && { note }), close() {} } };
  }
  const places = about.threads!;
  const { control } = places;
  const memory = l.share(places, threads);
  l.fill(l, wasm, parts.data, memory);
  const module = await l.compile(l, wasm, parts, choice);
  const instance = await WebAssembly.instantiate(module, { tersor: { memory } });
  const exports = instance.exports as unknown as Exports;
  const words = new Int32Array(memory.buffer, control, 128);
  const crew: Crew = { memory, control, words, threads: [], closed: false, failure: "" };
  const task = { module, memory, control, globals: { flip: choice.flip } };
  const why = await l.gather(l, crew, exports, task, options, places);
  if (why !== "") return { ...exports, fields: { threads: 1, note: why, close() {} } };
  return {
    memory,
    init() {
      l.guarded(crew, exports.init);
    },
    run() {
      l.guarded(crew, exports.run);
    },
    step(index) {
      l.guarded(crew, () => exports.step(index));
    },
    fields: {
      threads,
      close() {
        l.disband(crew);
      },
    },
  };
}

/** The module for several threads, in the variant chosen. */
function compile(
  l: Loader,
  wasm: Uint8Array,
  parts: Sections,
  { bodies }: Choice,
): Promise<WebAssembly.Module> {
  const own = l.threadParts(l, wasm, parts.custom.get("tersor.threads")!);
  const changes = {
    bodies: bodies === undefined ? [own.bodies] : [bodies, own.bodies],
    sections: own.sections,
  };
  return WebAssembly.compile(l.rebuild(l, wasm, parts, changes));
}

interface NodeWorker {
  on(event: "message" | "error" | "exit", listener: (x: never) => void): void;
  terminate(): unknown;
  unref(): void;
}

export const TEAM = {
  ...{
    serve,
    obstacle,
    threadParts,
    unsigned,
    rebuild,
    share,
    fill,
    hire,
    adjust,
    disband,
    guarded,
  },
  ...{ assemble, gather, compile, open },
};
