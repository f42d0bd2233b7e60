/** @file `tersor factorise`: layers of a trained model as products of smaller ones, without data. */
import { Argument, Command, Option } from "commander";
import {
  type Factorised,
  type FactorisedLayer,
  factorise,
  type LayerChoice,
  layersOf,
  METHODS,
  RANK_FORMS,
  rankRule,
} from "../src/compress/factorise/index.ts";
import { unpackWeights } from "../src/compress/quantize/index.ts";
import { constantBytes, macsOf, parameterCount } from "../src/graph/count.ts";
import type { Graph } from "../src/graph/graph.ts";
import { cleanGraph, trainableGraph } from "../src/pipeline.ts";
import { predictedMs } from "../src/prune.ts";
import { UserError } from "../src/util/errors.ts";
import { writeFiles } from "./files.ts";
import { bytes, count, ms, number, pair, table } from "./format.ts";
import { type CommonOptions, type Io, makeIo } from "./io.ts";
import { type ModelOptions, openForCommand, withCommon, withModel } from "./options.ts";
import { modelFiles } from "./train-results.ts";
import { fitsPattern } from "./train-setup.ts";

interface Options extends CommonOptions, ModelOptions {
  readonly method: string;
  readonly rank: string;
  readonly layers?: readonly string[];
  readonly otherwise?: string;
  readonly stem?: boolean;
  readonly classifier?: boolean;
  readonly always?: boolean;
  readonly out: string;
}

const list = (text: string): string[] => text.split(",").map((s) => s.trim());

const NOTES = `
Layers are float convolutions over two axes without groups, and linear layers; the
first and the last stay unless --stem or --classifier says so. A layer that the
method does not take is factorised by --otherwise.`;

export const factoriseCommand = (): Command =>
  withCommon(
    withModel(
      new Command("factorise")
        .description("replace layers of a trained model by products of smaller ones, without data")
        .addArgument(new Argument("<model>", ".onnx or .tflite file"))
        .addOption(
          new Option("--method <name>", "how").choices(Object.keys(METHODS)).makeOptionMandatory(),
        )
        .requiredOption("--rank <ranks>", RANK_FORMS)
        .option("--layers <patterns>", "only layers of these names; * stands for anything", list)
        .addOption(
          new Option(
            "--otherwise <name>",
            "for layers the method does not take, default svd",
          ).choices([...Object.keys(METHODS), "none"]),
        )
        .option("--stem", "the first layer too")
        .option("--classifier", "the last layer too")
        .option("--always", "also where nothing becomes fewer")
        .requiredOption("--out <folder>", "where to write")
        .addHelpText("after", NOTES),
    ),
  ).action((path: string, options: Options) => run(path, options));

/** The float model with its batch normalisations, so that it can be trained on. */
const floatModel = (graph: Graph): Graph => unpackWeights(trainableGraph(graph));

function run(path: string, options: Options): void {
  const io = makeIo(options);
  const ranks = rankRule(options.rank, "--rank");
  const { method, layers, stem, classifier, always } = options;
  const otherwise = options.otherwise === "none" ? null : options.otherwise;
  const before = floatModel(openForCommand(path, options, io).graph);
  const only =
    layers &&
    namedLayers(before, layers, { ...(stem && { stem }), ...(classifier && { classifier }) });
  const result = factorise(before, {
    ...{ method, ranks },
    ...(only !== undefined && { only }),
    ...(otherwise !== undefined && { otherwise }),
    ...(stem !== undefined && { stem }),
    ...(classifier !== undefined && { classifier }),
    ...(always !== undefined && { always }),
  });
  if (result.layers.length === 0) throw nothingDone(result);
  const totals = totalsOf(before, result.graph);
  const written = writeFiles(options.out, modelFiles(result.graph));
  const { layers: done, kept } = result;
  io.object({ model: path, method, rank: options.rank, layers: done, kept, ...totals, written });
  io.print(describe(result, totals, io));
  for (const file of written) io.print(`wrote ${file}`);
  io.print("next: train it on with tersor train, or let the original teach it: tersor distill");
}

/** Whether a layer fits one of the patterns. Throws UserError when one fits none. */
function namedLayers(
  graph: Graph,
  patterns: readonly string[],
  choice: LayerChoice,
): (name: string) => boolean {
  const names = layersOf(graph, choice).map((l) => l.name);
  const unused = patterns.find((p) => !names.some((n) => fitsPattern(p, n)));
  if (unused === undefined) return (name) => patterns.some((p) => fitsPattern(p, name));
  const some = `${names.slice(0, 12).join(", ")}${names.length > 12 ? ", ..." : ""}`;
  throw new UserError("E_ARGUMENT", `no layer to factorise is named '${unused}'`, {
    where: "--layers",
    hint: names.length === 0 ? "the model has none" : `there are ${some}`,
  });
}

function nothingDone({ kept }: Factorised): UserError {
  const some = kept.slice(0, 3).map((k) => `${k.name}: ${k.reason}`);
  return new UserError("E_UNMET", "no layer became smaller", {
    hint: `${some.join("; ")}; ask for smaller ranks, or --always`,
  });
}

type Pair = readonly [before: number, after: number];

interface Totals {
  readonly parameters: Pair;
  readonly macs: Pair;
  readonly weightBytes: Pair;
  readonly predictedMs: Pair;
}

function totalsOf(before: Graph, after: Graph): Totals {
  const clean = [cleanGraph(before), cleanGraph(after)] as const;
  const both = (of: (g: Graph) => number): Pair => [of(clean[0]), of(clean[1])];
  return {
    parameters: both(parameterCount),
    macs: both(macsOf),
    weightBytes: both(constantBytes),
    predictedMs: both(predictedMs),
  };
}

const rowOf = ({ name, method, ranks, error, before, after }: FactorisedLayer): string[] => [
  name,
  method,
  ranks.join(","),
  number(error),
  pair([before.params, after.params], count),
  pair([before.macs, after.macs], count),
];

function describe({ layers, kept }: Factorised, totals: Totals, io: Io): string {
  const { width } = io;
  const head = ["layer", "method", "ranks", "error", "weights", "MACs"];
  const rows = table([head, ...layers.map(rowOf)], { width, right: [3, 4, 5] });
  const stays = kept.map((k) => [k.name, `stays: ${k.reason}`]);
  const sums = table(
    [
      ["parameters", pair(totals.parameters, count)],
      ["MACs", pair(totals.macs, count)],
      ["bytes", pair(totals.weightBytes, bytes)],
      ["predicted", pair(totals.predictedMs, ms)],
    ],
    { width, right: [1] },
  );
  return [rows, ...(stays.length === 0 ? [] : [table(stays, { width, flexible: 1 })]), sums].join(
    "\n",
  );
}
