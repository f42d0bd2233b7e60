/** @file What the benchmark times: an engine with its threads, by the short name of tables and `--engines`. */
import type { Engine, EngineName } from "../cli/bench-engines.ts";
import { ENGINES } from "../cli/bench-engines.ts";
import type { ModelDType } from "./models/index.ts";
import { tfjsEngine } from "./peers/tfjs.ts";

export interface Run {
  readonly id: string;
  readonly label: string;
  readonly threads: number;
  /** Is it tersor? Others are peers. */
  readonly own: boolean;
  readonly dtypes: readonly ModelDType[];
  /** Absent from this build: not offered. */
  readonly engine: Engine | undefined;
}

const BOTH = ["f32", "int8"] as const;

const own = (id: string, label: string, engine: string, threads = 1): Run => ({
  id,
  label: threads === 1 ? label : `${label}, ${threads} threads`,
  threads,
  own: true,
  dtypes: BOTH,
  engine: ENGINES[engine as EngineName] as Engine | undefined,
});

const peer = (id: string, engine: EngineName, threads = 1): Run => ({
  ...own(id, engine, engine, threads),
  own: false,
});

export const RUNS: readonly Run[] = [
  own("wasm", "tersor WASM", "tersor"),
  own("wasm-2t", "tersor WASM", "tersor", 2),
  own("wasm256", "tersor WASM 256-bit", "tersor-256"),
  own("native", "tersor native", "native"),
  own("native-2t", "tersor native", "native", 2),
  peer("ort-web", "onnxruntime-web"),
  peer("ort-web-2t", "onnxruntime-web", 2),
  peer("ort-node", "onnxruntime-node"),
  peer("ort-node-2t", "onnxruntime-node", 2),
  {
    id: "tfjs",
    label: "TensorFlow.js wasm",
    threads: 1,
    own: false,
    dtypes: ["f32"],
    engine: tfjsEngine,
  },
];

/** Can this build run it? */
export const isOffered = ({ engine, threads }: Run): boolean =>
  engine !== undefined && threads <= engine.maxThreads;
