/** @file `tersor compile`: a model as a module, its loader and its types. */
import { gzipSync } from "node:zlib";
import { Argument, Command, Option } from "commander";
import { cleanGraph, compile } from "../src/pipeline.ts";
import { writeArtefact } from "../src/targets/wasm/artefact.ts";
import { writeFiles } from "./files.ts";
import { bytes, table } from "./format.ts";
import { type CommonOptions, makeIo } from "./io.ts";
import { type ModelOptions, openForCommand, withCommon, withModel } from "./options.ts";

interface Options extends CommonOptions, ModelOptions {
  readonly out: string;
  readonly weights: "inline" | "file";
  readonly single?: boolean;
  readonly name: string;
  readonly clean: boolean;
  readonly dryRun?: boolean;
}

export const compileCommand = (): Command =>
  withCommon(
    withModel(
      new Command("compile")
        .description("write a model as a .wasm module with its .js loader and .d.ts types")
        .addArgument(new Argument("<model>", ".onnx or .tflite file"))
        .requiredOption("--out <folder>", "where to write")
        .option("--name <name>", "file name without extension", "model")
        .addOption(
          new Option("--weights <where>", "in the module, or in a .bin file beside it")
            .choices(["inline", "file"])
            .default("inline"),
        )
        .option("--single", "put the module into the .js file")
        .option("--no-clean", "compile the model as imported")
        .option("--dry-run", "say what would be written"),
    ),
  ).action((path: string, options: Options) => compileModel(path, options));

function compileModel(path: string, options: Options): void {
  const io = makeIo(options);
  const { graph } = openForCommand(path, options, io);
  const { program } = compile(options.clean ? cleanGraph(graph) : graph);
  const { files, module } = writeArtefact(program, {
    weights: options.weights,
    inline: options.single === true,
    fileName: options.name,
  });
  const gzip = [...files]
    .filter(([name]) => !name.endsWith(".d.ts"))
    .reduce((n, [, content]) => n + gzipSync(content, { level: 9 }).length, 0);
  const sizes = {
    code: module.codeBytes,
    weights: module.weightsBytes,
    total: module.wasm.length + (module.weights?.length ?? 0),
    gzip,
  };
  const written = options.dryRun
    ? [...files.keys()].map((name) => `${options.out}/${name}`)
    : writeFiles(options.out, files);
  const artefacts = Object.fromEntries(
    [...files.keys()].map((name, i) => [name.slice(options.name.length + 1), written[i]!]),
  );
  io.object({
    model: path,
    dryRun: options.dryRun === true,
    bytes: sizes,
    arenaBytes: program.arenaBytes,
    memoryBytes: program.memoryBytes,
    kernels: program.kernels.length,
    steps: program.steps.length,
    artefacts,
  });
  const rows = [
    ["code", bytes(sizes.code), "module without weights"],
    ["weights", bytes(sizes.weights), options.weights === "file" ? "in the .bin file" : ""],
    ["gzip", bytes(sizes.gzip), "module and loader as sent over the network"],
    ["arena", bytes(program.arenaBytes), "activations and scratch while running"],
  ];
  io.print(table(rows, { width: io.width, right: [1] }));
  for (const file of written) io.print(`${options.dryRun ? "would write" : "wrote"} ${file}`);
  if (!options.dryRun) {
    io.print(`next: import { load } from "./${options.name}.js"; const model = await load();`);
  }
}
