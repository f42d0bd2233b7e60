/** @file The methods that structured.ts compares: networks, what they learn from, how their weights decay. */
import { compressedNames } from "../../src/compress/compressed.ts";
import type { Graph } from "../../src/graph/graph.ts";
import type { TrainingEngine } from "../../src/train/engine.ts";
import { meanSquaredError } from "../../src/train/losses.ts";
import { wideResnet } from "../../src/train/models/wide-resnet.ts";
import { Net } from "../../src/train/net.ts";
import { adam } from "../../src/train/optimizers.ts";
import type { DecayRule } from "../../src/train/parameters.ts";
import { cosineRate } from "../../src/train/schedules.ts";
import { trainingStep } from "../../src/train/step.ts";
import { type AcdcOptions, acdcStack } from "../../src/train/structured/acdc.ts";
import { crsDecay } from "../../src/train/structured/decay.ts";
import { hashedLinear } from "../../src/train/structured/hashed.ts";
import { createTrainer } from "../../src/train/trainer.ts";
import { UserError } from "../../src/util/errors.ts";
import { makeRng } from "../../src/util/rng.ts";
import { rounded } from "./run.ts";
import type { Variant } from "./variants.ts";

const BETA = 1000;

export interface MethodInput {
  readonly net: string;
  readonly batch: number;
  readonly seed: number;
  readonly teacher?: Graph;
  /** Weight decay of what is not compressed. */
  readonly decay: number;
}

export interface Experiment {
  readonly data: "cifar10" | "mnist";
  readonly needsTeacher: boolean;
  readonly net: string;
  readonly epochs: number;
  readonly rate: number;
  /** The first is what the others are compared with. */
  readonly methods: readonly string[];
  variant(method: string, input: MethodInput): Variant;
}

function unknown(method: string, forms: string): never {
  throw new UserError("E_ARGUMENT", `unknown method '${method}'`, { hint: forms });
}

/** "wrn-16-2", its blocks in place of S. */
function wrn(net: string, { batch, seed }: MethodInput, blocks = "S"): Graph {
  const [, depth, width] = /^wrn-(\d+)-(\d+)$/.exec(net) ?? [];
  if (depth === undefined) return unknown(net, "networks are wrn-DEPTH-WIDTH");
  return wideResnet({ depth: Number(depth), width: Number(width), blocks, batch, seed });
}

/** The same decay for weights of all layers, those of compressed layers of any shape. */
function plainDecay(graph: Graph, decay: number): DecayRule {
  const names = compressedNames(graph);
  return (name, _tensor, tag) => (tag === "weight" || names.has(name) ? decay : 0);
}

/** NET/BLOCK or NET, "+at" for attention transfer: WRN-16-2 with BG(2,4) has the size of WRN-10-1. */
const blocksAgainstThin: Experiment = {
  ...{ data: "cifar10", needsTeacher: true, net: "wrn-16-2", epochs: 6, rate: 0.1 },
  methods: ["wrn-10-1", "wrn-10-1+at", "BG(2,4)", "BG(2,4)+at"],
  variant: (method, input) => {
    const [what = "", loss] = method.split("+");
    if (loss !== undefined && loss !== "at") unknown(method, "BLOCK, wrn-10-1, either with +at");
    const model = what.startsWith("wrn-") ? wrn(what, input) : wrn(input.net, input, what);
    const taught = loss === "at" && input.teacher !== undefined;
    return {
      ...{ model, decay: input.decay },
      ...(taught && { loss: { beta: BETA }, teacher: input.teacher! }),
    };
  },
};

/** BLOCK:plain, BLOCK:crs, BLOCK:none, or BLOCK:0.1 with this share of the decay on all weights. */
function decays(methods: readonly string[]): Experiment {
  return {
    ...{ data: "cifar10", needsTeacher: false, net: "wrn-10-2", epochs: 6, rate: 0.1, methods },
    variant: (method, input) => {
      const [block = "", how = ""] = method.split(":");
      const model = wrn(input.net, input, block);
      if (how === "plain") return { model, decay: plainDecay(model, input.decay) };
      if (how === "crs")
        return { model, decay: crsDecay(model, wrn(input.net, input), input.decay) };
      if (Number(how) > 0) {
        return { model, decay: plainDecay(model, Number(how) * input.decay) };
      }
      if (how !== "none") return unknown(method, "BLOCK:plain, BLOCK:crs, BLOCK:none or BLOCK:0.1");
      const names = compressedNames(model);
      return {
        model,
        decay: (name, _t, tag) => (tag === "weight" && !names.has(name) ? input.decay : 0),
      };
    },
  };
}

const HIDDEN = 512;
const PIXELS = 784;
const CLASSES = 10;

const storedOf = (share: number): number =>
  Math.ceil(share * (PIXELS + 1) * HIDDEN) + Math.ceil(share * (HIDDEN + 1) * CLASSES);

/** Hidden units of the dense network with about as many weights. */
const thinOf = (share: number): number =>
  Math.max(1, Math.round((storedOf(share) - CLASSES) / (PIXELS + 1 + CLASSES)));

const shareOf = (text: string): number => {
  const [, under] = /^1\/(\d+)$/.exec(text) ?? [];
  return under === undefined ? unknown(text, "dense, hashed-1/8 or thin-1/8") : 1 / Number(under);
};

/** dense, hashed-1/N and thin-1/N: the hidden units of hashed networks are those of the dense one. */
const hashedAgainstThin: Experiment = {
  ...{ data: "mnist", needsTeacher: false, net: `mlp-${HIDDEN}`, epochs: 10, rate: 0.05 },
  methods: ["thin-1/8", "hashed-1/8", "thin-1/64", "hashed-1/64", "dense"],
  variant: (method, { batch, seed }) => {
    const [kind = "", text] = method.split("-");
    const share = text === undefined ? 1 : shareOf(text);
    const net = new Net(method, { seed });
    const x = net.flatten(net.input("image", [batch, 28, 28, 1]));
    if (kind === "hashed") {
      const layer = hashedLinear({ weights: { share }, seed });
      const h = net.relu(layer(net, x, HIDDEN, "layer1"));
      return { model: net.build(layer(net, h, CLASSES, "head")), decay: 0 };
    }
    if (kind !== "thin" && method !== "dense") unknown(method, "dense, hashed-1/8 or thin-1/8");
    const h = net.relu(net.linear(x, kind === "thin" ? thinOf(share) : HIDDEN, "layer1"));
    return { model: net.build(net.linear(h, CLASSES, "head")), decay: 0 };
  },
};

/** One ACDC stack of the pictures' size in front of the classifier, acdc-LAYERS:plain, :crs or :none. */
const digitsThroughAcdc: Experiment = {
  ...{ data: "mnist", needsTeacher: false, net: "acdc", epochs: 10, rate: 0.05 },
  methods: ["acdc-12:crs", "acdc-12:plain", "acdc-12:none"],
  variant: (method, { batch, seed, decay }) => {
    const [, layers, how] = /^acdc-(\d+):(plain|crs|none)$/.exec(method) ?? [];
    if (layers === undefined) return unknown(method, "acdc-LAYERS:plain, :crs or :none");
    const build = (dense: boolean): Graph => {
      const net = new Net(method, { seed });
      const x = net.flatten(net.input("image", [batch, 28, 28, 1]));
      const stack = acdcStack({ layers: Number(layers), seed });
      const h = dense ? net.linear(x, PIXELS, "layer1") : stack(net, x, PIXELS, "layer1");
      return net.build(net.linear(net.relu(h), CLASSES, "head"));
    };
    const model = build(false);
    if (how === "plain") return { model, decay: plainDecay(model, decay) };
    return { model, decay: how === "crs" ? crsDecay(model, build(true), decay) : 0 };
  },
};

const BLOCKS = ["Shuffle(4)", "TTTensor(0.25)", "Tucker(0.25)", "ACDC(4)", "Hashed(0.1)"];

const EXPERIMENTS: Readonly<Record<string, Experiment>> = {
  e1: {
    ...blocksAgainstThin,
    net: "wrn-10-2",
    methods: BLOCKS.flatMap((block) => [block, `${block}+at`]),
  },
  e2: blocksAgainstThin,
  e3: decays(BLOCKS.flatMap((b) => [`${b}:plain`, `${b}:crs`])),
  e4: decays(["ACDC(12):crs", "ACDC(12):plain", "ACDC(12):none"]),
  "e4-mnist": digitsThroughAcdc,
  e6: hashedAgainstThin,
};

export const experimentNamed = (name: string): Experiment | undefined =>
  Object.hasOwn(EXPERIMENTS, name) ? EXPERIMENTS[name] : undefined;

const WIDTH = 32;
const ROWS = 250;
const DEPTHS = [1, 2, 4, 8, 16, 32];
const PERMUTATIONS = ["random", "riffle", "none"] as const;

export interface DepthOptions {
  readonly seed: number;
  readonly steps: number;
  readonly engine: TrainingEngine;
  /** Methods such as random-4, by commas; default all. */
  readonly only: string | undefined;
}

/** Linear ACDC stacks fitted to y = W x, x uniform from -1 to 1, W normal with variance 1 / 32. */
export async function* depthErrors({ seed, steps, engine, only }: DepthOptions) {
  for (const permutation of PERMUTATIONS) {
    for (const layers of DEPTHS) {
      const method = `${permutation}-${layers}`;
      if (only !== undefined && !only.split(",").includes(method)) continue;
      const options = { layers, permutation, relu: false, bias: false, seed } as const;
      const error = await fitMap(options, seed, steps, engine);
      yield { method, ...error };
    }
  }
}

/** Of the last tenth of the steps: mean squared error, and that over the mean square of y. */
async function fitMap(options: AcdcOptions, seed: number, steps: number, engine: TrainingEngine) {
  const net = new Net("map", { seed });
  const x = net.input("x", [ROWS, WIDTH]);
  const model = net.build(acdcStack(options)(net, x, WIDTH, "stack"), "y");
  const optimizer = adam({});
  const step = trainingStep(model, {
    optimizer,
    loss: ({ g, outputs, input }) =>
      meanSquaredError(g, outputs["y"]!, input("target", [ROWS, WIDTH])),
  });
  const trainer = await createTrainer(model, step, optimizer, { engine });
  const [mapRng, rng] = [makeRng(1000 + seed), makeRng(2000 + seed)];
  const map = Float64Array.from(
    { length: WIDTH * WIDTH },
    () => mapRng.normal() / Math.sqrt(WIDTH),
  );
  const schedule = cosineRate(0.02, steps);
  const tail = Math.max(1, Math.round(steps / 10));
  let [loss, square] = [0, 0];
  for (let n = 0; n < steps; n++) {
    const from = Float32Array.from({ length: ROWS * WIDTH }, () => 2 * rng.next() - 1);
    const target = product(map, from);
    const found = trainer.step({ x: from, target }, schedule(n)).loss;
    if (n < steps - tail) continue;
    loss += found / tail;
    square += target.reduce((s, y) => s + y * y, 0) / target.length / tail;
  }
  trainer.close();
  return { meanSquaredError: rounded(loss, 5), relativeError: rounded(loss / square, 5) };
}

function product(map: Float64Array, x: Float32Array): Float32Array {
  return Float32Array.from({ length: x.length }, (_, i) => {
    const [row, out] = [Math.floor(i / WIDTH), i % WIDTH];
    let sum = 0;
    for (let k = 0; k < WIDTH; k++) sum += map[out * WIDTH + k]! * x[row * WIDTH + k]!;
    return sum;
  });
}
