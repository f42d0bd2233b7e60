/** @file Students of every family, trained by the code of `tersor distill`: their files agree in ONNX Runtime. */
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import type { Graph } from "../src/graph/graph.ts";
import { interpret } from "../src/graph/interpret.ts";
import { openModel } from "../src/node.ts";
import { toOnnx } from "../src/pipeline.ts";
import { toNumbers } from "../src/tensor/tensor.ts";
import { Net } from "../src/train/net.ts";
import { parametersOf } from "../src/train/parameters.ts";
import { writeDigits } from "../test/support/digits.ts";
import { recorder } from "../test/support/recorder.ts";
import { runOrt, seededFeeds, worstDifference } from "../test/support/whole-models.ts";
import { floatModel, type Job, makeStudent, trained } from "./distill-run.ts";
import { type DistillFlags, distillSettings } from "./distill-settings.ts";
import { readSets } from "./train-data.ts";

const folder = mkdtempSync(join(tmpdir(), "tersor-students-"));
after(() => rmSync(folder, { recursive: true, force: true }));
const { train: data } = writeDigits(join(folder, "data"), 12, 1);
const path = join(folder, "teacher.onnx");
writeFileSync(path, toOnnx(smallest()));
const teacher = floatModel(openModel(path).graph);
const config = join(folder, "distill.json");
writeFileSync(config, JSON.stringify({ data: { train: data, batch: 4, workers: 0 } }));

const STUDENTS = [
  ...["blocks=G(2)", "blocks=G(N)", "blocks=B(2)", "blocks=BG(2,2)", "blocks=BG(2,M)"],
  ...["tucker=0.5", "svd=0.5", "tt=0.5", "cp=0.5", "spatial=0.5"],
  ...["acdc=2", "hashed=1/4", "lowrank=0.25", "shuffle=2", "tttensor=0.5"],
];

/** Stem to 7 x 7, one residual block, one hidden layer: what every family finds something to replace in. */
function smallest(): Graph {
  const net = new Net("smallest", { seed: 5 });
  const image = net.input("image", [1, 28, 28, 1]);
  const x = net.relu(net.batchNorm(net.conv2d(image, 8, "stem", { stride: 4 }), "stem.norm"));
  const a = net.relu(net.batchNorm(net.conv2d(x, 8, "conv1"), "norm1"));
  const y = net.relu(net.add(x, net.batchNorm(net.conv2d(a, 8, "conv2"), "norm2"), "sum"));
  const hidden = net.relu(net.linear(net.globalPool(y, "pool"), 16, "hidden"));
  return net.build(net.linear(hidden, 10, "head"));
}

/** Learned numbers one after the other. */
const learned = (graph: Graph): number[] =>
  [...parametersOf(graph).keys()].flatMap((v) => toNumbers(graph.constants.get(v)!));

for (const [i, student] of STUDENTS.entries()) {
  test(`${student}: three steps, then the written file`, async () => {
    const out = join(folder, String(i));
    const flags: DistillFlags = { student, config, epochs: 1, kd: true, rate: 0.01, out };
    const { io } = recorder();
    const made = makeStudent(teacher, flags);
    const settings = await distillSettings(path, flags, made.start === "fresh", io);
    const sets = await readSets(settings.train, () => {});
    const job: Job = { flags, io, path, settings, sets, teacher, student: made, points: [] };
    const model = (await trained(job, "student"))!;
    assert.notDeepEqual(learned(model), learned(made.graph), "it was trained");
    const feeds = seededFeeds(model, 3);
    const [want] = interpret(model, feeds).map(toNumbers);
    const file = join(out, "student/model.onnx");
    const [ran] = await runOrt(readFileSync(file), feeds);
    assert.ok(worstDifference(ran!, want!, "relative") < 1e-4, "ONNX Runtime");
    const [read] = interpret(openModel(file).graph, feeds).map(toNumbers);
    assert.ok(worstDifference(read!, want!, "relative") < 1e-4, "read again");
  });
}
