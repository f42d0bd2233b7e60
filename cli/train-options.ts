/** @file Flags of commands that train beside a configuration file. */
import { type Command, Option } from "commander";
import { realNumber, wholeNumber } from "./options.ts";

/** What `withTraining` adds to the flags of `tersor train`. */
export interface TrainingFlags {
  readonly data?: string;
  readonly evalData?: string;
  readonly config?: string;
  readonly batch?: number;
  readonly rate?: number;
}

/** Data, how long and how fast, and what trains. */
export const withTraining = (command: Command): Command =>
  command
    .option("--data <path>", "training data, as for tersor train")
    .option("--eval-data <path>", "data to evaluate on")
    .option("--config <file>", "data, optimizer, schedule, epochs: .ts, .mjs, .js or .json")
    .option("--epochs <n>", "instead of the configuration's, default 10", realNumber(0))
    .option("--batch <n>", "rows of a batch, default 128", wholeNumber(1))
    .option("--rate <x>", "highest learning rate, in one cycle", realNumber(0))
    .option("--threads <n>", "threads that train; results do not depend on it", wholeNumber(1))
    .addOption(
      new Option(
        "--engine <name>",
        "what trains: WebAssembly, or C compiled for this machine",
      ).choices(["wasm", "native"]),
    );

/** Where to write, and whether to go on. */
export const withRun = (command: Command): Command =>
  command
    .option("--resume", "refuse to start at the beginning")
    .option("--fresh", "remove checkpoints and logs, start at the beginning")
    .requiredOption("--out <folder>", "where to write");
