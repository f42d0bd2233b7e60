/** @file What the command line prints and where: results on stdout, everything else on stderr. */

/** Flags of every command. */
export interface CommonOptions {
  readonly json?: boolean;
  readonly verbose?: boolean;
  readonly quiet?: boolean;
  readonly seed?: number;
}

export const seedOf = (options: CommonOptions): number => options.seed ?? 1;

export interface Io {
  readonly json: boolean;
  readonly verbose: boolean;
  /** Columns a line may take. */
  readonly width: number;
  /** Text for people; nothing with --json. */
  print(text: string): void;
  /** The one object of --json; nothing without. */
  object(value: object): void;
  /** A remark; nothing with --quiet. */
  note(text: string): void;
  /** Replaces the progress line on a terminal; elsewhere only with --verbose. */
  progress(text: string): void;
}

/** The streams as the flags ask for them. */
export function makeIo(options: CommonOptions): Io {
  const { json = false, verbose = false, quiet = false } = options;
  const { stdout, stderr } = process;
  const live = stderr.isTTY === true && !quiet;
  const width = Math.max(40, Math.min(stdout.columns || 80, 120));
  let shown = 0;
  const clear = (): void => {
    if (shown > 0) stderr.write(`\r${" ".repeat(shown)}\r`);
    shown = 0;
  };
  return {
    json,
    verbose,
    width,
    print: (text) => {
      clear();
      if (!json) stdout.write(text.endsWith("\n") ? text : `${text}\n`);
    },
    object: (value) => {
      clear();
      if (json) stdout.write(`${JSON.stringify(value)}\n`);
    },
    note: (text) => {
      clear();
      if (!quiet) stderr.write(`${text}\n`);
    },
    progress: (text) => {
      if (live) {
        clear();
        const line = text.slice(0, (stderr.columns || 80) - 1);
        stderr.write(line);
        shown = line.length;
      } else if (verbose) stderr.write(`${text}\n`);
    },
  };
}
