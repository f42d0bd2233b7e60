/** @file `tersor compare`: the first value in which two models, or two stages of one, differ. */
import { basename } from "node:path";
import { Argument, Command, InvalidArgumentError } from "commander";
import {
  type Comparison,
  compareTraces,
  type NodeDifference,
  type Trace,
  traceCompiled,
  traceInterpreted,
} from "../src/compare.ts";
import { openSource } from "../src/data/node.ts";
import { preprocess } from "../src/data/preprocess.ts";
import { randomFeed } from "../src/feeds.ts";
import { type Graph, nameOf, typeOf } from "../src/graph/graph.ts";
import { cleanGraph, targetGraph } from "../src/pipeline.ts";
import { dequantizeTensor, quantizeTensor } from "../src/tensor/quant.ts";
import {
  elementCount,
  type Tensor,
  type TensorType,
  tensorOf,
  toNumbers,
} from "../src/tensor/tensor.ts";
import { UserError } from "../src/util/errors.ts";
import { EXIT } from "./errors.ts";
import { fit, number, plural, table } from "./format.ts";
import { type CommonOptions, type Io, makeIo, seedOf } from "./io.ts";
import {
  type ModelOptions,
  openForCommand,
  realNumber,
  wholeNumber,
  withCommon,
  withModel,
} from "./options.ts";
import { type PreprocessOptions, preprocessOf, withPreprocess } from "./preprocess-options.ts";
import { openTarget, openTargetOrWasm, type TargetName, withTarget } from "./target.ts";

const STAGES = ["source", "clean", "target", "wasm", "wasm256", "native"] as const;
const USUAL = STAGES.slice(0, 3);
type Stage = (typeof STAGES)[number];

interface Options extends CommonOptions, ModelOptions, PreprocessOptions {
  readonly stages?: readonly Stage[];
  readonly data?: string;
  readonly row: number;
  readonly target: TargetName;
  readonly tolerance?: number;
}

function stageList(text: string): Stage[] {
  const stages = text.split(",");
  const wrong = stages.find((s) => !STAGES.some((known) => known === s));
  if (wrong !== undefined) throw new InvalidArgumentError(`stages are ${STAGES.join(", ")}`);
  return stages as Stage[];
}

export const compareCommand = (): Command =>
  withCommon(
    withPreprocess(
      withModel(
        withTarget(
          new Command("compare")
            .description("find the first value in which two models or stages differ")
            .addArgument(new Argument("<model>", ".onnx or .tflite file"))
            .addArgument(new Argument("[other]", "a second model; without it, stages of the first"))
            .option("--stages <list>", `of one model: ${STAGES.join(", ")}`, stageList)
            .option("--data <path>", "take the input from data instead of at random")
            .option("--row <n>", "row of --data", wholeNumber(0), 0)
            .option(
              "--tolerance <x>",
              "largest relative difference; more gives exit code 2",
              realNumber(0),
            ),
        ),
      ),
    ),
  ).action((a: string, b: string | undefined, options: Options) => compareModels(a, b, options));

interface Step extends Comparison {
  readonly from: string;
  readonly to: string;
}

async function compareModels(a: string, b: string | undefined, options: Options): Promise<void> {
  const io = makeIo(options);
  const steps =
    b === undefined ? await compareStages(a, options, io) : [await compareTwo(a, b, options, io)];
  const diverged = steps.find((s) => s.first !== null);
  io.object({
    models: b === undefined ? [a] : [a, b],
    seed: seedOf(options),
    comparisons: steps.map(({ from, to, nodes, first }) => ({
      from,
      to,
      compared: nodes.length,
      firstDivergence: first,
      nodes,
    })),
  });
  for (const step of steps) io.print(describe(step, io));
  if (diverged !== undefined && options.tolerance !== undefined) process.exitCode = EXIT.unmet;
}

async function compareStages(path: string, options: Options, io: Io): Promise<Step[]> {
  const target = await openTargetOrWasm(options.target, io);
  const stages = options.stages ?? [...USUAL, target.name];
  if (stages.length < 2) {
    throw new UserError("E_ARGUMENT", "one stage cannot be compared", {
      where: "--stages",
      hint: `name two or more of ${STAGES.join(",")}`,
    });
  }
  const source = openForCommand(path, options, io).graph;
  const feeds = await feedsFor(source, options);
  const traces = new Map<Stage, Trace>();
  for (const stage of stages) {
    io.progress(`running ${stage}`);
    traces.set(stage, await traceStage(source, stage, feeds));
  }
  return stages.slice(1).map((to, i) => ({
    from: stages[i]!,
    to,
    ...compareTraces(traces.get(stages[i]!)!, traces.get(to)!, options.tolerance),
  }));
}

async function traceStage(source: Graph, stage: Stage, feeds: readonly Tensor[]): Promise<Trace> {
  if (stage === "source") return traceInterpreted(source, feeds);
  const clean = cleanGraph(source);
  if (stage === "clean") return traceInterpreted(clean, feeds);
  const target = targetGraph(clean);
  if (stage === "target") return traceInterpreted(target, feeds);
  return traceCompiled(target, feeds, await openTarget(stage));
}

async function compareTwo(a: string, b: string, options: Options, io: Io): Promise<Step> {
  const first = openForCommand(a, options, io).graph;
  const second = withOutputNames(openForCommand(b, options, io).graph, first);
  if (first.inputs.length !== second.inputs.length) {
    throw new UserError(
      "E_SHAPE",
      `${a} has ${first.inputs.length} inputs, ${b} has ${second.inputs.length}`,
    );
  }
  const feeds = await feedsFor(first, options);
  const others = feeds.map((t, i) => refit(t, typeOf(second, second.inputs[i]!), i));
  io.progress(`running ${a}`);
  const left = traceInterpreted(first, feeds);
  io.progress(`running ${b}`);
  const right = traceInterpreted(second, others);
  return { from: a, to: b, ...compareTraces(left, right, options.tolerance) };
}

/** Outputs correspond by position, whatever they are called. */
const withOutputNames = (graph: Graph, like: Graph): Graph =>
  graph.outputNames.length === like.outputNames.length
    ? { ...graph, outputNames: like.outputNames }
    : graph;

async function feedsFor(graph: Graph, options: Options): Promise<Tensor[]> {
  const types = graph.inputs.map((v) => typeOf(graph, v));
  if (options.data === undefined) return types.map((t, i) => randomFeed(t, seedOf(options) + i));
  if (types.length !== 1) {
    throw new UserError("E_DATA", `the model has ${types.length} inputs, data feeds one`, {
      hint: `freeze others with --fix: ${graph.inputs.map((v) => nameOf(graph, v)).join(", ")}`,
    });
  }
  const source = await openSource(options.data);
  if (options.row >= source.size) {
    throw new UserError("E_ARGUMENT", `row ${options.row} of ${source.size}`, { where: "--row" });
  }
  const [example] = await source.read([options.row]);
  return [preprocess(example!, types[0]!, preprocessOf(options))];
}

/** The same reals as an input of another model: other quantisation, channels elsewhere. */
function refit(t: Tensor, type: TensorType, index: number): Tensor {
  const from = t.type.shape;
  if (elementCount(from) !== elementCount(type.shape)) {
    throw new UserError("E_SHAPE", `input ${index}: [${from}] and [${type.shape}] do not fit`, {
      hint: "bind both with --shape",
    });
  }
  if (t.type.dtype === type.dtype && (t.type.quant === undefined || type.quant === undefined)) {
    // One side does not say what its integers stand for: they are the same integers.
    return { ...tensorOf(type.dtype, type.shape, reorder(toNumbers(t), from, type.shape)), type };
  }
  const reals = toNumbers(t.type.quant === undefined ? t : dequantizeTensor(t));
  const ordered = reorder(reals, from, type.shape);
  if (type.quant === undefined) return tensorOf(type.dtype, type.shape, ordered);
  return quantizeTensor(tensorOf("f32", type.shape, ordered), type.dtype, type.quant);
}

/** NCHW to NHWC or back, when that is how the shapes differ. */
function reorder(values: number[], from: readonly number[], to: readonly number[]): number[] {
  if (from.join() === to.join() || from.length !== 4 || to.length !== 4) return values;
  const [n, a, b, c] = from as [number, number, number, number];
  const out = new Array<number>(values.length);
  const last = `${[n, b, c, a]}` === `${to}`;
  if (!last && `${[n, c, a, b]}` !== `${to}`) return values;
  for (let i = 0; i < values.length; i++) {
    const z = i % c;
    const y = Math.floor(i / c) % b;
    const x = Math.floor(i / (c * b)) % a;
    const m = Math.floor(i / (c * b * a));
    out[last ? ((m * b + y) * c + z) * a + x : ((m * c + z) * a + x) * b + y] = values[i]!;
  }
  return out;
}

const CONTEXT = 2;

/** The verdict, and the values around the first divergence (all with --verbose). */
function describe({ from, to, nodes, first }: Step, io: Io): string {
  const at = first === null ? -1 : nodes.indexOf(first);
  const shown = io.verbose
    ? nodes
    : first === null
      ? nodes.slice(-1)
      : nodes.slice(Math.max(0, at - CONTEXT), at + 1 + CONTEXT);
  const row = (n: NodeDifference): string[] => [
    n === first ? ">" : n.diverges ? "x" : "",
    n.name,
    n.ops[0] === n.ops[1] ? n.ops[0] : n.ops.join("/"),
    number(n.maxAbs),
    number(n.relative),
  ];
  const header = ["", "value", "operator", "max abs", "relative"];
  const rows = [header, ...shown.map(row)];
  const verdict =
    first === null
      ? nodes.length === 0
        ? "no value has the same name on both sides"
        : `agree on ${plural(nodes.length, "value")}`
      : `part at ${fit(first.name, 48)}, value ${at + 1} of ${nodes.length}`;
  const body =
    shown.length === 0 ? "" : table(rows, { width: io.width, right: [3, 4], flexible: 1 });
  return `${fit(basename(from), 24)} and ${fit(basename(to), 24)} ${verdict}\n${body}`;
}
