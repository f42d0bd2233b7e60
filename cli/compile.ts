/** @file `tersor compile`: a model as a module, its loader and its types, or as C source. */
import { gzipSync } from "node:zlib";
import { Argument, Command, Option } from "commander";
import type { Program } from "../src/kernel/program.ts";
import { findCompiler } from "../src/native/index.ts";
import { cleanGraph, compile } from "../src/pipeline.ts";
import { capsOfCpu, WASM } from "../src/primitives/capabilities.ts";
import { bestCpu, CPU_NAMES, type Cpu, type CpuName, cpuOf } from "../src/targets/c/cpu.ts";
import { emitC } from "../src/targets/c/emit.ts";
import { writeArtefact } from "../src/targets/wasm/artefact.ts";
import { UserError } from "../src/util/errors.ts";
import { describeExplanation } from "./explain.ts";
import { writeFiles } from "./files.ts";
import { bytes, table } from "./format.ts";
import { type CommonOptions, makeIo } from "./io.ts";
import { type ModelOptions, openForCommand, withCommon, withModel } from "./options.ts";
import { type SelectionOptions, selectionOptions, withSelection } from "./selection-options.ts";

interface Options extends CommonOptions, ModelOptions, SelectionOptions {
  readonly out: string;
  readonly target: "wasm" | "c";
  readonly weights: "inline" | "file";
  readonly single?: boolean;
  readonly threads?: boolean;
  readonly cpu?: CpuName | "native";
  readonly name: string;
  readonly clean: boolean;
  readonly dryRun?: boolean;
}

export const compileCommand = (): Command =>
  withCommon(
    withSelection(
      withModel(
        new Command("compile")
          .description(
            "write a model as a .wasm module with its .js loader and .d.ts types, or as C",
          )
          .addArgument(new Argument("<model>", ".onnx or .tflite file"))
          .requiredOption("--out <folder>", "where to write")
          .addOption(
            new Option("--target <target>", "a WebAssembly module, or C source with a header")
              .choices(["wasm", "c"])
              .default("wasm"),
          )
          .addOption(
            new Option(
              "--cpu <name>",
              "processor the C is written for; native: this machine's, default: portable",
            ).choices([...CPU_NAMES, "native"]),
          )
          .option("--name <name>", "file name without extension", "model")
          .addOption(
            new Option("--weights <where>", "in the module, or in a .bin file beside it")
              .choices(["inline", "file"])
              .default("inline"),
          )
          .option("--single", "put the module into the .js file")
          .option("--threads", "let the model run on several threads, where it is large enough")
          .option("--no-clean", "compile the model as imported")
          .option("--dry-run", "say what would be written"),
      ),
    ),
  ).action((path: string, options: Options) => compileModel(path, options));

function compileModel(path: string, options: Options): void {
  const io = makeIo(options);
  const { graph } = openForCommand(path, options, io);
  if (options.target === "c" && options.maxCode !== undefined) {
    throw new UserError("E_ARGUMENT", "what C becomes depends on its compiler", {
      where: "--max-code",
      hint: "leave it out with --target c",
    });
  }
  const cpu = cpuFor(options);
  const caps = options.target === "c" ? capsOfCpu(cpu) : WASM;
  const selection = selectionOptions(options, caps, io);
  const compiled = compile(options.clean ? cleanGraph(graph) : graph, selection);
  const { program } = compiled;
  const explanation = options.explain === true ? compiled.explain() : null;
  const { files, sizes, arenaBytes, threads } =
    options.target === "c" ? asC(program, options, cpu) : asWasm(program, options);
  if (options.threads === true && threads === false) {
    io.note("the model is too small to gain from threads: it will run on one");
  }
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
    arenaBytes,
    memoryBytes: program.memoryBytes,
    kernels: program.kernels.length,
    steps: program.steps.length,
    artefacts,
    ...(explanation === null ? {} : { explanation }),
  });
  if (explanation !== null) io.print(`${describeExplanation(explanation, io.width)}\n`);
  io.print(table(sizeRows(sizes, arenaBytes, options), { width: io.width, right: [1] }));
  for (const file of written) io.print(`${options.dryRun ? "would write" : "wrote"} ${file}`);
  if (options.dryRun) return;
  io.print(
    options.target === "c"
      ? `next: see ${options.name}.h; ${["cc -O3 -fno-math-errno", ...cpu.flags].join(" ")} -c ${options.name}.c`
      : `next: import { load } from "./${options.name}.js"; const model = await load();`,
  );
}

/** The processor that C is for; the portable one where nothing is said. */
function cpuFor({ target, cpu = "portable" }: Options): Cpu {
  if (target !== "c" && cpu !== "portable") {
    throw new UserError("E_ARGUMENT", "a module runs on every processor", {
      where: "--cpu",
      hint: "leave it out, or add --target c",
    });
  }
  return cpu === "native" ? bestCpu(findCompiler().macros) : cpuOf(cpu);
}

interface Sizes {
  readonly code: number;
  readonly weights: number;
  readonly total: number;
  readonly gzip: number;
}

interface Compiled {
  readonly files: ReadonlyMap<string, Uint8Array | string>;
  readonly sizes: Sizes;
  /** Activations and scratch; in C also decoded weights. */
  readonly arenaBytes: number;
  /** Whether several threads can run it, where that is known. */
  readonly threads?: boolean;
}

function gzipBytes(files: Compiled["files"]): number {
  return [...files]
    .filter(([name]) => !name.endsWith(".d.ts"))
    .reduce((n, [, content]) => n + gzipSync(content, { level: 9 }).length, 0);
}

function asWasm(program: Program, options: Options): Compiled {
  const { files, module } = writeArtefact(program, {
    weights: options.weights,
    inline: options.single === true,
    fileName: options.name,
    threads: options.threads === true,
  });
  const sizes = {
    code: module.codeBytes,
    weights: module.weightsBytes,
    total: module.wasm.length + (module.weights?.length ?? 0),
    gzip: gzipBytes(files),
  };
  return { files, sizes, arenaBytes: program.arenaBytes, threads: module.threads };
}

/** Sizes are those of the text: what it compiles to depends on the compiler. */
function asC(program: Program, options: Options, cpu: Cpu): Compiled {
  if (options.single === true) {
    throw new UserError("E_ARGUMENT", "--single puts a module into a .js file", {
      where: "--single",
      hint: "leave it out with --target c: weights are in the .c file already",
    });
  }
  const { weights, name, threads = false } = options;
  const settings = { weights, name, threads, cpu: cpu.name };
  const { files, weightsBytes, arenaBytes, shared } = emitC(program, settings);
  const total = [...files.values()].reduce((n, content) => n + content.length, 0);
  const code = total - (options.weights === "file" ? weightsBytes : 0);
  const sizes = { code, weights: weightsBytes, total, gzip: gzipBytes(files) };
  return { files, sizes, arenaBytes, threads: shared.includes(true) };
}

function sizeRows(sizes: Sizes, arenaBytes: number, options: Options): string[][] {
  const c = options.target === "c";
  const source = options.weights === "file" ? "source text" : "source text, weights written out";
  return [
    ["code", bytes(sizes.code), c ? source : "module without weights"],
    ["weights", bytes(sizes.weights), options.weights === "file" ? "in the .bin file" : ""],
    ["gzip", bytes(sizes.gzip), c ? "source" : "module and loader as sent over the network"],
    ["arena", bytes(arenaBytes), "activations and scratch while running"],
  ];
}
