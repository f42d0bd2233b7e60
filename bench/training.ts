/**
 * @file The speed of training ResNet-8 at a batch of 32, whole steps, beside peers in the same run: PyTorch where
 * `--python` names an interpreter that has it, `@jax-js/jax` on the convolutions. `npm run bench:training`
 */
import { type ChildProcess, spawn } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { parseArgs } from "node:util";
import { machineInfo } from "../cli/measure.ts";
import { openTarget, type Target } from "../cli/target.ts";
import { gradients } from "../src/autodiff/backward.ts";
import { Calc } from "../src/autodiff/calc.ts";
import { type Graph, GraphBuilder } from "../src/graph/graph.ts";
import { nativeEngine } from "../src/native/index.ts";
import { conv } from "../src/ops/nn/conv.ts";
import { compile } from "../src/pipeline.ts";
import type { Session } from "../src/runtime/session.ts";
import { tensorType } from "../src/tensor/tensor.ts";
import { wasmEngine } from "../src/train/engine.ts";
import { crossEntropy } from "../src/train/losses.ts";
import { resnet8 } from "../src/train/models/resnet8.ts";
import { sgd } from "../src/train/optimizers.ts";
import { trainingStep } from "../src/train/step.ts";
import { createTrainer } from "../src/train/trainer.ts";
import { UserError } from "../src/util/errors.ts";
import { median } from "../src/util/math.ts";
import { measureGemm } from "./gemm.ts";
import { type ConvShape, jaxConv } from "./peers/jax.ts";
import type { GemmFigure } from "./results.ts";

const BATCH = 32;
const ROUNDS = 9;
const STEPS = 15;
const JAX_RUNS = 3;

/** Multiply-accumulates of a picture's forward pass by convolutions and the last layer. */
const MACS = 12_501_632;
/** Of the first convolution, whose input needs no gradient. */
const STEM_MACS = 32 * 32 * 16 * 27;
/** Floating-point operations of the products in one step. */
const STEP_FLOPS = 2 * BATCH * (3 * MACS - STEM_MACS);

/** The residual blocks' convolutions. */
const CONVS: readonly ConvShape[] = [
  { batch: BATCH, side: 32, inputs: 16, outputs: 16, kernel: 3 },
  { batch: BATCH, side: 16, inputs: 32, outputs: 32, kernel: 3 },
  { batch: BATCH, side: 8, inputs: 64, outputs: 64, kernel: 3 },
];

const THREADS = [1, 2] as const;

const nameOf = (who: string, threads: number): string =>
  `${who}, ${threads} thread${threads === 1 ? "" : "s"}`;

/** Something that trains: the median milliseconds of a few steps. */
interface Contender {
  readonly name: string;
  measure(): Promise<number>;
  close(): void;
}

async function tersor(target: Target, threads: number): Promise<Contender> {
  const model = resnet8({ batch: BATCH });
  const step = trainingStep(model, {
    optimizer: sgd({ momentum: 0.9 }),
    loss: ({ g, outputs, input }) =>
      crossEntropy(g, outputs["logits"]!, input("target", [BATCH, 10])),
  });
  const engine = target.name === "native" ? await nativeEngine() : wasmEngine;
  const trainer = await createTrainer(model, step, sgd({ momentum: 0.9 }), { threads, engine });
  const image = Float32Array.from({ length: BATCH * 32 * 32 * 3 }, (_, i) => Math.sin(i));
  const labels = Float32Array.from({ length: BATCH * 10 }, (_, i) => Number(i % 11 === 0));
  const run = (): number => {
    const start = performance.now();
    trainer.step({ image, target: labels }, 1e-3);
    return performance.now() - start;
  };
  for (let i = 0; i < 2 * STEPS; i++) run();
  return {
    name: nameOf(`tersor ${target.name}`, threads),
    measure: async () => median(Array.from({ length: STEPS }, run)),
    close: () => trainer.close(),
  };
}

/** PyTorch in a process of its own, which sleeps while others are timed. */
async function pytorch(python: string): Promise<readonly Contender[]> {
  const script = new URL("./peers/training_speed.py", import.meta.url).pathname;
  const child: ChildProcess = spawn(python, [script, String(BATCH)], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  const lines = createInterface({ input: child.stdout! })[Symbol.asyncIterator]();
  const read = async (): Promise<string> => {
    const { value, done } = await lines.next();
    if (done === true) throw new UserError("E_ARGUMENT", `${python} cannot run PyTorch`);
    return value;
  };
  const version = await read();
  const ask = async (threads: number): Promise<number> => {
    child.stdin!.write(`${threads} ${STEPS}\n`);
    return Number(await read());
  };
  for (const threads of THREADS) await ask(threads);
  return THREADS.map((threads) => ({
    name: nameOf(`PyTorch ${version}`, threads),
    measure: () => ask(threads),
    close: () => child.stdin!.end(),
  }));
}

/** A convolution, or its gradients, as a graph. */
function convGraph(s: ConvShape, backward: boolean): Graph {
  const g = new GraphBuilder("conv");
  const f32 = (shape: readonly number[]) => tensorType("f32", shape);
  const x = g.input("x", f32([s.batch, s.side, s.side, s.inputs]));
  const w = g.input("w", f32([s.outputs, s.kernel, s.kernel, s.inputs]));
  const pad: [number, number] = [(s.kernel - 1) >> 1, (s.kernel - 1) >> 1];
  const y = g.apply(conv, [x, w], {
    layout: "nhwc",
    stride: [1, 1],
    padBegin: pad,
    padEnd: pad,
    dilation: [1, 1],
    groups: 1,
  });
  if (!backward) g.output(y, "y");
  else {
    const dy = g.input("dy", f32([s.batch, s.side, s.side, s.outputs]));
    const c = new Calc(g);
    const loss = c.sum(c.mul(y, dy), [0, 1, 2, 3]);
    gradients(g, loss, [x, w]).forEach((v, i) => {
      g.output(v, `d${i}`);
    });
  }
  return g.build();
}

interface ConvFigure {
  readonly shape: ConvShape;
  readonly tersorMs: number;
  readonly jaxMs: number;
}

/** Forward plus both gradients, on one thread of WebAssembly each. */
async function convFigure(shape: ConvShape, wasm: Target): Promise<ConvFigure> {
  const sessions: Session[] = [];
  for (const backward of [false, true]) {
    sessions.push(await wasm.open(compile(convGraph(shape, backward)).program));
  }
  for (const s of sessions) s.warmUp();
  const tersorMs = sessions.reduce((sum, s) => sum + Math.min(...s.time(20)), 0);
  for (const s of sessions) s.close();
  const jax = await jaxConv(shape, JAX_RUNS);
  return { shape, tersorMs, jaxMs: jax.forwardMs + jax.backwardMs };
}

async function targets(): Promise<readonly Target[]> {
  const wasm = await openTarget("wasm");
  try {
    return [wasm, await openTarget("native")];
  } catch (error) {
    if (!(error instanceof UserError) || error.code !== "E_TARGET") throw error;
    console.log(`native code left out: ${error.message}`);
    return [wasm];
  }
}

/** Medians over rounds in which all take turns, the order turning round each time. */
async function inTurns(all: readonly Contender[]): Promise<ReadonlyMap<string, number>> {
  const times = new Map(all.map((c) => [c.name, [] as number[]]));
  for (let round = 0; round < ROUNDS; round++) {
    const order = round % 2 === 0 ? all : [...all].reverse();
    for (const c of order) times.get(c.name)!.push(await c.measure());
  }
  return new Map([...times].map(([name, list]) => [name, median(list)]));
}

const flops = (ms: number): number => STEP_FLOPS / ms / 1e6;

/** Lines about one target: its share of the matrix kernel's rate, and what a second thread gives. */
function targetText({ target, kernel }: GemmFigure, steps: ReadonlyMap<string, number>): string {
  const [one, two] = [1, 2].map((threads) => steps.get(nameOf(`tersor ${target}`, threads))!);
  const share = (100 * flops(one!)) / kernel.gflops;
  return (
    `${target}: the matrix kernel does ${kernel.gflops.toFixed(1)} GFLOP/s on one thread, the step ` +
    `${share.toFixed(0)} % of that; two threads ${(one! / two!).toFixed(2)}x`
  );
}

function peerText(steps: ReadonlyMap<string, number>, peer: string, threads: number): string {
  const [ours, theirs] = [nameOf("tersor native", threads), nameOf(peer, threads)];
  const [a, b] = [steps.get(ours), steps.get(theirs)];
  return a === undefined || b === undefined ? "" : `${ours} over ${theirs}: ${(b / a).toFixed(2)}x`;
}

function convText({ shape, tersorMs, jaxMs }: ConvFigure): string {
  const text = `${shape.side}x${shape.side}, ${shape.inputs} to ${shape.outputs} channels`;
  const ratio = (jaxMs / tersorMs).toFixed(0);
  return `${text.padEnd(28)} tersor ${tersorMs.toFixed(2)}  @jax-js/jax ${jaxMs.toFixed(1)}  ${ratio}x`;
}

async function main(python: string | undefined, out: string): Promise<void> {
  const machine = machineInfo();
  console.log(
    `${machine.cpu}, Node ${machine.node}; ResNet-8, batch ${BATCH}, forward, backward and SGD update\n`,
  );
  const available = await targets();
  const gemm = await measureGemm();
  const contenders: Contender[] = [];
  for (const target of available) {
    for (const threads of THREADS) contenders.push(await tersor(target, threads));
  }
  const peers = python === undefined ? [] : await pytorch(python);
  if (peers.length === 0) console.log("PyTorch left out: name an interpreter with --python\n");
  const steps = await inTurns([...contenders, ...peers]);
  for (const c of [...contenders, ...peers]) c.close();
  for (const [name, ms] of steps) {
    const rate = flops(ms).toFixed(1).padStart(6);
    console.log(`${name.padEnd(32)} ${ms.toFixed(1).padStart(7)} ms ${rate} GFLOP/s`);
  }
  for (const figure of gemm) console.log(`\n${targetText(figure, steps)}`);
  for (const [i, threads] of THREADS.entries()) {
    const peer = peers[i]?.name.split(",")[0];
    if (peer !== undefined) console.log(peerText(steps, peer, threads));
  }
  console.log("\nforward and both gradients of a convolution, one thread of WebAssembly, ms");
  const convs: ConvFigure[] = [];
  for (const shape of CONVS) {
    const figure = await convFigure(shape, available[0]!);
    convs.push(figure);
    console.log(convText(figure));
  }
  mkdirSync(out, { recursive: true });
  const report = { machine, steps: Object.fromEntries(steps), gemm, convs };
  writeFileSync(join(out, "training.json"), `${JSON.stringify(report, null, 1)}\n`);
}

const { values: flags } = parseArgs({
  options: { python: { type: "string" }, out: { type: "string", default: "out/bench" } },
});
await main(flags.python, flags.out);
process.exit(0);
