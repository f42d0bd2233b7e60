/** @file `tersor substitute`: dense convolutions of a model become grouped, depthwise-separable or bottleneck ones. */
import { Argument, Command, Option } from "commander";
import { unpackWeights } from "../src/compress/quantize/index.ts";
import {
  type Between,
  type Substituted,
  substitute,
  substituteType,
} from "../src/compress/substitute/index.ts";
import { macsOf, parameterCount } from "../src/graph/count.ts";
import type { Graph } from "../src/graph/graph.ts";
import { compile, toOnnx, trainableGraph } from "../src/pipeline.ts";
import { writeArtefact } from "../src/targets/wasm/artefact.ts";
import { UserError } from "../src/util/errors.ts";
import { writeFiles } from "./files.ts";
import { count, table } from "./format.ts";
import { type CommonOptions, type Io, makeIo } from "./io.ts";
import { type ModelOptions, openForCommand, withCommon, withModel } from "./options.ts";
import { fitsPattern } from "./train-setup.ts";

interface Options extends CommonOptions, ModelOptions {
  readonly block: string;
  readonly layers?: string;
  readonly between: Between;
  readonly out: string;
}

export const substituteCommand = (): Command =>
  withCommon(
    withModel(
      new Command("substitute")
        .description("replace dense convolutions by cheaper ones with the nearest weights")
        .addArgument(new Argument("<model>", ".onnx or .tflite file"))
        .requiredOption("--block <name>", "G(4), G(N/8), DW, DW(2), GC(4), B(2), BG(2,4), BG(2,M)")
        .option(
          "--layers <pattern>",
          "which convolutions, * stands for anything; default: k x k, k > 1, but the first",
        )
        .addOption(
          new Option("--between <what>", "what stands between the convolutions")
            .choices(["nothing", "norm", "relu"])
            .default("nothing"),
        )
        .requiredOption("--out <folder>", "where to write"),
    ),
  ).action((path: string, options: Options) => run(path, options));

function run(path: string, options: Options): void {
  const io = makeIo(options);
  const { block, layers: pattern, between, out } = options;
  substituteType(block);
  const graph = unpackWeights(trainableGraph(openForCommand(path, options, io).graph));
  let fitted = false;
  const layers = (name: string): boolean => {
    const fits = fitsPattern(pattern!, name);
    fitted ||= fits;
    return fits;
  };
  const result = replaced(
    graph,
    { block, between, ...(pattern !== undefined && { layers }) },
    () => (pattern === undefined || fitted ? null : pattern),
  );
  const files = new Map<string, Uint8Array | string>([["model.onnx", toOnnx(result.graph)]]);
  const { program } = compile(result.graph);
  for (const [name, content] of writeArtefact(program).files) files.set(name, content);
  const written = writeFiles(out, files);
  const params = [parameterCount(graph), parameterCount(result.graph)] as const;
  const macs = [macsOf(graph), macsOf(result.graph)] as const;
  const onnx = (files.get("model.onnx") as Uint8Array).length;
  const { layers: changed, kept } = result;
  io.object({
    ...{ model: path, block, between, params, macs, onnxBytes: onnx },
    ...{ layers: changed, kept, written },
  });
  io.print(describe(result, params, macs, io));
  for (const file of written) io.print(`wrote ${file}`);
  io.print(
    "next: tersor train with the original as teacher: loss: { kind: 'distillation', teacher }",
  );
}

/** The substitution; a pattern that fits no layer is named. */
function replaced(
  graph: Graph,
  options: Parameters<typeof substitute>[1],
  misses: () => string | null,
): Substituted {
  try {
    return substitute(graph, options);
  } catch (error) {
    const pattern = misses();
    if (!(error instanceof UserError) || pattern === null) throw error;
    throw new UserError("E_ARGUMENT", `no dense convolution fits '${pattern}'`, {
      where: "--layers",
      hint: "tersor inspect lists the layers; * stands for anything",
    });
  }
}

const pair = (x: readonly [number, number]): string => `${count(x[0])} > ${count(x[1])}`;

function describe(
  { layers, kept }: Substituted,
  params: readonly [number, number],
  macs: readonly [number, number],
  io: Io,
): string {
  const rows = layers.map(({ name, block, before, after, error }) => [
    ...[name, block, `${(100 * error).toFixed(1)} %`],
    ...[pair([before.params, after.params]), pair([before.macs, after.macs])],
  ]);
  rows.push(...kept.map(({ name, reason }) => [name, "", "", reason, ""]));
  const head = ["layer", "block", "error", "parameters", "MACs"];
  const totals = ["all", "", "", pair(params), pair(macs)];
  return table([head, ...rows, totals], { width: io.width, right: [2, 3, 4] });
}
