/** @file `tersor run`: one inference on given or random inputs. */
import { Argument, Command, Option } from "commander";
import { decodeImage } from "../src/data/image.ts";
import { formatNpy, parseNpy } from "../src/data/npy.ts";
import { type Preprocess, preprocess } from "../src/data/preprocess.ts";
import { decodeWav } from "../src/data/wav.ts";
import { randomFeed } from "../src/feeds.ts";
import { type Graph, nameOf, typeOf } from "../src/graph/graph.ts";
import { interpret } from "../src/graph/interpret.ts";
import { readBytes } from "../src/node.ts";
import { cleanGraph, compile } from "../src/pipeline.ts";
import { dequantizeTensor, quantizeTensor } from "../src/tensor/quant.ts";
import {
  elementCount,
  type Tensor,
  type TensorType,
  tensorOf,
  toNumbers,
  zeros,
} from "../src/tensor/tensor.ts";
import { UserError } from "../src/util/errors.ts";
import { writeFiles } from "./files.ts";
import { fit, number, shape, table } from "./format.ts";
import { type CommonOptions, type Io, makeIo, seedOf } from "./io.ts";
import {
  collect,
  type ModelOptions,
  openForCommand,
  wholeNumber,
  withCommon,
  withModel,
} from "./options.ts";
import { type PreprocessOptions, preprocessOf, withPreprocess } from "./preprocess-options.ts";
import { openTargetOrWasm, type TargetName, withTarget } from "./target.ts";

interface Options extends CommonOptions, ModelOptions, PreprocessOptions {
  readonly input?: readonly string[];
  readonly engine: "tersor" | "interpreter";
  readonly target: TargetName;
  readonly threads: number;
  readonly out?: string;
}

export const runCommand = (): Command =>
  withCommon(
    withPreprocess(
      withModel(
        withTarget(
          new Command("run")
            .description("run a model once and show its outputs")
            .addArgument(new Argument("<model>", ".onnx or .tflite file"))
            .option(
              "--input <name=source>",
              "random, zeros, a number, or a file (.npy, PNG, JPEG, WAV); default random",
              collect,
            )
            .addOption(
              new Option("--engine <engine>", "what runs it: the compiled model, or the reference")
                .choices(["tersor", "interpreter"])
                .default("tersor"),
            )
            .option("--threads <n>", "threads of the compiled model", wholeNumber(1), 1)
            .option("--out <folder>", "write each output there as an .npy file"),
        ),
      ),
    ),
  ).action((path: string, options: Options) => run(path, options));

async function run(path: string, options: Options): Promise<void> {
  const io = makeIo(options);
  const { graph } = openForCommand(path, options, io);
  const feeds = feedsOf(graph, options, preprocessOf(options));
  const start = performance.now();
  const { results, engine } = await execute(graph, feeds, options, io);
  const elapsed = performance.now() - start;
  const outputs = results.map((t, i) => ({ name: graph.outputNames[i]!, t }));
  const files =
    options.out === undefined
      ? []
      : writeFiles(
          options.out,
          new Map(outputs.map(({ name, t }) => [`${fileName(name)}.npy`, formatNpy(t)])),
        );
  io.object({
    model: path,
    engine,
    seed: seedOf(options),
    outputs: outputs.map(({ name, t }) => ({
      name,
      dtype: t.type.dtype,
      shape: t.type.shape,
      values: reals(t),
    })),
    files,
  });
  for (const { name, t } of outputs) io.print(describe(name, t, io));
  for (const file of files) io.print(`wrote ${file}`);
  if (io.verbose) io.note(`${engine}: ${number(elapsed)} ms with compilation`);
}

async function execute(
  graph: Graph,
  feeds: readonly Tensor[],
  options: Options,
  io: Io,
): Promise<{ readonly results: readonly Tensor[]; readonly engine: string }> {
  if (options.engine === "interpreter") {
    return { results: interpret(graph, feeds), engine: options.engine };
  }
  const { name, caps, open } = await openTargetOrWasm(options.target, io);
  const session = await open(compile(cleanGraph(graph), { caps }).program, options.threads);
  if (session.note !== undefined) io.note(`one thread: ${session.note}`);
  const results = session.run(feeds);
  session.close();
  return { results, engine: `${name} ${session.variant}` };
}

const reals = (t: Tensor): number[] =>
  toNumbers(t.type.quant === undefined ? t : dequantizeTensor(t));

const fileName = (name: string): string => name.replace(/[^\w.-]+/g, "_").slice(0, 100) || "output";

function feedsOf(graph: Graph, options: Options, settings: Preprocess): Tensor[] {
  const names = graph.inputs.map((v) => nameOf(graph, v));
  const sources = new Map<string, string>();
  for (const text of options.input ?? []) {
    const at = text.lastIndexOf("=");
    const name = at > 0 ? text.slice(0, at) : names[0];
    if (name === undefined || (at <= 0 && names.length > 1) || !names.includes(name)) {
      throw new UserError("E_ARGUMENT", `'${text}' names no input of the model`, {
        where: "--input",
        hint: `write name=source; its inputs: ${names.join(", ")}`,
      });
    }
    sources.set(name, text.slice(at + 1));
  }
  return graph.inputs.map((v, i) =>
    feedOf(
      sources.get(names[i]!) ?? "random",
      names[i]!,
      typeOf(graph, v),
      seedOf(options) + i,
      settings,
    ),
  );
}

function feedOf(
  source: string,
  name: string,
  type: TensorType,
  seed: number,
  settings: Preprocess,
): Tensor {
  if (source === "random") return randomFeed(type, seed);
  if (source === "zeros") return filled(type, 0);
  if (source !== "" && Number.isFinite(Number(source))) return filled(type, Number(source));
  const bytes = readBytes(source, "file");
  if (source.endsWith(".npy")) return arrayFeed(parseNpy(bytes, source), name, type, source);
  const data = source.endsWith(".wav") ? decodeWav(bytes, source) : decodeImage(bytes, source);
  return preprocess({ id: source, data, label: null }, type, settings);
}

/** Every element stands for the real `x`. */
function filled(type: TensorType, x: number): Tensor {
  if (x === 0 && type.quant === undefined) return zeros(type);
  const dtype = type.quant === undefined ? type.dtype : "f32";
  const t = tensorOf(dtype, type.shape, new Array(elementCount(type.shape)).fill(x));
  return type.quant === undefined ? t : quantizeTensor(t, type.dtype, type.quant);
}

/** Arrays of the input's dtype are taken as they are; reals are quantised for a quantised input. */
function arrayFeed(t: Tensor, name: string, type: TensorType, where: string): Tensor {
  const n = elementCount(type.shape);
  if (t.data.length !== n) {
    throw new UserError(
      "E_SHAPE",
      `input '${name}' takes [${type.shape}], the array is [${t.type.shape}]`,
      { where },
    );
  }
  if (t.type.dtype === type.dtype) return { type, data: t.data };
  if (type.quant !== undefined) {
    const real = tensorOf("f32", type.shape, toNumbers(t));
    return quantizeTensor(real, type.dtype, type.quant);
  }
  return tensorOf(type.dtype, type.shape, toNumbers(t));
}

const SHOWN = 10;

/** The largest values of a vector, or the range of anything else. */
function describe(name: string, t: Tensor, io: Io): string {
  const values = reals(t);
  const head = `${fit(name, io.width - 30)}  ${shape(t.type.dtype, t.type.shape)}`;
  const longest = Math.max(0, ...t.type.shape);
  if (values.length === longest && values.length > 1) {
    const order = values.map((_, i) => i).sort((a, b) => values[b]! - values[a]! || a - b);
    const rows = order.slice(0, SHOWN).map((i) => [`[${i}]`, number(values[i]!)]);
    const more = values.length > SHOWN ? `, largest ${SHOWN} of ${values.length}` : "";
    return `${head}${more}\n${table(rows, { width: io.width, right: [0, 1] })}`;
  }
  const start = values.slice(0, SHOWN).map(number).join(", ");
  if (values.length <= SHOWN) return `${head}\n  ${start}`;
  let low = Number.POSITIVE_INFINITY;
  let high = Number.NEGATIVE_INFINITY;
  let sum = 0;
  for (const x of values) {
    low = Math.min(low, x);
    high = Math.max(high, x);
    sum += x;
  }
  const range = `from ${number(low)} to ${number(high)}, mean ${number(sum / values.length)}`;
  return `${head}\n  ${range}\n  ${start}, …`;
}
