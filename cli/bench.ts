/** @file `tersor bench`: latency and memory of models, beside other engines where they are installed. */
import { basename } from "node:path";
import { Argument, Command, InvalidArgumentError } from "commander";
import { randomFeed } from "../src/feeds.ts";
import { typeOf } from "../src/graph/graph.ts";
import { readBytes } from "../src/node.ts";
import { cleanGraph } from "../src/pipeline.ts";
import { computeType, ENGINES, type EngineName, type Loaded } from "./bench-engines.ts";
import { bytes, ms, table } from "./format.ts";
import { type CommonOptions, type Io, makeIo, seedOf } from "./io.ts";
import { type Machine, machineInfo, measure, timeFor } from "./measure.ts";
import {
  type ModelOptions,
  openForCommand,
  realNumber,
  wholeNumber,
  withCommon,
  withModel,
} from "./options.ts";
import { openTargetOrWasm, type TargetName, withTarget } from "./target.ts";

interface Options extends CommonOptions, ModelOptions {
  readonly engine: readonly EngineName[];
  readonly target: TargetName;
  readonly threads: number;
  readonly seconds: number;
}

export interface BenchResult {
  readonly model: string;
  readonly engine: EngineName;
  readonly detail: string;
  readonly dtype: string;
  readonly threads: number;
  readonly p50Ms: number;
  readonly p95Ms: number;
  readonly runs: number;
  /** Null: the engine does not tell. */
  readonly peakBytes: number | null;
}

function engineList(text: string): EngineName[] {
  const names = text.split(",");
  if (names.some((n) => !Object.hasOwn(ENGINES, n))) {
    throw new InvalidArgumentError(`engines are ${Object.keys(ENGINES).join(", ")}`);
  }
  return names as EngineName[];
}

export const benchCommand = (): Command =>
  withCommon(
    withModel(
      withTarget(
        new Command("bench")
          .description("measure latency and memory, engines in turn")
          .addArgument(new Argument("<models...>", ".onnx or .tflite files"))
          .option("--engine <list>", `of ${Object.keys(ENGINES).join(", ")}`, engineList, [
            "tersor",
          ])
          .option("--threads <n>", "threads for engines that take more than one", wholeNumber(1), 1)
          .option("--seconds <n>", "time for each model and engine", realNumber(0.01), 2),
      ),
    ),
  ).action((paths: string[], options: Options) => bench(paths, options));

async function bench(paths: readonly string[], options: Options): Promise<void> {
  const io = makeIo(options);
  const results: BenchResult[] = [];
  for (const path of paths) results.push(...(await benchModel(path, options, io)));
  const machine = machineInfo();
  io.object({ machine, seed: seedOf(options), results });
  io.print(describe(machine, results, io.width));
}

/** The engines asked for; ours compiles for the target. */
async function enginesOf(options: Options, io: Io): Promise<EngineName[]> {
  const { name } = await openTargetOrWasm(options.target, io);
  const own = { wasm: "tersor", wasm256: "tersor-256", native: "native" } as const;
  return options.engine.map((engine) => (engine === "tersor" ? own[name] : engine));
}

async function benchModel(path: string, options: Options, io: Io): Promise<BenchResult[]> {
  const model = openForCommand(path, options, io);
  const feeds = model.graph.inputs.map((v, i) =>
    randomFeed(typeOf(model.graph, v), seedOf(options) + i),
  );
  const { graph, format } = model;
  const own = format === "onnx" ? { onnx: readBytes(path, "model") } : {};
  const loaded: (Loaded & { readonly engine: EngineName; readonly threads: number })[] = [];
  for (const engine of await enginesOf(options, io)) {
    io.progress(`${path}: loading into ${engine}`);
    const threads = Math.min(options.threads, ENGINES[engine].maxThreads);
    const one = await ENGINES[engine].load({ graph, ...own, feeds, threads });
    loaded.push({ ...one, engine, threads });
  }
  io.progress(`${path}: measuring`);
  const timed = loaded.map(({ run }) => ({ turn: (ms: number) => timeFor(run, ms) }));
  const timings = await measure(timed, options.seconds);
  const dtype = computeType(cleanGraph(graph));
  const results = loaded.map(({ engine, threads, detail, peakBytes }, i) => {
    const { p50Ms, p95Ms, runs } = timings[i]!;
    return { model: path, engine, detail, dtype, threads, p50Ms, p95Ms, runs, peakBytes };
  });
  for (const one of loaded) await one.close();
  return results;
}

function describe(machine: Machine, results: readonly BenchResult[], width: number): string {
  const rows = results.map((r) => [
    basename(r.model),
    r.detail === "" ? r.engine : `${r.engine} (${r.detail})`,
    r.dtype,
    String(r.threads),
    ms(r.p50Ms),
    ms(r.p95Ms),
    r.peakBytes === null ? "?" : bytes(r.peakBytes),
  ]);
  const header = ["model", "engine", "type", "threads", "p50", "p95", "memory"];
  const { cpu, cores, os, node } = machine;
  return `${cpu}, ${cores} cores, ${os}, Node ${node}\n\n${table([header, ...rows], { width, right: [3, 4, 5, 6], indent: 0 })}`;
}
