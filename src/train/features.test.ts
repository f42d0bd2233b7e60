import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { InferenceSession, Tensor as OrtTensor } from "onnxruntime-node";
import { prunableGroups } from "../compress/prune/index.ts";
import { layerWeights } from "../compress/sparsity/index.ts";
import { importOnnx } from "../formats/onnx/import.ts";
import { type Graph, GraphBuilder } from "../graph/graph.ts";
import { interpret } from "../graph/interpret.ts";
import { cleanGraph, compile, loadModel, toOnnx, trainableGraph } from "../pipeline.ts";
import { createSession } from "../runtime/session.ts";
import { elementCount, type Tensor, tensorOf, tensorType, toNumbers } from "../tensor/tensor.ts";
import { makeRng } from "../util/rng.ts";
import { type LogMelOptions, logMel, type MfccOptions, mfcc } from "./features.ts";
import { crossEntropy } from "./losses.ts";
import { fromMel, toMel } from "./mel.ts";
import { dsCnn } from "./models/ds-cnn.ts";
import { Net } from "./net.ts";
import { sgd } from "./optimizers.ts";
import { parametersOf, trainingStep } from "./step.ts";

interface Case {
  readonly options: MfccOptions;
  readonly logMel: number[][];
  readonly mfcc: number[][];
}

/** By bench/peers/audio_features.py. */
const librosa = JSON.parse(
  readFileSync(new URL("../../test/train/librosa-features.json", import.meta.url), "utf8"),
) as { readonly samples: number; readonly cases: readonly Case[] };

/** The signal of the script. */
const signal = (samples: number, rate: number): number[] =>
  Array.from({ length: samples }, (_, i) => {
    const t = (2 * Math.PI * i) / rate;
    const noise = (((i * 7919 + i * i * 31) % 2001) - 1000) / 1000;
    return 0.4 * Math.sin(440 * t) + 0.2 * Math.sin(2500 * t) + 0.1 * noise;
  });

/** Two rows of sound to log-mel energies and coefficients. */
function both(samples: number, options: MfccOptions): Graph {
  const g = new GraphBuilder("features");
  const x = g.input("sound", tensorType("f32", [2, samples]));
  g.output(logMel(g, x, options), "logMel");
  g.output(mfcc(g, x, options), "mfcc");
  return g.build();
}

function close(got: readonly number[], want: readonly number[], tolerance: number): void {
  assert.equal(got.length, want.length);
  const worst = got.reduce((m, v, i) => Math.max(m, Math.abs(v - want[i]!)), 0);
  assert.ok(worst < tolerance, `largest difference ${worst}`);
}

for (const [n, { options, ...want }] of librosa.cases.entries()) {
  test(`features equal librosa's: case ${n + 1}`, () => {
    const graph = both(librosa.samples, options);
    const x = signal(librosa.samples, options.sampleRate);
    const second = x.map((v) => 0.25 * v);
    const feed = tensorOf("f32", [2, librosa.samples], [...x, ...second]);
    const [mel, cepstrum] = interpret(graph, [feed]).map(toNumbers) as [number[], number[]];
    // Relative errors of f32 energies become absolute ones of their logarithms.
    close(mel.slice(0, mel.length / 2), want.logMel.flat(), 2e-4);
    close(cepstrum.slice(0, cepstrum.length / 2), want.mfcc.flat(), 4e-4);
    // A quarter of the amplitude is log 16 less where the offset does not count.
    const louder = want.logMel.flat().findIndex((v) => v > 2);
    assert.ok(louder >= 0);
    assert.ok(Math.abs(mel[louder]! - mel[mel.length / 2 + louder]! - Math.log(16)) < 0.01);
  });
}

const OPTIONS: MfccOptions = {
  sampleRate: 8000,
  frame: 200,
  hop: 80,
  bands: 12,
  low: 60,
  high: 3800,
  coefficients: 7,
};

/** By definition, in double precision. */
function byDefinition(x: readonly number[], o: MfccOptions): number[][] {
  const fft = 256;
  const frames = Math.floor((x.length - o.frame) / o.hop) + 1;
  const mel = (f: number): number => 2595 * Math.log10(1 + f / 700);
  const hz = (m: number): number => 700 * (10 ** (m / 2595) - 1);
  const step = (mel(o.high!) - mel(o.low!)) / (o.bands + 1);
  const edges = Array.from({ length: o.bands + 2 }, (_, i) => hz(mel(o.low!) + i * step));
  return Array.from({ length: frames }, (_, t) => {
    const energies = new Float64Array(o.bands);
    for (let k = 0; k <= fft / 2; k++) {
      let [re, im] = [0, 0];
      for (let i = 0; i < o.frame; i++) {
        const v = x[t * o.hop + i]! * (0.5 - 0.5 * Math.cos((2 * Math.PI * i) / o.frame));
        re += v * Math.cos((2 * Math.PI * k * i) / fft);
        im -= v * Math.sin((2 * Math.PI * k * i) / fft);
      }
      const f = (k * o.sampleRate) / fft;
      for (let b = 0; b < o.bands; b++) {
        const [l, c, r] = [edges[b]!, edges[b + 1]!, edges[b + 2]!];
        const weight = f <= c ? (f - l) / (c - l) : (r - f) / (r - c);
        energies[b]! += Math.max(0, weight) * (re * re + im * im);
      }
    }
    const logs = Array.from(energies, (e) => Math.log(e + 1e-6));
    return Array.from({ length: o.coefficients }, (_v, k) => {
      const sum = logs.reduce((s, v, i) => s + v * Math.cos((Math.PI * k * (2 * i + 1)) / (2 * o.bands)), 0); // biome-ignore format: formula
      return sum * Math.sqrt((k === 0 ? 1 : 2) / o.bands);
    });
  });
}

async function compiled(graph: Graph, feeds: readonly Tensor[]): Promise<number[][]> {
  const session = await createSession(compile(cleanGraph(graph)).program);
  const outs = session.run([...feeds]).map((t) => [...toNumbers(t)]);
  session.close();
  return outs;
}

test("features by default settings are those of the definition, compiled, through an ONNX file, and in ONNX Runtime", async () => {
  const graph = both(600, OPTIONS);
  const rng = makeRng(7);
  const x = Array.from({ length: 1200 }, () => Math.fround(0.3 * rng.normal()));
  const feeds = [tensorOf("f32", [2, 600], x)];
  const want = [x.slice(0, 600), x.slice(600)].flatMap((row) => byDefinition(row, OPTIONS).flat());
  const interpreted = interpret(graph, feeds).map((t) => [...toNumbers(t)]);
  close(interpreted[1]!, want, 1e-4);
  const wasm = await compiled(graph, feeds);
  close(wasm[0]!, interpreted[0]!, 1e-4);
  close(wasm[1]!, want, 2e-4);
  const file = toOnnx(cleanGraph(graph));
  const again = await compiled(importOnnx(file).graph, feeds);
  close(again[1]!, want, 2e-4);
  const ort = await InferenceSession.create(file);
  const results = await ort.run({ sound: new OrtTensor("float32", x, [2, 600]) });
  close(Array.from(results["mfcc"]!.data as Float32Array), want, 2e-4);
  await ort.release();
});

test("mel scales and their inverses", () => {
  for (const scale of ["htk", "slaney"] as const) {
    for (const hz of [0, 60, 999, 1000, 1001, 7600]) {
      assert.ok(Math.abs(fromMel(toMel(hz, scale), scale) - hz) < 1e-9 * (1 + hz));
    }
  }
  assert.ok(Math.abs(toMel(1000, "htk") - 999.9855) < 1e-3);
  assert.ok(Math.abs(toMel(1000, "slaney") - 15) < 1e-9);
  assert.ok(Math.abs(toMel(6400, "slaney") - 42) < 1e-9);
});

test("constants of features are not trained, also after an ONNX file", () => {
  const model = dsCnn({
    classes: 3,
    width: 8,
    blocks: 1,
    input: "sound",
    front: { shape: [2, 600], features: (net, x) => mfcc(net.graph, x, OPTIONS) },
  });
  const names = [...parametersOf(model).values()];
  assert.ok(names.includes("stem.weight"));
  assert.ok(names.every((name) => !name.startsWith("features")));
  const back = importOnnx(toOnnx(cleanGraph(model))).graph;
  // The layers have at most 320 weights, the tables of the features more; the last is told by its shape.
  const kept = [...parametersOf(back).keys()].map((v) => back.values.get(v)!.type.shape);
  assert.ok(kept.length >= 5);
  assert.ok(kept.every((shape) => elementCount(shape) <= 320));
  assert.ok(kept.every((shape) => [...shape].sort().join() !== "12,7"));
  const step = trainingStep(model, {
    optimizer: sgd(),
    loss: ({ g, outputs, input }) => crossEntropy(g, outputs["logits"]!, input("target", [2, 3])),
  });
  assert.ok(step.trained.length > 5);
});

test("settings that make no sense are refused together", () => {
  const g = new GraphBuilder("t");
  const x = g.input("sound", tensorType("f32", [1, 600]));
  const make = (o: Partial<MfccOptions>) => () => mfcc(g, x, { ...OPTIONS, ...o });
  assert.throws(make({ hop: 0, high: 5000 }), /hop 0.*high 5000/);
  assert.throws(make({ fft: 100 }), /shorter than the frame/);
  assert.throws(make({ coefficients: 13 }), /13 coefficients of 12 bands/);
  assert.throws(make({ frame: 601 }), { code: "E_SHAPE" });
  const flat = g.input("flat", tensorType("f32", [600]));
  const options: LogMelOptions = OPTIONS;
  assert.throws(() => logMel(g, flat, options), { code: "E_SHAPE" });
});

test("features are neither pruned nor set to 0, also after export and import", () => {
  const net = new Net("sound", { seed: 1 });
  const x = net.input("sound", [1, 256]);
  const options = { sampleRate: 8000, frame: 64, hop: 32, bands: 8 };
  const h = net.flatten(logMel(net.graph, x, options));
  const built = net.build(net.linear(net.relu(net.linear(h, 6, "hidden")), 3, "head"), "y");
  const read = trainableGraph(loadModel(toOnnx(built)).graph);
  for (const graph of [built, read]) {
    assert.deepEqual(
      prunableGroups(graph).map((g) => g.name),
      ["hidden"],
    );
    const weights = layerWeights(graph, parametersOf(graph));
    assert.deepEqual(
      weights.map((w) => w.tensor.data.length),
      [6 * 7 * 8, 18],
    );
  }
});
