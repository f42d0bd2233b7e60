/** @file `tersor prune`: a model with fewer channels or weights, without data. */
import { Argument, Command } from "commander";
import { compile } from "../src/pipeline.ts";
import { WASM } from "../src/primitives/capabilities.ts";
import { type PruneResult, pruneModel } from "../src/prune.ts";
import { writeArtefact } from "../src/targets/wasm/artefact.ts";
import { UserError } from "../src/util/errors.ts";
import { writeFiles } from "./files.ts";
import { bytes, count, ms, pair, table } from "./format.ts";
import { type Io, makeIo, seedOf } from "./io.ts";
import { openForCommand, realNumber, wholeNumber, withCommon, withModel } from "./options.ts";
import {
  amountOf,
  costName,
  METHODS,
  methodOf,
  type PruneFlags,
  perCostOf,
  withDataFlags,
} from "./prune-options.ts";
import { pruneWithData } from "./prune-run.ts";
import { layerTable, storedTable } from "./prune-table.ts";
import { selectionOptions } from "./selection-options.ts";
import { onnxFiles, storedBytes, storedPairs } from "./stored-bytes.ts";

const NOTES = `
With data, --finetune trains the pruned model: checkpoints, log and plot are in the
folder's finetune/. The same command again goes on where it was stopped, to the same
bits; trainings that are finished are not repeated. report.html compares everything.`;

export const pruneCommand = (): Command =>
  withCommon(
    withModel(
      withDataFlags(
        new Command("prune")
          .description("remove channels or weights of a model, with or without data, and write it")
          .addArgument(new Argument("<model>", ".onnx or .tflite file"))
          .requiredOption("--method <name>", METHODS)
          .option(
            "--ratio <x>",
            "share of the channels or weights that goes, 0 to 1",
            realNumber(0),
          )
          .option("--target <what=x>", "macs=50%, bytes=100KB or latency=2ms, for channels")
          .option("--round-to <n>", "keep channels a multiple of this, default 1", wholeNumber(1))
          .option("--max-share <x>", "largest share of a layer's channels that goes", realNumber(0))
          .option(
            "--per-cost [what]",
            "rank by importance per macs, bytes or latency saved",
            costName,
          )
          .option(
            "--profile <file>",
            "times measured by tersor profile; auto: those of this machine",
          )
          .requiredOption("--out <folder>", "where to write"),
      ),
    ),
  )
    .addHelpText("after", NOTES)
    .action((path: string, flags: PruneFlags) => prune(path, flags));

/** Flags that are of use with data only. */
const NEED_DATA = [
  ...["evalData", "finetune", "rounds", "gradual", "srste", "regrow", "sensitivity", "ratios"],
  ...["scratch", "thinner", "int8", "engine", "threads"],
] as const;

async function prune(path: string, flags: PruneFlags): Promise<void> {
  if (flags.data !== undefined || flags.config !== undefined) return pruneWithData(path, flags);
  const needy = NEED_DATA.find((key) => flags[key] !== undefined);
  if (needy === undefined) return pruneWithoutData(path, flags);
  const flag = `--${needy.replace(/[A-Z]/g, (c) => `-${c.toLowerCase()}`)}`;
  throw new UserError("E_ARGUMENT", "it needs data", {
    where: flag,
    hint: "give --data, or a configuration with data.train",
  });
}

function pruneWithoutData(path: string, options: PruneFlags): void {
  const io = makeIo(options);
  const method = methodOf(options.method);
  const { graph } = openForCommand(path, options, io);
  const predict = selectionOptions(
    options.profile === undefined ? {} : { profile: options.profile },
    WASM,
    io,
  );
  const amount = amountOf(options, graph, predict);
  const { roundTo, maxShare } = options;
  const perCost = perCostOf(options, predict);
  const result = pruneModel(graph, {
    method,
    seed: seedOf(options),
    compile: predict,
    ...(amount !== undefined && { amount }),
    ...(roundTo !== undefined && { roundTo }),
    ...(maxShare !== undefined && { maxShare }),
    ...(perCost !== undefined && { perCost }),
  });
  const files = onnxFiles(result.graph, method.kind !== "channels");
  const { program } = compile(result.graph, predict);
  for (const [name, content] of writeArtefact(program).files) files.set(name, content);
  const stored = storedPairs(
    storedBytes(result.original, compile(result.original, predict).program),
    storedBytes(result.graph, program),
  );
  const { raw: onnxBytes, gzip: gzipBytes } = stored[0]!;
  const written = writeFiles(options.out, files);
  const { layers, macs, bytes: weights, predictedMs: times, removed } = result;
  io.object({
    model: path,
    method: options.method,
    removed,
    macs,
    ...{ onnxBytes, gzipBytes, weightBytes: weights },
    predictedMs: times,
    layers,
    stored,
    written,
  });
  io.print(describe(result, io));
  io.print(storedTable(stored, io.width));
  for (const file of written) io.print(`wrote ${file}`);
  io.print("next: fine-tune it with tersor train, or compare it: tersor compare");
}

function describe(
  { layers, macs, bytes: weights, predictedMs: times }: PruneResult,
  { width }: Io,
): string {
  const totals = [
    ["MACs", pair(macs, count)],
    ["weights", pair(weights, bytes)],
    ["predicted", pair(times, ms)],
  ];
  return `${layerTable(layers, width)}\n${table(totals, { width, right: [1] })}`;
}
