/** @file `tersor inspect`: what a model is, what it costs, and what keeps it from being compiled. */
import { dirname } from "node:path";
import { Argument, Command, Option } from "commander";
import { filesBeside } from "../src/formats/onnx/external.ts";
import { printGraph } from "../src/graph/print.ts";
import {
  inspectModel,
  type ModelInfo,
  type PartialModelInfo,
  type PortInfo,
} from "../src/inspect.ts";
import { printKernel, printProgram } from "../src/kernel/print.ts";
import { inFile, readBytes } from "../src/node.ts";
import { cleanGraph, compile, targetGraph } from "../src/pipeline.ts";
import { EXIT } from "./errors.ts";
import { bytes, count, fit, number, plural, shape, table } from "./format.ts";
import { type CommonOptions, type Io, makeIo } from "./io.ts";
import {
  loadOptions,
  type ModelOptions,
  openForCommand,
  withCommon,
  withModel,
} from "./options.ts";

const STAGES = ["source", "clean", "target", "kernels", "program"] as const;
type Stage = (typeof STAGES)[number];

interface Options extends CommonOptions, ModelOptions {
  readonly stage?: Stage;
}

export const inspectCommand = (): Command =>
  withCommon(
    withModel(
      new Command("inspect")
        .description("show inputs, outputs, operators, sizes and costs of a model")
        .addArgument(new Argument("<model>", ".onnx or .tflite file"))
        .addOption(
          new Option("--stage <stage>", "print the model's text at this stage").choices(STAGES),
        ),
    ),
  ).action((path: string, options: Options) => inspect(path, options));

function inspect(path: string, options: Options): void {
  const io = makeIo(options);
  if (options.stage !== undefined) {
    const text = stageText(path, options, options.stage, io);
    io.print(text);
    io.object({ model: path, stage: options.stage, text });
    return;
  }
  const load = { externalData: filesBeside(dirname(path)), ...loadOptions(path, options) };
  const info = inFile(path, () => inspectModel(readBytes(path, "model"), load));
  for (const { message, where } of info.notes) io.note(`note: ${where}: ${message}`);
  io.object({ model: path, ...info });
  io.print(describe(path, info, io.width));
  if (info.unsupported.length === 0) {
    const shapes = (options.shape ?? []).map((s) => ` --shape ${s}`);
    const fixes = (options.fix ?? []).map((s) => ` --fix ${s}`);
    io.print(`next: tersor compile ${path}${[...shapes, ...fixes].join("")} --out build`);
    return;
  }
  io.note(`tersor: ${path}: ${plural(info.unsupported.length, "operator")} not supported`);
  process.exitCode = EXIT.user;
}

function stageText(path: string, options: Options, stage: Stage, io: Io): string {
  const { graph } = openForCommand(path, options, io);
  if (stage === "source") return printGraph(graph);
  const clean = cleanGraph(graph);
  if (stage === "clean") return printGraph(clean);
  if (stage === "target") return printGraph(targetGraph(clean));
  const { program } = compile(clean);
  return stage === "program" ? printProgram(program) : program.kernels.map(printKernel).join("\n");
}

const FORMATS = { onnx: "ONNX", tflite: "TensorFlow Lite" } as const;

const port = (p: PortInfo): string[] => [
  p.name,
  shape(p.dtype, p.shape),
  p.scale === undefined ? "" : `scale ${number(p.scale)}, zero point ${p.zeroPoint}`,
];

function describe(path: string, info: ModelInfo | PartialModelInfo, width: number): string {
  const parts = [`${path}: ${FORMATS[info.format]}, ${bytes(info.fileBytes)}\n`];
  const section = (title: string, rows: readonly (readonly string[])[], right: number[] = []) => {
    if (rows.length > 0) parts.push(`\n${title}\n${table(rows, { width, right })}`);
  };
  if (isComplete(info)) {
    section("inputs", info.inputs.map(port));
    section("outputs", info.outputs.map(port));
    section("size and cost", facts(info));
  }
  const ops = Object.entries(info.ops).sort((a, b) => b[1] - a[1]);
  section(
    "operators",
    ops.map(([op, n]) => [op, String(n)]),
    [1],
  );
  const missing = info.unsupported.map(({ op, count: n, nodes, reason }) => [
    op,
    plural(n, "node"),
    fit(`${reason}: ${nodes.join(", ")}`, Math.max(24, width - 30)),
  ]);
  section("not supported", missing);
  return parts.join("");
}

const isComplete = (info: ModelInfo | PartialModelInfo): info is ModelInfo => info.macs !== null;

function facts(info: ModelInfo): string[][] {
  const byType = Object.entries(info.weightBytesByType)
    .sort((a, b) => b[1] - a[1])
    .map(([dtype, n]) => `${dtype} ${bytes(n)}`);
  return [
    ["nodes", `${info.nodes}`, `${info.nodesClean} after clean-up`],
    ["multiply-accumulates", count(info.macs), `${count(info.macsClean)} after clean-up`],
    ["parameters", count(info.params), ""],
    ["weights", bytes(info.weightBytes), byType.length > 1 ? byType.join(", ") : (byType[0] ?? "")],
    ["peak activations", bytes(info.peakActivationBytes), "planned, with scratch, when compiled"],
  ];
}
