/** @file Runs a compiled candidate over rows and measures it: outputs, bytes, latency, layers. */
import type { Graph } from "../graph/graph.ts";
import { type CompiledModel, compile } from "../pipeline.ts";
import { nodeTimes } from "../profile/node-times.ts";
import { createSession, type Session } from "../runtime/session.ts";
import { emitModule } from "../targets/wasm/module.ts";
import { dequantizeTensor } from "../tensor/quant.ts";
import { byteSize, type Tensor, toNumbers } from "../tensor/tensor.ts";
import { median } from "../util/math.ts";
import type { Bytes, Latency, LayerRow, Rows } from "./types.ts";

/** A graph compiled and loaded, ready to be measured. */
export interface Loaded {
  readonly graph: Graph;
  readonly compiled: CompiledModel;
  readonly session: Session;
  readonly bytes: Bytes;
}

async function gzipSize(bytes: Uint8Array): Promise<number> {
  const stream = new Blob([bytes as Uint8Array<ArrayBuffer>])
    .stream()
    .pipeThrough(new CompressionStream("gzip"));
  return (await new Response(stream).arrayBuffer()).byteLength;
}

export async function load(graph: Graph): Promise<Loaded> {
  const compiled = compile(graph);
  const module = emitModule(compiled.program);
  const session = await createSession(compiled.program);
  const bytes = {
    code: module.codeBytes,
    weights: module.weightsBytes,
    total: module.wasm.length,
    gzip: await gzipSize(module.wasm),
  };
  return { graph, compiled, session, bytes };
}

/** The reals of a tensor, whatever its type. */
export const realsOf = (t: Tensor): Float32Array =>
  Float32Array.from(toNumbers(t.type.quant === undefined ? t : dequantizeTensor(t)));

/** First output of every row; `onRow` is told how many rows are done, and may be awaited. */
export async function runRows(
  session: Session,
  rows: Rows,
  onRow: (done: number) => void = () => {},
  signal?: AbortSignal,
): Promise<Float32Array[]> {
  const outputs: Float32Array[] = [];
  for (const feeds of rows.feeds) {
    outputs.push(realsOf(session.run(feeds)[0]!));
    if (outputs.length % 64 !== 0) continue;
    onRow(outputs.length);
    signal?.throwIfAborted();
    await new Promise((resolve) => setTimeout(resolve, 0));
  }
  return outputs;
}

const ROUNDS = 7;
const ROUND_MS = 60;

/** Latencies of several sessions, measured in turn round by round so that drift hits all alike. */
export function measureLatencies(sessions: readonly Session[]): Latency[] {
  const counts = sessions.map((s) => {
    s.warmUp();
    const once = median(s.time(5));
    return Math.max(5, Math.min(500, Math.ceil(ROUND_MS / Math.max(once, 1e-3))));
  });
  const medians = sessions.map((): number[] => []);
  for (let round = 0; round < ROUNDS; round++) {
    sessions.forEach((s, i) => medians[i]!.push(median(s.time(counts[i]!))));
  }
  return medians.map((m) => ({
    p50Ms: median(m),
    lowMs: Math.min(...m),
    highMs: Math.max(...m),
  }));
}

/** Measured and predicted time of each node of the compiled graph; `speed` as measureSpeed gives it. */
export function layerRows(
  loaded: Loaded,
  speed: number,
  sensitivity: (name: string) => number | null,
): LayerRow[] {
  const { compiled, session } = loaded;
  return nodeTimes(compiled, session.profile(30)).map(
    ({ node: { node, implementation, ins, outs }, measuredMs, predictedMs }) => {
      const macs = node.op.cost?.(ins, node.attrs, outs).macs ?? 0;
      const constants = node.ins.map((v, i) => (compiled.isConstant(v) ? byteSize(ins[i]!) : 0));
      const weightBytes = constants.reduce((a, b) => a + b, 0);
      const name = node.name || node.op.name;
      return {
        name,
        op: node.op.name,
        implementation,
        macs,
        weightBytes,
        measuredMs,
        predictedMs: speed * predictedMs,
        sensitivity: sensitivity(name),
      };
    },
  );
}
