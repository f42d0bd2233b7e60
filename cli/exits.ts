/** @file `tersor exits`: early exits for a trained model: branches, training, the threshold, what it gives. */
import { Argument, Command, InvalidArgumentError, Option } from "commander";
import { exits } from "./exits-run.ts";
import type { ExitsFlags } from "./exits-settings.ts";
import { makeIo } from "./io.ts";
import { realNumber, wholeNumber, withCommon, withModel } from "./options.ts";
import { withRun, withTraining } from "./train-options.ts";

const NOTES = `
Without --at, exits branch off the last output of each resolution but the last.
Part of the training data is held apart: the threshold is chosen by it, and the
evaluation data only judges. --config: data, optimizer, schedule and so on in the form
of tersor train. The same command again goes on where it was stopped.`;

const names = (text: string): string[] => text.split(",").map((s) => s.trim());

/** A number above 0 and below `below`. */
const share =
  (below: number) =>
  (text: string): number => {
    const n = Number(text);
    if (text.trim() !== "" && n > 0 && n < below) return n;
    throw new InvalidArgumentError(`expected a number above 0 and below ${below}`);
  };

const exitFlags = (command: Command): Command =>
  command
    .option("--at <names>", "values or nodes to branch off, separated by commas", names)
    .option("--conv <n>", "3 x 3 convolution of n channels in each branch", wholeNumber(1))
    .addOption(
      new Option("--mode <name>", "exits learn labels, or also from the last head").choices([
        "joint",
        "self",
      ]),
    )
    .option("--freeze", "only the branches learn; the model stays as it is")
    .option("--max-drop <x>", "points the threshold may lose, default 0.5", realNumber(0))
    .option("--mean-macs <x>", "or: mean MACs as a share of all with exits", share(1))
    .option("--threshold <x>", "or: the confidence itself, 0 to 1", realNumber(0))
    .option("--hold <x>", "share of the training data it is chosen by, default 0.1", share(1))
    .addOption(
      new Option("--confidence <what>", "largest probability, or 1 minus entropy").choices([
        "max",
        "entropy",
      ]),
    )
    .option("--int8", "also quantise it to 8 bits");

export const exitsCommand = (): Command =>
  withCommon(
    withRun(
      withModel(
        withTraining(
          exitFlags(
            new Command("exits")
              .description("add early exits to a trained model, train them, choose the threshold")
              .addArgument(new Argument("<model>", ".onnx or .tflite file")),
          ),
        ),
      ),
    ).addHelpText("after", NOTES),
  ).action((path: string, flags: ExitsFlags) => exits(path, flags, makeIo(flags)));
