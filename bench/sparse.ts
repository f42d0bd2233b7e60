/**
 * @file A network with single weights pruned against the dense one: time of an inference in turns, bytes on disk, and
 * which layers are computed sparsely. Without a file: MobileNetV2 for CIFAR-10 with random weights.
 * `npm run bench:sparse -- [--sparsity 0.8,0.9] [--width 1] [--side 32] [--scope layer|global|lamp] [--rounds 20]`
 * `[--model file.onnx] [--dense file.onnx] [--verify]`. `--model` is pruned, or, with `--dense` beside it, is pruned
 * already. `--verify` times the candidates of every layer in place, and says what a selection by those times gains.
 */
import { readFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { machineInfo } from "../cli/measure.ts";
import { thisDevice } from "../cli/selection-options.ts";
import { storedBytes } from "../cli/stored-bytes.ts";
import { openTarget, type Target } from "../cli/target.ts";
import { SCOPES, type Scope } from "../src/compress/sparsity/index.ts";
import type { Graph } from "../src/graph/graph.ts";
import {
  type CompiledModel,
  cleanGraph,
  compile,
  loadModel,
  targetGraph,
  trainableGraph,
} from "../src/pipeline.ts";
import { measureCandidates } from "../src/profile/measure.ts";
import type { Session } from "../src/runtime/session.ts";
import { coefficientsFor } from "../src/select/costs.ts";
import { mobilenetV2 } from "../src/train/models/mobilenet-v2.ts";
import { median } from "../src/util/math.ts";
import { prunedWeights } from "./models/sparse.ts";
import { markdownTable } from "./tables.ts";

const SPARSE: readonly string[] = ["spmm", "blocks"];
const RUNS = 5;
const BUDGET_MS = 150;

const { values } = parseArgs({
  options: {
    sparsity: { type: "string", default: "0.8,0.9,0.95" },
    width: { type: "string", default: "1" },
    side: { type: "string", default: "32" },
    scope: { type: "string", default: "layer" },
    rounds: { type: "string", default: "20" },
    model: { type: "string" },
    dense: { type: "string" },
    verify: { type: "boolean", default: false },
  },
});

const read = (path: string): Graph => loadModel(new Uint8Array(readFileSync(path))).graph;

/** The network to prune. */
function base(): Graph {
  if (values.model !== undefined) return trainableGraph(read(values.model));
  return mobilenetV2({ width: Number(values.width), side: Number(values.side) });
}

interface Pair {
  readonly name: string;
  readonly dense: Graph;
  readonly sparse: Graph;
}

function pairs(): readonly Pair[] {
  if (values.dense !== undefined) {
    if (values.model === undefined) throw new Error("--dense needs the pruned --model");
    const [dense, sparse] = [values.dense, values.model].map((path) => cleanGraph(read(path)));
    return [{ name: values.model, dense: dense!, sparse: sparse! }];
  }
  const scope = SCOPES.find((s) => s === values.scope);
  if (scope === undefined) throw new Error(`--scope is one of ${SCOPES.join(", ")}`);
  const graph = base();
  return values.sparsity.split(",").map((text) => ({
    name: `${(100 * Number(text)).toFixed(0)} %`,
    dense: cleanGraph(graph),
    sparse: cleanGraph(prunedWeights(graph, Number(text), scope as Scope)),
  }));
}

/** Median times and ratio: the least of a few runs of each, in turns. */
function timeBoth(a: Session, b: Session, rounds: number): readonly [number, number, number] {
  a.warmUp();
  b.warmUp();
  const times = Array.from({ length: rounds }, () => [
    Math.min(...a.time(RUNS)),
    Math.min(...b.time(RUNS)),
  ]);
  const at = (i: number): number => median(times.map((t) => t[i]!));
  return [at(0), at(1), median(times.map((t) => t[0]! / t[1]!))];
}

/** Layers with weights, depthwise ones left out: how many by sparse and by dense algorithms. */
function layerCount({ nodes }: CompiledModel): string {
  const products = nodes.filter(({ node }) => node.op.contracts === true);
  const layers = products.filter(({ candidate }) => candidate.family !== "depthwise");
  const sparse = layers.filter(({ candidate }) => SPARSE.includes(candidate.family)).length;
  return `${sparse}/${layers.length - sparse}`;
}

/** What a selection by measured times gains over the cost model's: time of the latter over that of the former. */
async function verify(sparse: Graph, target: Target, rounds: number): Promise<string> {
  const { caps, open } = target;
  const coefficients = coefficientsFor(caps.name);
  const options = { caps, coefficients, open, budgetMs: BUDGET_MS };
  const entries = await measureCandidates(targetGraph(sparse), options);
  const measured = compile(sparse, { caps, profile: { device: thisDevice(caps.name), entries } });
  const modelled = compile(sparse, { caps });
  const [a, b] = [await open(modelled.program), await open(measured.program)];
  const [, , gain] = timeBoth(a, b, rounds);
  a.close();
  b.close();
  return `${layerCount(measured)}, ${gain.toFixed(2)}x`;
}

async function row(pair: Pair, target: Target, rounds: number): Promise<readonly string[][]> {
  const compiled = [pair.dense, pair.sparse].map((g) => compile(g, { caps: target.caps }));
  const [a, b] = [await target.open(compiled[0]!.program), await target.open(compiled[1]!.program)];
  const [dense, sparse, ratio] = timeBoth(a, b, rounds);
  a.close();
  b.close();
  const checked = values.verify ? [await verify(pair.sparse, target, rounds)] : [];
  const layers = layerCount(compiled[1]!);
  const time = [pair.name, dense.toFixed(3), sparse.toFixed(3), `${ratio.toFixed(2)}x`, layers];
  const before = storedBytes(pair.dense, compiled[0]!.program);
  const after = storedBytes(pair.sparse, compiled[1]!.program);
  const bytes = after.map(({ what, raw, gzip }, i) => {
    const from = before[i]!;
    const less = (was: number, is: number): string => `${is} (${(was / is).toFixed(2)}x)`;
    return [pair.name, what, String(from.raw), less(from.raw, raw), less(from.gzip, gzip)];
  });
  return [[...time, ...checked], ...bytes];
}

const target = await openTarget("wasm");
const { cpu, node } = machineInfo();
console.log(`${cpu}, Node ${node}, WebAssembly, one thread, f32\n`);
const rows: (readonly string[][])[] = [];
for (const pair of pairs()) rows.push(await row(pair, target, Number(values.rounds)));
const head = ["zeros", "dense ms", "sparse ms", "faster", "layers sparse/dense"];
if (values.verify) head.push("by measured times, faster again");
console.log(
  markdownTable(
    head,
    rows.map((r) => r[0]!),
  ),
);
const files = ["zeros", "file", "dense bytes", "sparse bytes", "sparse bytes, gzip"];
console.log(
  markdownTable(
    files,
    rows.flatMap((r) => r.slice(1)),
    2,
  ),
);
