/**
 * @file What a worker thread of a model does. Refers to nothing outside: its source is pasted into
 * artefacts and given to workers as text. Word numbers are those of WORDS in threads.ts, in i32.
 */

/** What the leader tells a worker. */
export interface WorkerTask {
  readonly module: WebAssembly.Module;
  readonly memory: WebAssembly.Memory;
  /** Byte offset of the words threads agree by. */
  readonly control: number;
  /** Values of the module's globals in this thread. */
  readonly globals: Readonly<Record<string, number>>;
}

/** `ready` once the thread waits for jobs; `error` when it failed. */
export interface WorkerReply {
  readonly error?: string;
}

/** Runs the model's share of one thread until the leader ends it. */
export async function serve(
  { module, memory, control, globals }: WorkerTask,
  reply: (message: WorkerReply) => void,
): Promise<void> {
  try {
    const { exports } = await WebAssembly.instantiate(module, { tersor: { memory } });
    for (const name of Object.keys(globals)) {
      (exports[name] as WebAssembly.Global).value = globals[name];
    }
    reply({});
    (exports["work"] as () => void)();
  } catch (error) {
    const text = new TextEncoder().encode(String(error)).subarray(0, 700);
    new Uint8Array(memory.buffer).set(text, control + 264);
    const words = new Int32Array(memory.buffer, control);
    Atomics.store(words, 65, text.length);
    Atomics.notify(words, 32);
    reply({ error: String(error) });
  }
}
