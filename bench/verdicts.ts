/** @file The figures tersor is to reach, and whether a run reached them. */
import { type BenchReport, geometricMean, ratios, type Side, type Verdict } from "./results.ts";

type Facts = Pick<BenchReport, "measured" | "figures" | "gemm" | "sparse">;

const unknown = (what: string, target: string): Verdict => ({
  what,
  target,
  measured: "not measured in this run",
  met: null,
});

/** Geometric mean of the speed-ups over all models. */
function mean(facts: Facts, what: string, slow: Side, fast: Side, least: number): Verdict {
  const found = ratios(facts, slow, fast);
  const target = `at least ${least.toFixed(1)}x`;
  if (found.length === 0) return unknown(what, target);
  const value = geometricMean(found.map(({ ratio }) => ratio));
  const measured = `${value.toFixed(2)}x over ${found.length} models`;
  return { what, target, measured, met: value >= least };
}

/** The smallest speed-up of any model. */
function worst(facts: Facts, what: string, slow: Side, fast: Side, least: number): Verdict {
  const found = ratios(facts, slow, fast).sort((a, b) => a.ratio - b.ratio);
  const target = `at least ${least.toFixed(1)}x`;
  if (found.length === 0) return unknown(what, target);
  const { model, ratio } = found[0]!;
  return { what, target, measured: `${ratio.toFixed(2)}x (${model})`, met: ratio >= least };
}

function one(facts: Facts, what: string, model: string, slow: Side, fast: Side, least: number) {
  const only = { ...facts, measured: facts.measured.filter((m) => m.model === model) };
  return worst(only, what, slow, fast, least);
}

interface Limit {
  readonly what: string;
  readonly target: string;
  readonly most: number;
  readonly models: RegExp;
  readonly of: (f: Facts["figures"][number]) => number;
  readonly text: (x: number) => string;
}

const kB = (bytes: number): string => `${(bytes / 1000).toFixed(1)} kB`;
const TINY = /^(kws|ic|vww|ad)$/;

const LIMITS: readonly Limit[] = [
  {
    what: "cold start of KWS, bytes in memory to first result",
    target: "at most 30 ms",
    most: 30,
    models: /^kws$/,
    of: (f) => f.coldStartMs,
    text: (x) => `${x.toFixed(1)} ms`,
  },
  {
    what: "code after gzip, each model of MLPerf Tiny",
    target: "at most 30 kB",
    most: 30_000,
    models: TINY,
    of: (f) => f.codeGzipBytes,
    text: kB,
  },
  {
    what: "linear memory beyond the plan",
    target: "at most 2 MB",
    most: 2_000_000,
    models: /./,
    of: (f) => f.linearBytes - f.plannedBytes,
    text: kB,
  },
];

function limit({ figures }: Facts, { what, target, most, models, of, text }: Limit): Verdict {
  const found = figures.filter(({ model }) => models.test(model)).sort((a, b) => of(b) - of(a));
  if (found.length === 0) return unknown(what, target);
  const top = found[0]!;
  const measured = `${text(of(top))} (${top.model} ${top.dtype})`;
  return { what, target, measured, met: of(top) <= most };
}

/** The matrix kernel's part of the highest rate that was measured. */
function partOfPeak({ gemm }: Facts, what: string, name: string, least: number): Verdict {
  const target = `at least ${100 * least} %`;
  const found = gemm.find((g) => g.target === name);
  if (found === undefined) return unknown(what, target);
  const { kernel, peaks } = found;
  const part = kernel.gflops / Math.max(...peaks.map((p) => p.gflops));
  const measured = `${(100 * part).toFixed(1)} % (${kernel.gflops.toFixed(1)} GFLOP/s)`;
  return { what, target, measured, met: part >= least };
}

function sparse({ sparse: found }: Facts): Verdict {
  const what = "1x1 layer with 90 % zeros (256x256, 192 pixels) over dense";
  const target = "at least 5.0x";
  if (found === null) return unknown(what, target);
  const gain = found.denseUs / found.sparseUs;
  return { what, target, measured: `${gain.toFixed(2)}x (${found.pick})`, met: gain >= 5 };
}

const DETECTOR = "ocr-det-640";

export const verdictsOf = (facts: Facts): Verdict[] => [
  mean(facts, "f32, 1 thread, over onnxruntime-web", ["ort-web", "f32"], ["wasm", "f32"], 2),
  worst(facts, "the same, slowest model", ["ort-web", "f32"], ["wasm", "f32"], 1.2),
  mean(facts, "int8, 1 thread, over onnxruntime-web", ["ort-web", "int8"], ["wasm", "int8"], 3),
  mean(facts, "int8 over our own f32", ["wasm", "f32"], ["wasm", "int8"], 2),
  one(facts, "2 threads over 1, f32", DETECTOR, ["wasm", "f32"], ["wasm-2t", "f32"], 1.7),
  one(facts, "2 threads over 1, int8", DETECTOR, ["wasm", "int8"], ["wasm-2t", "int8"], 1.7),
  mean(facts, "256-bit f32 over onnxruntime-node", ["ort-node", "f32"], ["wasm256", "f32"], 1),
  mean(facts, "native f32 over onnxruntime-node", ["ort-node", "f32"], ["native", "f32"], 1.4),
  mean(facts, "native int8 over onnxruntime-node", ["ort-node", "int8"], ["native", "int8"], 1.3),
  partOfPeak(facts, "GEMM 256x256x256 in WASM, of the 128-bit peak", "wasm", 0.72),
  partOfPeak(facts, "GEMM 256x256x256 native, of its peak", "native", 0.65),
  sparse(facts),
  ...LIMITS.map((l) => limit(facts, l)),
];
