/** @file `tersor prune` with data: criteria, rounds, trainings that go on, what it compares and refuses. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { after, suite, test } from "node:test";
import { layerWeights } from "../src/compress/sparsity/index.ts";
import { formatNpy } from "../src/data/npy.ts";
import { openModel } from "../src/node.ts";
import { toOnnx } from "../src/pipeline.ts";
import type { PruneReport, PruneVariant } from "../src/report/pruning-types.ts";
import { tensorOf } from "../src/tensor/tensor.ts";
import { Net } from "../src/train/net.ts";
import { makeRng } from "../src/util/rng.ts";
import { writeDigits } from "../test/support/digits.ts";
import { runOrt, seededFeeds } from "../test/support/whole-models.ts";
import type { Io } from "./io.ts";
import type { PruneFlags } from "./prune-options.ts";
import { pruneWithData } from "./prune-run.ts";

const folder = mkdtempSync(join(tmpdir(), "tersor-prune-"));
after(() => rmSync(folder, { recursive: true, force: true }));
const paths = writeDigits(join(folder, "data"), 120, 40);
const model = join(folder, "tiny.onnx");

/** Two convolutions with batch normalisations and a linear layer; not trained. */
function tiny(): Uint8Array {
  const net = new Net("tiny", { seed: 3 });
  const x = net.input("image", [1, 28, 28, 1]);
  const a = net.relu(net.batchNorm(net.conv2d(x, 8, "conv1", { stride: 4 }), "bn1"));
  const b = net.relu(net.batchNorm(net.conv2d(a, 12, "conv2", { stride: 2 }), "bn2"));
  return toOnnx(net.build(net.linear(net.flatten(b), 10, "head"), "y"));
}
writeFileSync(model, tiny());

const FLAGS = {
  ...{ method: "l1", data: paths.train, evalData: paths.test, seconds: 0.01 },
  finetune: "epochs=3,rate=0.03,batch=20",
};

/** Runs the command in this process; what it printed, and its report. */
async function prune(out: string, flags: Partial<PruneFlags>, path = model) {
  const said: string[] = [];
  const say = (text: string): void => {
    said.push(text);
  };
  const io: Io = {
    ...{ json: false, verbose: false, width: 100, print: say, note: say },
    ...{ object: () => {}, progress: () => {} },
  };
  const at = join(folder, out);
  await pruneWithData(path, { ...FLAGS, ...flags, out: at }, io);
  const report = JSON.parse(readFileSync(join(at, "report.json"), "utf8")) as PruneReport;
  const variant = (name: string): PruneVariant => {
    const found = report.variants.find((v) => v.name === name);
    assert.ok(found !== undefined, `no ${name} among ${report.variants.map((v) => v.name)}`);
    return found;
  };
  return { report, variant, said: said.join("\n"), at };
}

/** Which weights of a file's layers are 0. */
function zerosIn(path: string): boolean[] {
  const { graph } = openModel(path);
  return layerWeights(graph).flatMap((w) =>
    [...(w.tensor.data as Float32Array)].map((x) => x === 0),
  );
}

const refused = (flags: Partial<PruneFlags>, message: RegExp, path = model): Promise<void> =>
  assert.rejects(prune("refused", flags, path), message);

/** The command as a process; SIGINT as soon as a step of its fine-tuning is logged. */
function interrupted(args: readonly string[], out: string): Promise<number | null> {
  return new Promise((done, fail) => {
    const main = resolve(import.meta.dirname, "main.ts");
    const child = spawn(process.execPath, [main, ...args, "--out", out], { cwd: folder });
    const log = join(out, "finetune/log.jsonl");
    const timer = setInterval(() => {
      if (!existsSync(log) || !/"kind":"step"/.test(readFileSync(log, "utf8"))) return;
      clearInterval(timer);
      child.kill("SIGINT");
    }, 5);
    child.on("error", fail);
    child.on("close", (code) => {
      clearInterval(timer);
      done(code);
    });
  });
}

suite("tersor prune with data", { concurrency: 1 }, () => {
  test("rounds by Taylor importance and sensitivity, beside a thinner net and int8", async () => {
    const flags: Partial<PruneFlags> = {
      ...{ method: "taylor", target: "macs=50%", rounds: 2, ratios: "auto" as const },
      ...{ thinner: true, int8: true },
    };
    const { report, variant, at } = await prune("whole", flags);
    const [before, pruned, tuned] = ["original", "pruned", "fine-tuned"].map(variant);
    assert.ok(pruned!.macs <= before!.macs / 2 && pruned!.macs > 0.3 * before!.macs);
    assert.equal(tuned!.macs, pruned!.macs);
    assert.ok(tuned!.value > pruned!.value + 20, `${pruned!.value} became ${tuned!.value}`);
    assert.ok(variant("thinner").macs <= tuned!.macs);
    assert.ok(variant("thinner").value > before!.value + 20);
    assert.ok(variant("int8").weightBytes < 0.4 * tuned!.weightBytes);
    assert.ok(variant("int8").value > tuned!.value - 10);
    assert.ok(before!.measured!.p50Ms > 0 && tuned!.measured!.p50Ms > 0);
    assert.deepEqual(
      report.rounds.map((r) => r.round),
      [1, 2],
    );
    assert.ok(report.rounds[0]!.macs > report.rounds[1]!.macs);
    assert.equal(report.rounds[1]!.tuned, tuned!.value);
    const { curves, chosen, rows } = report.sensitivity!;
    assert.equal(rows, 120);
    assert.deepEqual(
      curves.map((c) => [c.group, c.count, c.points.length]),
      [
        ["conv1", 8, 5],
        ["conv2", 12, 5],
      ],
    );
    const conv2 = report.layers.find((l) => l.name === "conv2")!;
    const { predictedMs, measuredMs } = conv2.times!;
    assert.ok(predictedMs[1] < predictedMs[0] && measuredMs.every((ms) => ms > 0));
    const whole = report.layers.reduce((n, l) => n + l.times!.predictedMs[1], 0);
    const { rest } = report;
    assert.ok(Math.abs(whole + rest.predictedMs[1] - tuned!.predictedMs) < 1e-9);
    assert.equal(chosen["conv2"], 1 - conv2.channels![1] / 12);
    const page = readFileSync(join(at, "report.html"), "utf8");
    assert.match(page, /Sensitivity[\s\S]*<svg[\s\S]*conv2/);
    const bytes = readFileSync(join(at, "model.onnx"));
    const { graph } = openModel(join(at, "model.onnx"));
    assert.equal((await runOrt(bytes, seededFeeds(graph, 1)))[0]!.length, 10);

    const marks = ["round-1", "finetune", "thinner"].map(
      (name) => statSync(join(at, name, "log.jsonl")).mtimeMs,
    );
    const again = await prune("whole", flags);
    assert.match(again.said, /this run is finished: step 18/);
    assert.deepEqual(
      ["round-1", "finetune", "thinner"].map(
        (name) => statSync(join(at, name, "log.jsonl")).mtimeMs,
      ),
      marks,
      "no training was repeated",
    );
    assert.deepEqual(readFileSync(join(at, "model.onnx")), bytes);
    const lasting = ({ measured: _, ...v }: PruneVariant) => v;
    assert.deepEqual(again.report.variants.map(lasting), report.variants.map(lasting));
    await assert.rejects(prune("whole", { ...flags, target: "macs=40%" }), /of another run/);
  });

  test("weights that go gradually: stopped and resumed, the same bits", async () => {
    const settings = { method: "lamp", ratio: 0.8, gradual: "end=2,every=3" };
    const finetune = "epochs=4,rate=0.03,batch=10";
    const whole = await prune("gradual", { ...settings, finetune });
    const { zeros } = whole.report.layers.find((l) => l.name === "head")!;
    assert.ok(zeros[0] === 0 && zeros[1] > 0.6, `${zeros}`);
    const { graph } = openModel(join(whole.at, "finetune/model.onnx"));
    const weights = [...graph.constants.values()].filter((t) => t.type.shape.length > 1);
    const all = weights.reduce((n, t) => n + t.data.length, 0);
    const gone = weights.reduce((n, t) => n + [...t.data].filter((x) => Number(x) === 0).length, 0);
    assert.ok(Math.abs(gone / all - 0.8) < 0.001, `${gone} of ${all}`);
    const without = statSync(join(whole.at, "model-sparse.onnx")).size;
    const { raw } = whole.report.stored[1]!;
    assert.ok(raw[1] === without && without < 0.6 * raw[0], `${raw}`);
    assert.ok(whole.variant("fine-tuned").gzipBytes < 0.5 * whole.variant("original").gzipBytes);

    const args = [
      ...["prune", model, "--method", "lamp", "--ratio", "0.8", "--gradual", "end=2,every=3"],
      ...["--data", paths.train, "--eval-data", paths.test, "--finetune", finetune],
    ];
    const code = await interrupted(args, join(folder, "resumed"));
    assert.equal(code, 130);
    assert.ok(!existsSync(join(folder, "resumed/model.onnx")));
    const resumed = await prune("resumed", { ...settings, finetune });
    assert.match(resumed.said, /going on from step \d+ of 48/);
    assert.deepEqual(
      readFileSync(join(resumed.at, "model.onnx")),
      readFileSync(join(whole.at, "model.onnx")),
    );
  });

  test("movement: found in training; its scratch twin has the same zeros", async () => {
    const settings = { method: "movement", ratio: 0.8, gradual: "end=2,every=3" };
    const finetune = "epochs=4,rate=0.03,batch=20";
    const { report, at } = await prune("movement", { ...settings, finetune, scratch: true });
    assert.deepEqual(
      report.variants.map((v) => v.name),
      ["original", "fine-tuned", "scratch"],
    );
    assert.deepEqual([report.rounds, report.result], [[], "fine-tuned"]);
    const masks = ["finetune", "scratch"].map((name) => zerosIn(join(at, name, "model.onnx")));
    assert.deepEqual(masks[1], masks[0]);
    const gone = masks[0]!.filter((zero) => zero).length;
    assert.equal(gone, Math.round(0.8 * masks[0]!.length));
  });

  test("SNIP cuts by the data, what is cut stays away, or weights come back elsewhere", async () => {
    const settings = { method: "snip", ratio: 0.75, finetune: "epochs=1,rate=0.01,batch=20" };
    const held = await prune("snip", settings);
    assert.equal(held.report.rounds[0]!.removed, 0.75);
    const moved = await prune("snip-moved", { ...settings, regrow: "share=0.5,every=2" });
    const [a, b] = [held, moved].map(({ at }) => zerosIn(join(at, "finetune/model.onnx")));
    for (const zeros of [a!, b!]) assert.equal(zeros.filter((z) => z).length / zeros.length, 0.75);
    assert.notDeepEqual(a, b);
    const nm = await prune("srste", {
      ...{ method: "nm=2:4", finetune: "epochs=2,rate=0.05,batch=20", srste: true },
    });
    const fixed = await prune("nm-fixed", {
      method: "nm=2:4",
      finetune: "epochs=2,rate=0.05,batch=20",
    });
    const zeros = [nm, fixed].map(({ at }) => zerosIn(join(at, "model.onnx")));
    assert.notDeepEqual(zeros[0], zeros[1], "masks were chosen anew");
    for (const { report } of [nm, fixed]) {
      assert.equal(report.layers.find((l) => l.name === "conv2")!.zeros[1], 0.5);
    }
  });

  test("n:m and its scratch twin keep their zeros; nothing trained: averages anew", async () => {
    const finetune = "epochs=1,rate=0.01,batch=40";
    const nm = await prune("nm", { method: "nm=2:4", finetune, scratch: "epochs=6,rate=0.05" });
    assert.equal(nm.variant("scratch").epochs, 6);
    assert.ok(nm.variant("scratch").value > nm.variant("original").value + 20);
    assert.equal(nm.report.layers.find((l) => l.name === "conv2")!.zeros[1], 0.5);
    const { graph } = openModel(join(nm.at, "scratch/model.onnx"));
    const conv2 = graph.nodes.filter((n) => n.op.name === "conv")[1]!;
    const w = [...graph.constants.get(conv2.ins[1]!)!.data];
    assert.equal(w.filter((x) => x === 0).length, w.length / 2);
    const { finetune: _, ...plain } = FLAGS;
    const { report } = await prune("plain", { ...plain, finetune: undefined, ratio: 0.3 } as never);
    assert.equal(report.result, "re-estimated");
    assert.match(report.notes.join(), /nothing was trained/);
  });

  test("data without labels: the error of outputs judges, and training is refused", async () => {
    const rng = makeRng(5);
    const values = Float32Array.from({ length: 40 * 784 }, () => rng.next());
    const data = join(folder, "rows.npy");
    writeFileSync(data, formatNpy(tensorOf("f32", [40, 28, 28, 1], values)));
    const finetune = undefined as never;
    const flags = { data, evalData: undefined as never, ratio: 0.4 };
    const { report, variant } = await prune("unlabelled", {
      ...{ ...flags, finetune, sensitivity: true, roundTo: 2, perCost: "latency" },
    });
    assert.equal(report.metric, "output error");
    assert.equal(variant("original").value, 0);
    assert.ok(variant("pruned").value > 0);
    assert.ok(report.sensitivity!.curves.every((c) => c.points.at(-1)!.value > 0));
    assert.match(report.data.evaluation, /training data/);
    await refused(flags, /no labels, which fine-tuning needs/);
    await refused({ ...flags, finetune, method: "fisher" }, /no labels, which fisher needs/);
  });

  test("what does not fit is refused before anything is trained", async () => {
    const ratio = 0.5;
    await refused({}, /how much is to go is missing/);
    await refused({ ratio, finetune: "epochs=5" }, /the rate is missing/);
    await refused({ ratio, finetune: "rate=0.1" }, /number of epochs is missing/);
    await refused({ ratio, finetune: "epochs=5,rat=1" }, /'rat=1' is no setting/);
    await refused({ ratio, finetune: "epochs=0,rate=1" }, /epochs: expected a number above 0/);
    await refused({ ratio, finetune: "epochs=1,rate=1,batch=121" }, /120 examples do not fill/);
    await refused({ ratio, finetune: undefined as never, rounds: 2 }, /nothing is trained/);
    await refused({ ratio, gradual: true }, /l1 does not go bit by bit/);
    await refused({ ratio, method: "lamp", thinner: true }, /lamp removes no channels/);
    await refused({ method: "lamp", target: "macs=50%" }, /pruned to a share/);
    await refused({ method: "nm=2:4", ratio }, /says itself how much/);
    const none = { finetune: undefined as never };
    await refused({ ...none, method: "movement", ratio }, /movement is found by training/);
    await refused({ ...none, method: "snip", ratio, regrow: true }, /nothing is trained/);
    await refused({ method: "movement" }, /pruned to a share/);
    await refused({ method: "lamp", ratio, srste: true }, /lamp keeps no n of m/);
    await refused({ method: "blocks", ratio, regrow: true }, /blocks removes does not come back/);
    await refused({ method: "movement", ratio, rounds: 2 }, /either gradually or in rounds/);
    await refused({ method: "lamp", ratio, regrow: "share=2" }, /share: .* 0 to 1, got '2'/);
    await refused({ method: "lamp", ratio, regrow: "grow=up" }, /grow: there is no 'up'/);
    await refused({ method: "l3", ratio }, /no method 'l3'/);
    await refused({ target: "macs=1" }, /channels can go until/);
    await refused({ ratio, data: "nowhere.npz" }, /nowhere\.npz: no such file|no such file/);
    const config = join(folder, "c.json");
    writeFileSync(config, JSON.stringify({ schedule: { kind: "cosine", rat: 1 } }));
    await refused({ ratio, config }, /schedule\.rat: unknown key/);
  });
});
