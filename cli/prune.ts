/** @file `tersor prune`: a model with fewer channels or weights, without data. */
import { gzipSync } from "node:zlib";
import { Argument, Command } from "commander";
import { unpackWeights } from "../src/compress/quantize/index.ts";
import { constantBytes, macsOf } from "../src/graph/count.ts";
import type { Graph } from "../src/graph/graph.ts";
import { type CompileModelOptions, cleanGraph, compile, toOnnx } from "../src/pipeline.ts";
import { WASM } from "../src/primitives/capabilities.ts";
import {
  type PruneAmount,
  type PruneMethod,
  type PruneResult,
  predictedMs,
  pruneMethod,
  pruneModel,
} from "../src/prune.ts";
import { writeArtefact } from "../src/targets/wasm/artefact.ts";
import { UserError } from "../src/util/errors.ts";
import { writeFiles } from "./files.ts";
import { bytes, count, ms, pair, table } from "./format.ts";
import { type CommonOptions, type Io, makeIo, seedOf } from "./io.ts";
import {
  type ModelOptions,
  openForCommand,
  realNumber,
  wholeNumber,
  withCommon,
  withModel,
} from "./options.ts";
import { selectionOptions } from "./selection-options.ts";

interface Options extends CommonOptions, ModelOptions {
  readonly method: string;
  readonly ratio?: number;
  readonly target?: string;
  readonly roundTo?: number;
  readonly maxShare?: number;
  readonly perCost?: boolean;
  readonly profile?: string;
  readonly out: string;
}

const METHODS = "l1, l2, bn, fpgm, random; magnitude, magnitude-layer, lamp, blocks, nm=2:4";
const NEED_DATA = ["taylor", "fisher", "snip", "movement"];

export const pruneCommand = (): Command =>
  withCommon(
    withModel(
      new Command("prune")
        .description("remove channels or weights of a model, without data, and write it")
        .addArgument(new Argument("<model>", ".onnx or .tflite file"))
        .requiredOption("--method <name>", METHODS)
        .option("--ratio <x>", "share of the channels or weights that goes, 0 to 1", realNumber(0))
        .option("--target <what=x>", "macs=50%, bytes=100KB or latency=2ms, for channels")
        .option("--round-to <n>", "keep channels a multiple of this, default 1", wholeNumber(1))
        .option("--max-share <x>", "largest share of a layer's channels that goes", realNumber(0))
        .option("--per-cost", "rank by importance per cost that a channel saves")
        .option("--profile <file>", "times measured by tersor profile; auto: those of this machine")
        .requiredOption("--out <folder>", "where to write"),
    ),
  ).action((path: string, options: Options) => prune(path, options));

/** The method of --method. */
export function methodOf(text: string): PruneMethod {
  if (NEED_DATA.includes(text)) {
    throw new UserError("E_ARGUMENT", `${text} takes gradients of a loss on training data`, {
      where: "--method",
      hint: "use l1, l2, bn or fpgm here; lossImportance of the library takes batches and a loss",
    });
  }
  const method = pruneMethod(text);
  if (method !== null) return method;
  throw new UserError("E_ARGUMENT", `there is no method '${text}'`, {
    where: "--method",
    hint: `one of ${METHODS}`,
  });
}

const UNITS: Readonly<Record<string, number>> = {
  "": 1,
  b: 1,
  k: 1e3,
  kb: 1e3,
  m: 1e6,
  mb: 1e6,
  g: 1e9,
  us: 1e-3,
  ms: 1,
  s: 1e3,
};

/** --ratio, or a target as "macs=50%"; a share is of the clean model's. */
export function amountOf(
  options: Pick<Options, "ratio" | "target">,
  graph: Graph,
  predict: CompileModelOptions = {},
): PruneAmount | undefined {
  const { ratio, target } = options;
  if (ratio !== undefined && target !== undefined) {
    throw new UserError("E_ARGUMENT", "--ratio and --target are two ways to say how much goes", {
      hint: "give one of them",
    });
  }
  if (ratio !== undefined && ratio <= 1) return { ratio };
  if (ratio !== undefined) {
    throw new UserError("E_ARGUMENT", `a ratio is from 0 to 1, got ${ratio}`, { where: "--ratio" });
  }
  if (target === undefined) return undefined;
  const match = /^(macs|bytes|latency)=([\d.]+)\s*(%|[a-z]*)$/i.exec(target);
  const unit = match?.[3]?.toLowerCase();
  const x = Number(match?.[2]);
  const known = unit === "%" || (unit !== undefined && UNITS[unit] !== undefined);
  if (match === null || !known || !(x > 0)) {
    throw new UserError("E_ARGUMENT", `'${target}' is no target`, {
      where: "--target",
      hint: "for example macs=50%, macs=3M, bytes=100KB, latency=2ms",
    });
  }
  const what = match[1]!.toLowerCase();
  const of = { macs: macsOf, bytes: constantBytes, latency: (g: Graph) => predictedMs(g, predict) };
  const whole = of[what as keyof typeof of];
  const value =
    unit === "%" ? (x / 100) * whole(unpackWeights(cleanGraph(graph))) : x * UNITS[unit!]!;
  return what === "macs"
    ? { macs: value }
    : what === "bytes"
      ? { bytes: value }
      : { latencyMs: value };
}

function prune(path: string, options: Options): void {
  const io = makeIo(options);
  const method = methodOf(options.method);
  const { graph } = openForCommand(path, options, io);
  const predict = selectionOptions(
    options.profile === undefined ? {} : { profile: options.profile },
    WASM,
    io,
  );
  const amount = amountOf(options, graph, predict);
  const { roundTo, maxShare, perCost } = options;
  const result = pruneModel(graph, {
    method,
    seed: seedOf(options),
    compile: predict,
    ...(amount !== undefined && { amount }),
    ...(roundTo !== undefined && { roundTo }),
    ...(maxShare !== undefined && { maxShare }),
    ...(perCost !== undefined && { perCost }),
  });
  const files = new Map<string, Uint8Array | string>([["model.onnx", toOnnx(result.graph)]]);
  const { program } = compile(result.graph, predict);
  for (const [name, content] of writeArtefact(program).files) files.set(name, content);
  const before = toOnnx(result.original);
  const after = files.get("model.onnx") as Uint8Array;
  const gzip = [before, after].map((b) => gzipSync(b, { level: 9 }).length) as [number, number];
  const onnx = [before.length, after.length] as const;
  const written = writeFiles(options.out, files);
  const { layers, macs, bytes: weights, predictedMs: times, removed } = result;
  const sizes = { onnxBytes: onnx, gzipBytes: gzip, weightBytes: weights };
  io.object({
    model: path,
    method: options.method,
    removed,
    macs,
    ...sizes,
    predictedMs: times,
    layers,
    written,
  });
  io.print(describe(result, onnx, gzip, io));
  for (const file of written) io.print(`wrote ${file}`);
  io.print("next: fine-tune it with tersor train, or compare it: tersor compare");
}

const percent = (x: number): string => `${(100 * x).toFixed(0)} %`;

function describe(
  { layers, macs, bytes: weights, predictedMs: times }: PruneResult,
  onnx: readonly [number, number],
  gzip: readonly [number, number],
  io: Io,
): string {
  const head = ["layer", "channels", "MACs", "weights", "zeros"];
  const rows = layers.map((l) => [
    l.name || l.op,
    l.channels === null ? "" : pair(l.channels, String),
    pair(l.macs, count),
    pair(l.bytes, bytes),
    pair(l.zeros, percent),
  ]);
  const totals = [
    ["MACs", pair(macs, count)],
    ["weights", pair(weights, bytes)],
    ["model.onnx", pair(onnx, bytes)],
    ["gzip", pair(gzip, bytes)],
    ["predicted", pair(times, ms)],
  ];
  const layerTable = table([head, ...rows], { width: io.width, right: [1, 2, 3, 4] });
  return `${layerTable}\n${table(totals, { width: io.width, right: [1] })}`;
}
