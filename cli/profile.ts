/** @file `tersor profile`: measures every way to compute the layers of models on this machine. */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { Argument, Command } from "commander";
import { cleanGraph, targetGraph } from "../src/pipeline.ts";
import { measureCandidates } from "../src/profile/measure.ts";
import { coefficientsFor } from "../src/select/costs.ts";
import {
  type DeviceProfile,
  deviceKey,
  mergeEntries,
  type ProfileEntry,
  parseProfile,
  printProfile,
} from "../src/select/profile.ts";
import { UserError } from "../src/util/errors.ts";
import { writeFiles } from "./files.ts";
import { plural } from "./format.ts";
import { type CommonOptions, type Io, makeIo } from "./io.ts";
import { type ModelOptions, openForCommand, realNumber, withCommon, withModel } from "./options.ts";
import { profilePath, split, thisDevice } from "./selection-options.ts";
import { openTarget, type TargetName, withTarget } from "./target.ts";

interface Options extends CommonOptions, ModelOptions {
  readonly target: TargetName;
  readonly out?: string;
  readonly seconds: number;
  readonly clean: boolean;
}

export const profileCommand = (): Command =>
  withCommon(
    withModel(
      withTarget(
        new Command("profile")
          .description("measure every way to compute the layers of models, for --profile auto")
          .addArgument(new Argument("<models...>", ".onnx or .tflite files"))
          .option("--out <file>", "where to keep the times; default: $TERSOR_PROFILE or your cache")
          .option("--seconds <n>", "time for each plan of a model", realNumber(0.01), 1)
          .option("--no-clean", "measure the models as imported"),
      ),
    ),
  ).action((paths: string[], options: Options) => profile(paths, options));

async function profile(paths: readonly string[], options: Options): Promise<void> {
  const io = makeIo(options);
  const target = await openTarget(options.target);
  const { caps } = target;
  const found: ProfileEntry[] = [];
  for (const path of paths) {
    const { graph } = openForCommand(path, options, io);
    const measured = await measureCandidates(
      targetGraph(options.clean ? cleanGraph(graph) : graph),
      {
        caps,
        coefficients: coefficientsFor(caps.name),
        budgetMs: 1000 * options.seconds,
        progress: (turn, turns) => io.progress(`${path}: measuring ${turn}/${turns}`),
        open: target.open,
      },
    );
    io.print(`${path}: ${plural(measured.length, "candidate")} measured`);
    found.push(...measured);
  }
  const device = thisDevice(caps.name, target.compiler);
  const { folder, name } = options.out === undefined ? profilePath(device) : split(options.out);
  const before = readBefore(join(folder, name), { device, entries: [] }, io);
  const entries = mergeEntries(before.entries, found);
  const files = new Map([[name, printProfile({ device, entries })]]);
  const [path] = writeFiles(folder, files);
  io.object({ device, measured: found.length, entries: entries.length, profile: path });
  io.print(`${plural(entries.length, "time")} in ${path}`);
  io.print(`next: tersor compile MODEL --out FOLDER --explain --profile ${options.out ?? "auto"}`);
}

/** What the file holds for this device already. */
function readBefore(path: string, empty: DeviceProfile, io: Io): DeviceProfile {
  if (!existsSync(path)) return empty;
  try {
    const before = parseProfile(readFileSync(path, "utf8"), path);
    if (deviceKey(before.device) === deviceKey(empty.device)) return before;
    io.note(`note: ${path} was measured on ${deviceKey(before.device)} and is replaced`);
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    io.note(`note: ${path} is replaced: ${error.message}`);
  }
  return empty;
}
