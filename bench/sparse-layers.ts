/**
 * @file Sparse 1x1 layers against dense ones, by the share of zeros: times of every family, the measured crossover
 * and the selector's pick. Conversions to the layout of a family are not part of its time. `node bench/sparse-layers.ts [--quick]`
 */
import { parseArgs } from "node:util";
import { machineInfo } from "../cli/measure.ts";
import { openTarget, type Target, type TargetName } from "../cli/target.ts";
import type { Graph, Value } from "../src/graph/graph.ts";
import { keyOf } from "../src/select/costs.ts";
import type { Tensor } from "../src/tensor/tensor.ts";
import { makeRng } from "../src/util/rng.ts";
import { layerGraph } from "./layer-text.ts";
import type { SparseFigure } from "./results.ts";
import { markdownTable } from "./tables.ts";
import { measuredPick, modelPick, timeLayer } from "./time-layer.ts";

const SPARSE: readonly string[] = ["spmm", "blocks"];
const ZEROS = [0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95] as const;

/** The dense kernel stays in view of the sparsest, default loop nests do not. */
const HOPELESS = 40;

/** Height, width, input and output channels. */
const SHAPES = [
  [12, 16, 256, 256],
  [28, 28, 64, 64],
  [14, 14, 128, 128],
  [7, 7, 512, 512],
] as const;

/** Where zeros lie: anywhere, or in blocks of four output channels that share an input channel. */
const PATTERNS = ["anywhere", "1x4 blocks"] as const;
type Pattern = (typeof PATTERNS)[number];

function prune(weights: Tensor, zeros: number, pattern: Pattern, seed: number): Tensor {
  const rng = makeRng(seed);
  const [n = 0, ...rest] = weights.type.shape;
  const k = rest.reduce((a, b) => a * b, 1);
  const height = pattern === "anywhere" ? 1 : 4;
  const data = Float32Array.from(weights.data as Float32Array);
  for (let o = 0; o < n; o += height) {
    for (let i = 0; i < k; i++) {
      if (rng.next() >= zeros) continue;
      for (let r = o; r < Math.min(n, o + height); r++) data[r * k + i] = 0;
    }
  }
  return { type: weights.type, data };
}

/** The layer with that share of its weights zero. */
function sparseLayer(
  [h, w, c, n]: (typeof SHAPES)[number],
  zeros: number,
  pattern: Pattern,
): Graph {
  const attrs =
    'layout: "nhwc", stride: [1, 1], padBegin: [0, 0], padEnd: [0, 0], dilation: [1, 1], groups: 1';
  const line = `f32[1,${h},${w},${n}] = conv(f32[1,${h},${w},${c}] =f32[${n},1,1,${c}] =f32[${n}]) {${attrs}}`;
  const graph = layerGraph(line);
  const weights: Value = graph.nodes[0]!.ins[1]!;
  const constants = new Map(graph.constants);
  constants.set(weights, prune(constants.get(weights)!, zeros, pattern, 1));
  return { ...graph, constants };
}

interface Row {
  readonly zeros: number;
  readonly denseUs: number;
  /** By family; absent: not offered. */
  readonly sparseUs: ReadonlyMap<string, number>;
  readonly pick: string;
  readonly modelPick: string;
}

async function timeRow(graph: Graph, zeros: number, target: Target): Promise<Row> {
  const layer = await timeLayer(graph, { target, rounds: 4, sliceMs: 8, hopeless: HOPELESS });
  if (layer === null) throw new Error("a layer without a candidate");
  const { choice } = layer;
  const us = new Map<string, number>();
  const known = new Map<string, number>();
  for (const { candidate, roundsNs } of layer.candidates) {
    if (roundsNs.length === 0) continue;
    const least = Math.min(...roundsNs);
    known.set(keyOf(choice, candidate), least);
    const family = SPARSE.includes(candidate.family) ? candidate.family : "dense";
    us.set(family, Math.min(us.get(family) ?? Number.POSITIVE_INFINITY, least / 1000));
  }
  const denseUs = us.get("dense") ?? Number.NaN;
  us.delete("dense");
  const pick = measuredPick(choice, target, known).name;
  return { zeros, denseUs, sparseUs: us, pick, modelPick: modelPick(choice, target).name };
}

/** The share of zeros from which the family is as fast as dense, on the line between two measurements. */
function crossover(rows: readonly Row[], family: string): string {
  const gain = rows.map((r) => r.denseUs / (r.sparseUs.get(family) ?? Number.NaN));
  const at = gain.findIndex((g) => g >= 1);
  if (at < 0) return "never";
  if (at === 0 || Number.isNaN(gain[at - 1]!)) return `at most ${rows[at]!.zeros}`;
  const part = (1 - gain[at - 1]!) / (gain[at]! - gain[at - 1]!);
  const zeros = rows[at - 1]!.zeros + part * (rows[at]!.zeros - rows[at - 1]!.zeros);
  return zeros.toFixed(2);
}

/** The layer that sparse speed is judged by: 256 to 256 channels, 192 pixels, 90 % zeros anywhere. */
export async function measureSparse(): Promise<SparseFigure> {
  const target = await openTarget("wasm");
  const row = await timeRow(sparseLayer(SHAPES[0], 0.9, "anywhere"), 0.9, target);
  return { denseUs: row.denseUs, sparseUs: Math.min(...row.sparseUs.values()), pick: row.pick };
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: { target: { type: "string", default: "wasm" }, quick: { type: "boolean" } },
  });
  const target = await openTarget(values.target as TargetName);
  const { cpu, node } = machineInfo();
  console.log(`${cpu}, Node ${node}, ${values.target}, one thread, f32; microseconds\n`);
  for (const shape of values.quick ? SHAPES.slice(0, 1) : SHAPES) {
    for (const pattern of PATTERNS) {
      const rows: Row[] = [];
      for (const zeros of values.quick ? [0.7, 0.9] : ZEROS) {
        rows.push(await timeRow(sparseLayer(shape, zeros, pattern), zeros, target));
      }
      const [h, w, c, n] = shape;
      console.log(`1x1, ${c} to ${n} channels, ${h * w} pixels, zeros ${pattern}\n`);
      const cells = rows.map((r) => [
        `${(100 * r.zeros).toFixed(0)} %`,
        r.denseUs.toFixed(1),
        ...SPARSE.map((family) => {
          const us = r.sparseUs.get(family);
          return us === undefined ? "" : `${us.toFixed(1)} (${(r.denseUs / us).toFixed(2)}x)`;
        }),
        r.pick,
        r.modelPick,
      ]);
      console.log(
        markdownTable(["zeros", "dense", ...SPARSE, "pick", "pick without a profile"], cells),
      );
      console.log(`crossover: ${SPARSE.map((f) => `${f} ${crossover(rows, f)}`).join(", ")}\n`);
    }
  }
}

if (import.meta.main) await main();
