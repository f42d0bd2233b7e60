/** @file `tersor train`: trains a model as a configuration file says, and goes on where it was stopped. */
import { Argument, Command, Option } from "commander";
import { makeIo } from "./io.ts";
import { realNumber, wholeNumber, withCommon } from "./options.ts";
import type { TrainFlags } from "./train-config.ts";
import { runTraining } from "./train-run.ts";

const NOTES = `
In the folder of results: checkpoints/, log.jsonl, plot.html (reloads itself), and at
the end model.onnx, model.wasm, model.js and model.d.ts. The same command again goes
on from the last checkpoint, to the same bits; Ctrl-C saves one first.`;

export const trainCommand = (): Command =>
  withCommon(
    new Command("train")
      .description("train a model as a configuration file says")
      .addArgument(new Argument("<config>", ".ts, .mjs, .js or .json file"))
      .option("--epochs <n>", "instead of the configuration's", realNumber(0))
      .option("--threads <n>", "threads that compute; results do not depend on it", wholeNumber(1))
      .addOption(
        new Option("--engine <name>", "WebAssembly, or C compiled for this machine").choices([
          "wasm",
          "native",
        ]),
      )
      .option("--out <folder>", "where to write")
      .option("--resume", "refuse to start at the beginning")
      .option("--fresh", "remove the folder's checkpoints and log, start at the beginning")
      .addHelpText("after", NOTES),
  ).action((path: string, flags: TrainFlags) => runTraining(path, flags, makeIo(flags)));
