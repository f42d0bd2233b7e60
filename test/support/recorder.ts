/** @file What a command says when it runs in the test's process. */
import type { Io } from "../../cli/io.ts";

export interface Recorder {
  readonly io: Io;
  readonly printed: () => string;
  readonly notes: () => string;
  readonly objects: readonly object[];
}

/** Streams that are kept. */
export function recorder(): Recorder {
  const [printed, notes, objects]: [string[], string[], object[]] = [[], [], []];
  const io: Io = {
    ...{ json: false, verbose: false, width: 100 },
    print: (text) => void printed.push(text),
    note: (text) => void notes.push(text),
    object: (value) => void objects.push(value),
    progress: () => {},
  };
  return { io, printed: () => printed.join("\n"), notes: () => notes.join("\n"), objects };
}
