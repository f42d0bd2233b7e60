#!/usr/bin/env node
/** @file The command line's entry: commands, and what becomes of their errors. */
import { Command, CommanderError } from "commander";
import { VERSION } from "../src/version.ts";
import { benchCommand } from "./bench.ts";
import { compareCommand } from "./compare.ts";
import { compileCommand } from "./compile.ts";
import { distillCommand } from "./distill.ts";
import { describeError, EXIT } from "./errors.ts";
import { exitsCommand } from "./exits.ts";
import { factoriseCommand } from "./factorise.ts";
import { inspectCommand } from "./inspect.ts";
import { optimizeCommand } from "./optimize.ts";
import { profileCommand } from "./profile.ts";
import { pruneCommand } from "./prune.ts";
import { runCommand } from "./run.ts";
import { substituteCommand } from "./substitute.ts";
import { trainCommand } from "./train.ts";

const EXAMPLES = `
Examples:
  tersor inspect model.onnx
  tersor compile model.tflite --out build
  tersor optimize model.onnx --data rows.npz --metric top1 --max-drop 1 --out o

Exit codes: 0 done, 1 wrong input, 2 limits cannot be met, 70 a bug in tersor, 130 stopped.`;

function program(): Command {
  const root = new Command("tersor")
    .description("Makes trained models small and compiles them to self-contained WebAssembly.")
    .version(VERSION)
    .addHelpText("after", EXAMPLES);
  for (const command of [
    inspectCommand(),
    runCommand(),
    compileCommand(),
    optimizeCommand(),
    compareCommand(),
    benchCommand(),
    profileCommand(),
    pruneCommand(),
    factoriseCommand(),
    substituteCommand(),
    trainCommand(),
    distillCommand(),
    exitsCommand(),
  ]) {
    root.addCommand(command);
  }
  for (const command of [root, ...root.commands]) {
    const help = command === root ? "tersor --help" : `tersor ${command.name()} --help`;
    command.exitOverride().configureOutput({
      outputError: (text, write) => write(oneLine(text, help)),
    });
  }
  return root;
}

/** commander's message and suggestion as one line of ours. */
function oneLine(text: string, help: string): string {
  const [message = "", suggestion = ""] = text
    .trim()
    .replace(/^error: /, "")
    .split("\n");
  const guess = suggestion === "" ? "" : ` ${suggestion.replace("(Did", "(did")}`;
  return `tersor: ${message.replace(/\.$/, "")}${guess}; see ${help}\n`;
}

async function main(args: readonly string[]): Promise<number> {
  try {
    if (args.length === 0) {
      process.stdout.write(program().helpInformation());
      process.stdout.write(`${EXAMPLES}\n`);
      return EXIT.user;
    }
    await program().parseAsync(args, { from: "user" });
    return typeof process.exitCode === "number" ? process.exitCode : EXIT.done;
  } catch (error) {
    return report(error, args);
  }
}

/** Shows an error where it belongs; returns the exit code. */
function report(error: unknown, args: readonly string[]): number {
  const shown = describeError(error, args.includes("--verbose"));
  if (shown.text !== "") process.stderr.write(`${shown.text}\n`);
  const help = error instanceof CommanderError && shown.code === EXIT.done;
  if (args.includes("--json") && !help) process.stdout.write(`${JSON.stringify(shown.object)}\n`);
  return shown.code;
}

process.stdout.on("error", (error: NodeJS.ErrnoException) => {
  if (error.code !== "EPIPE") throw error;
  process.exit(EXIT.done);
});
process.on("uncaughtException", (error) => process.exit(report(error, process.argv)));
process.exitCode = await main(process.argv.slice(2));
