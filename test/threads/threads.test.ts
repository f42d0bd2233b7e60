/** @file Models on several threads in Node: equal bytes, failures, endings, and no work while idle. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { createRequire, syncBuiltinESMExports } from "node:module";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { fileURLToPath, pathToFileURL } from "node:url";
import { setFlagsFromString } from "node:v8";
import type { Worker } from "node:worker_threads";
import { build } from "esbuild";
import { binary, KernelBuilder } from "../../src/kernel/build.ts";
import type { Program } from "../../src/kernel/program.ts";
import { splitKernel } from "../../src/kernel/split.ts";
import { shareProgram } from "../../src/kernel/threads.ts";
import { cleanGraph, compile, loadModel } from "../../src/pipeline.ts";
import { WASM256 } from "../../src/primitives/capabilities.ts";
import { createSession, type Session } from "../../src/runtime/session.ts";
import { createWideSession } from "../../src/runtime/wasm256.ts";
import { writeArtefact } from "../../src/targets/wasm/artefact.ts";
import { instantiateModel, type ModelInstance } from "../../src/targets/wasm/loader.ts";
import { emitModule } from "../../src/targets/wasm/module.ts";
import { bytesOf, type Tensor } from "../../src/tensor/tensor.ts";
import { smallFeeds, smallProgram } from "../support/small-program.ts";
import { threadedFeed, threadedGraph, threadedProgram } from "../support/threaded-model.ts";
import { mlperfTiny, ocrModel, seededFeeds } from "../support/whole-models.ts";
import { writeFiles } from "../support/write-files.ts";

const outputs = (session: Session, feeds: readonly Tensor[]): Uint8Array[] =>
  session.run(feeds).map(bytesOf);

test("1 to 4 threads give the same bytes in every variant", async () => {
  const program = threadedProgram();
  for (const variant of ["base", "fma", "dot8"] as const) {
    const alone = await createSession(program, { variant });
    const want = outputs(alone, [threadedFeed(1)]);
    for (const threads of [2, 3, 4]) {
      const session = await createSession(program, { variant, threads });
      assert.equal(session.threads, threads);
      assert.equal(session.note, undefined);
      session.run([threadedFeed(2)]);
      assert.deepEqual(outputs(session, [threadedFeed(1)]), want, `${threads} threads, ${variant}`);
      session.close();
      assert.throws(() => session.run([threadedFeed()]), /is closed/);
    }
  }
});

const MODELS = [
  ["PP-OCR classifier", () => ocrModel("ch_ppocr_mobile_v2.0_cls_infer.onnx"), [1, 3, 48, 192]],
  ["visual wake words, int8", () => mlperfTiny("vww_mobilenetv1_float.tflite"), null],
] as const;

for (const [name, read, shape] of MODELS) {
  test(`${name}: threads give the same bytes`, async (t) => {
    const bytes = read();
    if (bytes === null) return t.diagnostic("not tested: the model is not here");
    const { graph } = loadModel(bytes, shape === null ? {} : { shapes: { x: shape } });
    const { program } = compile(cleanGraph(graph));
    const feeds = seededFeeds(graph, 3);
    const alone = await createSession(program);
    const want = outputs(alone, feeds);
    for (const threads of [2, 3, 4]) {
      const session = await createSession(program, { threads, share: "all" });
      assert.equal(session.threads, threads, session.note);
      for (let i = 0; i < 3; i++) assert.deepEqual(outputs(session, feeds), want);
      session.close();
    }
  });
}

test("steps run one by one, and many runs, more threads than cores", async (t) => {
  const program = threadedProgram();
  const alone = await createSession(program, { variant: "base" });
  for (const threads of [2, 8]) {
    const session = await createSession(program, { variant: "base", threads, share: "all" });
    assert.equal(session.profile(2).length, program.steps.length);
    const until = performance.now() + 2500;
    let runs = 0;
    for (; runs < 3000 && performance.now() < until; runs++) {
      const feeds = [threadedFeed(runs % 7)];
      if (runs % 50 === 0) assert.deepEqual(outputs(session, feeds), outputs(alone, feeds));
      else session.run(feeds);
    }
    t.diagnostic(`${runs} runs on ${threads} threads`);
    assert.ok(runs > 20, `${runs} runs on ${threads} threads in 2.5 seconds`);
    session.close();
  }
});

test("V8's wide vectors go with threads", async () => {
  const { program } = compile(threadedGraph(), { caps: WASM256 });
  const want = await createWideSession(program, setFlagsFromString);
  const session = await createWideSession(program, setFlagsFromString, 2);
  assert.deepEqual([session.threads, session.note], [2, undefined]);
  assert.equal(session.variant, want.variant);
  const feeds = [threadedFeed(4)];
  for (let i = 0; i < 20; i++) assert.deepEqual(outputs(session, feeds), outputs(want, feeds));
  session.close();
});

/** All workers started until the test ends; `change` may replace what they run. */
function watchWorkers(t: TestContext, change = (code: string): string => code): Worker[] {
  const builtin = createRequire(import.meta.url)("node:worker_threads");
  const Original = builtin.Worker as new (code: string, options: object) => Worker;
  const started: Worker[] = [];
  builtin.Worker = class extends Original {
    constructor(code: string, options: object) {
      super(change(code), options);
      started.push(this);
    }
  };
  syncBuiltinESMExports();
  t.after(() => {
    builtin.Worker = Original;
    syncBuiltinESMExports();
  });
  return started;
}

const load = (program: Program, threads: number): Promise<ModelInstance> =>
  instantiateModel(emitModule(program, { threads: "all" }).wasm, undefined, undefined, { threads });

test("the end of a worker is the caller's error", async (t) => {
  const workers = watchWorkers(t);
  const model = await load(threadedProgram(), 3);
  model.execute();
  assert.equal(workers.length, 2);
  await workers[1]!.terminate();
  assert.throws(() => model.execute(), /a thread of the model failed: it ended with code 1/);
  assert.throws(() => model.step(0), /load the model again/);
  model.close();
});

test("without workers the model runs on one thread and says why", async (t) => {
  let text = "";
  watchWorkers(t, () => text);
  for (const code of ["throw new Error('no luck')", "process.exit(7)"]) {
    text = code;
    const model = await load(threadedProgram(), 2);
    assert.equal(model.threads, 1);
    assert.match(
      model.note!,
      /workers could not be started: (Error: no luck|it ended with code 7)/,
    );
    const alone = await load(threadedProgram(), 1);
    const feed = [threadedFeed().data as Float32Array];
    assert.deepEqual(model.run(feed), alone.run(feed));
  }
});

/** Divides in many parts; the second half of the divisors may be zero. */
function dividing(): Program {
  const n = 4096;
  const k = new KernelBuilder("divide");
  const x = k.buffer("x", "i32", n, "in");
  const y = k.buffer("y", "i32", n, "out");
  k.forParallel("i", 0, n, (i) => k.store(y, i, binary("div", i, k.load(x, i))));
  assert.ok(splitKernel(k.build()) !== null);
  const type = { dtype: "i32", shape: [n] } as const;
  return {
    ...{ name: "divide", kernels: [k.build()], constants: [], init: [], meta: {} },
    steps: [{ kernel: 0, bases: [64, 64 + 4 * n], args: [], label: "" }],
    inputs: [{ name: "x", type, offset: 64 }],
    outputs: [{ name: "y", type, offset: 64 + 4 * n }],
    memoryBytes: 64 + 8 * n,
    arenaBytes: 0,
  };
}

test("a trap in any thread is the caller's error and names its cause", async () => {
  for (const [from, to] of [
    [2048, 4096],
    [0, 2048],
  ] as const) {
    const model = await load(dividing(), 2);
    assert.equal(model.run([new Int32Array(4096).fill(2)])["y"]![4095], 2047);
    const feed = new Int32Array(4096).fill(1).fill(0, from, to);
    assert.throws(() => model.run([feed]), /a thread of the model failed: .*divide by zero/);
    assert.throws(() => model.run([feed.fill(1)]), /load the model again/);
    model.close();
  }
});

test("what cannot have threads says so", async (t) => {
  const small = emitModule(smallProgram(), { threads: true });
  assert.equal(small.threads, false);
  assert.equal(shareProgram(smallProgram()), null);
  const model = await instantiateModel(small.wasm, undefined, undefined, { threads: 2 });
  assert.match(model.note!, /no code for threads: it is too small/);
  assert.equal(model.threads, 1);
  model.run(smallFeeds().map((f) => f.data as Float32Array));
  Object.defineProperty(globalThis, "crossOriginIsolated", { value: false, configurable: true });
  t.after(() => Reflect.deleteProperty(globalThis, "crossOriginIsolated"));
  assert.match((await load(threadedProgram(), 2)).note!, /not cross-origin isolated.*require-corp/);
  for (const threads of [0, 1.5, 1000]) {
    await assert.rejects(load(threadedProgram(), threads), /threads: expected an integer from 1/);
  }
});

/** Runs a script beside the artefact of the threaded program; gives its output as JSON. */
function runBeside(t: TestContext, script: string, options = {}): Record<string, unknown> {
  const { files } = writeArtefact(threadedProgram(), { threads: true, ...options });
  const head =
    'import { load } from "./model.js";\nconst x = new Float32Array(48 * 48 * 16).fill(1);\n';
  const directory = writeFiles(t, [...files, ["main.mjs", head + script]]);
  const main = pathToFileURL(join(directory, "main.mjs")).pathname;
  const done = spawnSync(process.execPath, [main], { encoding: "utf8", timeout: 60000 });
  assert.equal(done.stderr, "");
  assert.equal(done.status, 0, `status ${done.status}, signal ${done.signal}`);
  return JSON.parse(done.stdout) as Record<string, unknown>;
}

test("artefacts run on threads, which end with the process", async (t) => {
  const script = `
const one = await load();
const two = await load(undefined, undefined, { threads: 3 });
const equal = Buffer.compare(Buffer.from(one.run({ x }).y.buffer), Buffer.from(two.run({ x }).y.buffer));
console.log(JSON.stringify({ threads: [one.threads, two.threads], equal, keys: Object.keys(two) }));
`;
  for (const options of [{}, { inline: true }, { weights: "file" }]) {
    const got = runBeside(t, script, options);
    const keys = ["threads", "close", "variant", "memory", "inputs", "outputs", "run"];
    assert.deepEqual(got, { threads: [1, 3], equal: 0, keys });
  }
});

test("threads survive bundling and minification, of artefacts and of their writer", async (t) => {
  const common = { bundle: true, minify: true, write: false, format: "esm" } as const;
  for (const keepNames of [false, true]) {
    const writer = await build({
      ...{ ...common, keepNames, platform: "browser" },
      entryPoints: [fileURLToPath(new URL("../../src/targets/wasm/artefact.ts", import.meta.url))],
    });
    const folder = writeFiles(t, [["writer.js", writer.outputFiles[0]!.text]]);
    const bundled = (await import(pathToFileURL(join(folder, "writer.js")).href)) as {
      writeArtefact: typeof writeArtefact;
    };
    const { files } = bundled.writeArtefact(threadedProgram(), { threads: true, inline: true });
    const contents = files.get("model.js") as string;
    const artefact = await build({ ...common, keepNames, stdin: { contents, loader: "js" } });
    const got = writeFiles(t, [["model.js", artefact.outputFiles[0]!.text]]);
    const { load } = (await import(pathToFileURL(join(got, "model.js")).href)) as {
      load: (...args: unknown[]) => Promise<ModelInstance>;
    };
    const model = await load(undefined, undefined, { threads: 2 });
    assert.deepEqual([model.threads, model.note], [2, undefined]);
    const x = threadedFeed().data as Float32Array;
    assert.deepEqual(model.run({ x }), (await load()).run({ x }));
    model.close();
  }
});

test("idle threads use no processor, and close ends them", async (t) => {
  const got = runBeside(
    t,
    `
const model = await load(undefined, undefined, { threads: 4 });
for (let i = 0; i < 20; i++) model.run({ x });
await new Promise((r) => setTimeout(r, 100));
const before = process.cpuUsage();
await new Promise((r) => setTimeout(r, 400));
const { user, system } = process.cpuUsage(before);
model.close();
let closed = "";
try { model.run({ x }); } catch (error) { closed = error.message; }
console.log(JSON.stringify({ busyMs: (user + system) / 1000, closed }));
`,
  );
  assert.equal(got["closed"], "the model is closed");
  assert.ok(Number(got["busyMs"]) < 150, `${got["busyMs"]} ms of 400 while idle`);
});
