/** @file `tersor train`: what it refuses and how it says so, stopping and going on, what it writes. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import {
  appendFileSync,
  existsSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { after, suite, test } from "node:test";
import { openModel } from "../src/node.ts";
import { exitsOf } from "../src/train/exits/index.ts";
import { loadCheckpoint } from "../src/train/node/checkpoints.ts";
import type { UserError } from "../src/util/errors.ts";
import { type CliResult, tersor } from "../test/support/cli.ts";
import { writeDigits } from "../test/support/digits.ts";
import { checkTrainConfig } from "./train-config.ts";
import { openLog, parseLog } from "./train-log.ts";
import { fitsPattern } from "./train-setup.ts";
import { progressLine, timeText } from "./train-view.ts";

const folder = mkdtempSync(join(tmpdir(), "tersor-train-"));
after(() => rmSync(folder, { recursive: true, force: true }));
const paths = writeDigits(join(folder, "data"), 120, 40);

type Plain = Readonly<Record<string, unknown>>;

const BASE: Plain = {
  model: { build: "lenet5" },
  data: { train: paths.train, eval: paths.test, batch: 10 },
  schedule: { kind: "cosine", rate: 0.01 },
  epochs: 2,
  checkpoint: { every: 5 },
};

/** Changes to the base, the message, the hint. */
const WRONG: readonly (readonly [Plain, RegExp, RegExp?])[] = [
  [{ epochs: undefined }, /^epochs: missing$/, /needs model, data, schedule, epochs/],
  [{ epochs: 0 }, /^epochs: expected a number above 0, got 0$/],
  [{ epoch: 3 }, /^epoch: unknown key$/, /known here: model, data, loss/],
  [{ seed: 1.5 }, /^seed: expected a whole number of at least 0, got 1.5$/],
  [{ engine: "gpu" }, /^engine: expected "wasm" or "native", got "gpu"$/],
  [{ model: "lenet5" }, /^model: expected an object, got "lenet5"$/],
  [{ model: {} }, /^model\.build: missing$/],
  [{ model: { build: "vgg" } }, /^model\.build: expected "lenet5" or .*"mlp".*, got "vgg"$/],
  [{ model: { build: "wide-resnet", depth: 10 } }, /^model\.width: missing$/],
  [{ model: { build: "lenet5", depth: 3 } }, /^model\.depth: unknown key$/],
  [
    { model: { file: "m.onnx", freeze: "conv*" } },
    /^model\.freeze: expected a list, got "conv\*"$/,
  ],
  [{ model: { file: "m.onnx", freeze: [3] } }, /^model\.freeze\[0\]: expected text, got 3$/],
  [{ data: { train: "a" } }, /^data\.batch: missing$/],
  [{ data: { train: "a", batch: "32" } }, /^data\.batch: expected a whole .*, got "32"$/],
  [{ data: { train: "a", batch: 4, size: [3] } }, /^data\.size: expected 2 entries, got \[3\]$/],
  [
    { data: { train: "a", batch: 4, std: [0] } },
    /^data\.std\[0\]: expected a number above 0, got 0$/,
  ],
  [
    { data: { train: "a", batch: 4, augment: { flip: true } } },
    /^data\.augment\.flip: unknown key$/,
    /shift, mirror/,
  ],
  [
    { data: { train: "a", batch: 4, augment: { mirror: 1 } } },
    /^data\.augment\.mirror: expected true or false, got 1$/,
  ],
  [{ loss: { kind: "hinge" } }, /^loss\.kind: expected "cross-entropy", "mse", .*, got "hinge"$/],
  [{ loss: { kind: "cross-entropy", smoothing: 2 } }, /^loss\.smoothing: .* 0 to 1, got 2$/],
  [{ loss: { kind: "distillation" } }, /^loss\.teacher: missing$/],
  [
    { optimizer: { kind: "sgd", momentum: 0.9 } },
    /^optimizer\.momentum: unknown key$/,
    /kind, decay/,
  ],
  [{ optimizer: { kind: "adam", decay: { "*": -1 } } }, /^optimizer\.decay\.\*: .* 0, got -1$/],
  [{ schedule: { kind: "step", rate: 1 } }, /^schedule\.milestones: missing$/],
  [{ schedule: { kind: "cosine", rate: Number.NaN } }, /^schedule\.rate: .*, got NaN$/],
  [{ earlyStopping: {} }, /^earlyStopping\.patience: missing$/],
  [
    { data: { train: "a", batch: 4 }, earlyStopping: { patience: 2 } },
    /^data\.eval: missing$/,
    /earlyStopping needs data/,
  ],
  [
    { loss: { kind: "mse", target: "input" }, evaluate: { metric: "accuracy" } },
    /^evaluate\.metric: expected "mse", got "accuracy"$/,
  ],
];

test("wrong configurations: the key, what was expected, what is there", () => {
  checkTrainConfig(BASE, "c.json");
  for (const [change, message, hint] of WRONG) {
    assert.throws(
      () => checkTrainConfig({ ...BASE, ...change }, "c.json"),
      (e: UserError) => {
        assert.equal(e.code, "E_CONFIG", String(e));
        assert.equal(e.where, "c.json");
        assert.match(e.message, message);
        if (hint !== undefined) assert.match(e.hint ?? "", hint);
        return true;
      },
    );
  }
  assert.throws(() => checkTrainConfig(undefined, "c.ts"), /exports no configuration/);
  assert.throws(
    () => checkTrainConfig([], "c.ts"),
    /the configuration: expected an object, got \[\]/,
  );
});

test("patterns of names", () => {
  const names = ["conv1.weight", "conv2.weight", "fc.weight", "conv1xweight"];
  const fitting = (pattern: string): string[] => names.filter((n) => fitsPattern(pattern, n));
  assert.deepEqual(fitting("conv*.weight"), ["conv1.weight", "conv2.weight"]);
  assert.deepEqual(fitting("conv1.weight"), ["conv1.weight"]);
  assert.deepEqual(fitting("*"), names);
  assert.deepEqual(fitting("weight"), []);
});

test("the progress line has less than 80 columns, whatever the numbers", () => {
  const report = {
    ...{ step: 7, steps: 20, epoch: 1, loss: 1, meanLoss: 0.5, accuracy: 99.5, rate: 0.1 },
    ...{ samplesPerSecond: 4321.5, secondsLeft: 75 },
  };
  assert.equal(
    progressLine(report, 3, "98.1 %"),
    "epoch 1/3  step 7/20  loss 0.5000  99.5 %  eval 98.1 %  4322/s  1 min 15 s left",
  );
  const large = { ...report, step: 123456, steps: 1234567, epoch: 123, secondsLeft: 1e6 };
  for (const r of [large, { ...large, meanLoss: 1e30, samplesPerSecond: 1e6 }]) {
    assert.ok(progressLine(r, 1000, "98.1 %").length < 80, progressLine(r, 1000, "98.1 %"));
  }
  assert.deepEqual([59.6, 60, 3725].map(timeText), ["1 min 0 s", "1 min 0 s", "1 h 2 min"]);
});

test("a log goes on without gap, repetition or torn line", () => {
  const path = join(folder, "log.jsonl");
  const log = openLog(path, null);
  log.append({ kind: "settings", step: 0 });
  for (const step of [1, 2, 3]) log.append({ kind: "step", step, loss: 1 / step });
  log.append({ kind: "end", step: 2 });
  appendFileSync(path, '{"kind":"step","step":2,"lo');
  const again = openLog(path, 2);
  again.append({ kind: "step", step: 3, loss: 7 });
  const found = parseLog(readFileSync(path, "utf8"));
  assert.deepEqual(found, again.records);
  assert.deepEqual(
    found.map((r) => `${r.kind} ${r.step}`),
    ["settings 0", "step 1", "step 2", "step 3"],
  );
  assert.equal(found.at(-1)!["loss"], 7);
  assert.deepEqual(openLog(path, null).records, []);
});

let files = 0;

/** Writes a configuration; returns its path. */
function config(change: Plain): string {
  const path = join(folder, `config${++files}.json`);
  writeFileSync(path, JSON.stringify({ ...BASE, ...change }));
  return path;
}

const train = (path: string, ...flags: string[]): Promise<CliResult> =>
  tersor(["train", path, ...flags], folder);

const ok = (result: CliResult): CliResult => {
  assert.equal(result.code, 0, result.stderr);
  return result;
};

const refused = (result: CliResult, message: RegExp): void => {
  assert.equal(result.code, 1, result.stdout + result.stderr);
  assert.match(result.stderr, message);
  assert.equal(result.stderr.trimEnd().split("\n").length, 1, result.stderr);
};

/** Sends SIGINT as soon as a line of this kind is in the log. */
function interrupted(path: string, out: string): Promise<CliResult> {
  return new Promise((done, fail) => {
    const main = resolve(import.meta.dirname, "main.ts");
    const child = spawn(process.execPath, [main, "train", path, "--out", out], { cwd: folder });
    let [stdout, stderr] = ["", ""];
    child.stdout.on("data", (d) => (stdout += d));
    child.stderr.on("data", (d) => (stderr += d));
    const log = join(folder, out, "log.jsonl");
    const timer = setInterval(() => {
      if (!existsSync(log) || !/"kind":"step"/.test(readFileSync(log, "utf8"))) return;
      clearInterval(timer);
      child.kill("SIGINT");
    }, 10);
    child.on("error", fail);
    child.on("close", (code) => {
      clearInterval(timer);
      done({ code, stdout, stderr });
    });
  });
}

suite("tersor train", { concurrency: 1 }, () => {
  test("trains, writes everything, and says so when it is finished", async () => {
    const path = config({ earlyStopping: { patience: 9 }, optimizer: { kind: "adam" } });
    const { stdout } = ok(await train(path, "--out", "a"));
    assert.match(stdout, /^lenet5: 61\.71 k parameters, 120 examples, 40 to evaluate; wasm/);
    assert.match(stdout, /epoch 2\/2 {2}loss \d.*accuracy/);
    assert.match(stdout, /step 12: evaluation accuracy [\d.]+ %, the best so far/);
    assert.deepEqual(readdirSync(join(folder, "a")).sort(), [
      ...["checkpoints", "log.jsonl", "model.d.ts", "model.js", "model.onnx", "model.wasm"],
      "plot.html",
    ]);
    const { graph } = openModel(join(folder, "a/model.onnx"));
    const [input] = graph.inputs;
    assert.deepEqual(graph.values.get(input!)!.type.shape, [1, 28, 28, 1]);
    const records = parseLog(readFileSync(join(folder, "a/log.jsonl"), "utf8"));
    const kinds = records.map((r) => r.kind);
    assert.deepEqual([kinds[0], kinds.at(-1)], ["settings", "end"]);
    assert.equal(records.filter((r) => r.kind === "step").length, 24);
    assert.equal(records.filter((r) => r.kind === "evaluation").length, 2);
    const page = readFileSync(join(folder, "a/plot.html"), "utf8");
    assert.match(page, /Finished at step 24/);
    assert.doesNotMatch(page, /http-equiv="refresh"|<script/);
    assert.match(
      ok(await train(path, "--out", "a")).stdout,
      /^this run is finished: step 24, best/,
    );
    refused(
      await train(config({ epochs: 3 }), "--out", "a"),
      /another run: .*epochs was 2 and is 3/,
    );
    const json = ok(await train(path, "--out", "a", "--fresh", "--json", "--epochs", "1"));
    assert.equal(JSON.parse(json.stdout).step, 12);
  });

  test("Ctrl-C saves a checkpoint; the same command goes on to the same bits", async () => {
    const path = config({ epochs: 10, log: { every: 1 }, evaluate: { every: 3 } });
    ok(await train(path, "--out", "whole"));
    const { code, stdout } = await interrupted(path, "b");
    assert.equal(code, 130, stdout);
    const [, at] = /stopped at step (\d+) of 120; .*run the same command again to go on/.exec(
      stdout,
    )!;
    refused(await train(path, "--out", "none", "--resume"), /there is no checkpoint to go on from/);
    const again = ok(await train(path, "--out", "b", "--resume"));
    assert.match(again.stdout, new RegExp(`going on from step ${at} of 120`));
    const end = (out: string) => loadCheckpoint(join(folder, out, "checkpoints"))!.checkpoint;
    assert.deepEqual(end("b"), end("whole"));
  });

  test("a damaged checkpoint is passed over with a remark", async () => {
    const path = config({ epochs: 1 });
    ok(await train(path, "--out", "c"));
    const checkpoints = join(folder, "c/checkpoints");
    const [older, newer] = readdirSync(checkpoints).sort();
    const bytes = readFileSync(join(checkpoints, newer!));
    writeFileSync(join(checkpoints, newer!), bytes.subarray(0, 1000));
    const { stdout, stderr } = ok(await train(path, "--out", "c"));
    assert.match(
      stderr,
      /note: passed over a checkpoint: .*step-000000012\.ckpt: cut off after 1000/,
    );
    assert.match(stdout, /going on from step 10 of 12/);
    for (const name of [older!, newer!]) writeFileSync(join(checkpoints, name), "TERSOR");
    const none = await train(path, "--out", "c");
    assert.equal(none.code, 1);
    assert.match(none.stderr, /no checkpoint can be used\n.*cut off after 6 bytes[\s\S]*--fresh/);
  });

  test("a rate that is too high: the step, the layer, a hint; the last checkpoint stays", async () => {
    const schedule = { kind: "step", rate: 1e-3, milestones: [0.7], factor: 1e30 };
    const path = config({ schedule, checkpoint: { every: 1 } });
    const message = /tersor: \w+\S*: step 1\d: the loss is .* layer '\w+' .*; lower the rate/;
    refused(await train(path, "--out", "d"), message);
    const { step } = loadCheckpoint(join(folder, "d/checkpoints"))!.checkpoint.loop.progress;
    assert.ok(step >= 8, `${step}`);
    const last = parseLog(readFileSync(join(folder, "d/log.jsonl"), "utf8")).at(-1)!;
    assert.equal(last.kind, "diverged");
    assert.match(readFileSync(join(folder, "d/plot.html"), "utf8"), /Stopped: step/);
  });

  test("a file is trained on, with frozen layers, and teaches another", async () => {
    const { graph } = openModel(join(folder, "a/model.onnx"));
    assert.ok(graph.nodes.length > 5);
    const file = join(folder, "a/model.onnx");
    const path = config({ epochs: 1, model: { file, freeze: ["conv*"] } });
    ok(await train(path, "--out", "e"));
    const state = (out: string) =>
      loadCheckpoint(join(folder, out, "checkpoints"))!.checkpoint.loop.state;
    const names = [...state("e").keys()].filter((n) => !n.includes(":"));
    assert.ok(names.length > 0 && names.every((n) => n.startsWith("fc")), names.join());
    refused(
      await train(config({ model: { file, freeze: ["layer*"] } }), "--out", "f"),
      /model\.freeze\[0\]: no parameter fits 'layer\*'; there are conv1/,
    );
    const loss = { kind: "distillation", teacher: file, alpha: 0.9, temperature: 4 };
    ok(await train(config({ epochs: 1, loss }), "--out", "g"));
    const data = { ...(BASE["data"] as Plain), augment: { shift: 1, views: 2 } };
    const ahead = config({ epochs: 1, loss, data });
    assert.match(
      ok(await train(ahead, "--out", "v")).stdout,
      /the teacher has looked at 240 views in/,
    );
    // A weight of attention that changes nothing has the teacher run in every step.
    ok(await train(config({ epochs: 1, loss: { ...loss, beta: 1e-12 }, data }), "--out", "w"));
    const losses = (out: string): number[] =>
      parseLog(readFileSync(join(folder, out, "log.jsonl"), "utf8"))
        .filter((r) => r.kind === "step")
        .map((r) => Number(r["loss"]));
    const [told, asked] = [losses("v"), losses("w")];
    assert.equal(told.length, 12);
    told.forEach((x, i) => {
      assert.ok(Math.abs(x - asked[i]!) < 1e-4 * Math.abs(x), `${x} ${asked[i]}`);
    });
    const again = ok(await train(ahead, "--out", "v", "--fresh")).stdout;
    assert.doesNotMatch(again, /has looked/);
    assert.deepEqual(losses("v"), told);
    const quantize = { scheme: "lsq", weightBits: 4 };
    const small = ok(await train(config({ epochs: 1, model: { file }, quantize }), "--out", "q"));
    assert.match(small.stdout, /the integer model: accuracy \d/);
    const integers = openModel(join(folder, "q/model.onnx")).graph;
    assert.ok([...integers.values.values()].some(({ type }) => type.dtype === "i8"));
    const other = { kind: "distillation", teacher: "nowhere.onnx" };
    refused(await train(config({ loss: other }), "--out", "h"), /nowhere\.onnx: no such file/);
  });

  test("data that does not fit", async () => {
    const model = { build: "resnet8" };
    refused(
      await train(config({ model }), "--out", "i"),
      /\[10,28,28,1\], the model takes \[10,32,32,3\]/,
    );
    const data = { train: "missing.npz", batch: 4 };
    refused(await train(config({ data }), "--out", "i"), /missing\.npz: no such file or folder/);
    const long = { ...(BASE["data"] as Plain), length: 100 };
    refused(await train(config({ data: long }), "--out", "i"), /data\.length: does not apply/);
  });

  test("a network with early exits: trained together, kept in the file", async () => {
    const entry = (name: string): string =>
      JSON.stringify(resolve(import.meta.dirname, "..", name));
    const path = join(folder, "exits.mjs");
    writeFileSync(
      path,
      `import { withExits } from ${entry("src/train/index.ts")};
      import { smallResidual } from ${entry("test/support/small-residual.ts")};
      export default {
        model: ({ batch, seed }) => withExits(smallResidual({ batch, seed })),
        data: ${JSON.stringify(BASE["data"])},
        loss: { kind: "exits", mode: "self", weights: [1] },
        optimizer: { kind: "adam" },
        schedule: { kind: "constant", rate: 0.01 },
        epochs: 1,
        out: "exits",
      };`,
    );
    ok(await train(path));
    const { graph } = openModel(join(folder, "exits/model.onnx"));
    assert.deepEqual(graph.outputNames, ["logits", "exit1"]);
    assert.deepEqual(
      exitsOf(graph).map((e) => e.name),
      ["exit1"],
    );
  });

  test("an auto-encoder: mean squared error against its input", async () => {
    const builder = join(folder, "auto.mjs");
    const entry = (name: string): string =>
      JSON.stringify(resolve(import.meta.dirname, "../src", name));
    writeFileSync(
      builder,
      `import { Net } from ${entry("train/index.ts")};
      export default {
        model: ({ batch, seed }) => {
          const net = new Net("auto", { seed });
          const x = net.input("image", [batch, 28, 28, 1]);
          return net.build(net.linear(net.relu(net.linear(net.flatten(x), 8, "in")), 784, "out"), "y");
        },
        data: ${JSON.stringify(BASE["data"])},
        loss: { kind: "mse", target: "input" },
        optimizer: { kind: "adam" },
        schedule: { kind: "constant", rate: 0.01 },
        epochs: 4,
        out: "auto",
      };`,
    );
    ok(await train(builder));
    const records = parseLog(readFileSync(join(folder, "auto/log.jsonl"), "utf8"));
    const values = records.filter((r) => r.kind === "evaluation").map((r) => Number(r["value"]));
    assert.equal(values.length, 4);
    assert.ok(values.at(-1)! < 0.7 * values[0]!, values.join());
  });
});
