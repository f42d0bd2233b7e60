/** @file One run of `tersor distill`: makes the student, trains it (and its control), quantises, measures, reports. */
import { existsSync } from "node:fs";
import { basename, join } from "node:path";
import { unpackWeights } from "../src/compress/quantize/index.ts";
import { macsOf, parameterCount } from "../src/graph/count.ts";
import type { Graph } from "../src/graph/graph.ts";
import { openModel } from "../src/node.ts";
import { measureModels, type Subject, topOne } from "../src/optimize/measure-models.ts";
import { cleanGraph, trainableGraph } from "../src/pipeline.ts";
import { type DistilReport, distilFindings, renderDistilReport } from "../src/report/distil.ts";
import { pointPairs } from "../src/train/distil.ts";
import type { Network } from "../src/train/network.ts";
import { parametersOf, tagsOf, withOwnParameters } from "../src/train/parameters.ts";
import { crsDecay } from "../src/train/structured/decay.ts";
import { type MadeStudent, STUDENT_FORMS, studentFromText } from "../src/train/student/recipe.ts";
import { swapBudget } from "../src/train/student/swap-text.ts";
import { withBatch } from "../src/train/with-batch.ts";
import { UserError } from "../src/util/errors.ts";
import { VERSION } from "../src/version.ts";
import {
  type DistillationLoss,
  type DistillFlags,
  type DistillSettings,
  distillSettings,
} from "./distill-settings.ts";
import { swappedStudent } from "./distill-swap.ts";
import { writeFiles } from "./files.ts";
import { bytes, count, ms, pair, plural, table } from "./format.ts";
import { integersOf } from "./int8.ts";
import { type Io, seedOf } from "./io.ts";
import { machineInfo } from "./measure.ts";
import { openForCommand } from "./options.ts";
import type { TrainSettings } from "./train-config.ts";
import { evalBatches, readSets, type TrainSets } from "./train-data.ts";
import { modelFiles } from "./train-results.ts";
import { train } from "./train-run.ts";
import { inputOf } from "./train-setup.ts";

/** Rows that tell before training whether the teacher is fed as it should be, and a share that is hardly knowledge. */
const TRIED_ROWS = 128;

export const floatModel = (graph: Graph): Graph => unpackWeights(trainableGraph(graph));

const isFile = (text: string): boolean => /\.(onnx|tflite)$/i.test(text);

/** The student with single rows. */
export function makeStudent(teacher: Graph, flags: DistillFlags): MadeStudent {
  const { student, init } = flags;
  if (!isFile(student)) {
    const options = { seed: seedOf(flags), ...(init !== undefined && { weights: init }) };
    const made = studentFromText(teacher, student, options);
    return { ...made, graph: withBatch(made.graph, 1) };
  }
  if (!existsSync(student) && student.includes("=")) {
    throw new UserError("E_ARGUMENT", `'${student}' names no student`, {
      where: "--student",
      hint: `write ${STUDENT_FORMS}, or a model's file`,
    });
  }
  const graph = withBatch(floatModel(openModel(student).graph), 1);
  return { graph, start: "teacher", replaced: [], kept: [], crs: false };
}

/** A network by itself, for what looks at its structure only. */
const alone = (graph: Graph): Network => ({ graph, at: (v) => v });

function pointsOf(student: Graph, teacher: Graph, loss: DistillationLoss): DistilReport["points"] {
  if (!loss.beta && !loss.hint) return [];
  const pairs = pointPairs(alone(student), alone(cleanGraph(teacher)), loss.points);
  return pairs.map((p) => ({ student: p.student.name, teacher: p.teacher.name }));
}

/** Decay by the compression ratio, parameter by parameter, for structured students. */
function withCrs(train: TrainSettings, student: MadeStudent, teacher: Graph): TrainSettings {
  const { decay } = train.optimizer;
  if (!student.crs || typeof decay !== "number" || decay === 0) return train;
  const graph = withOwnParameters(student.graph);
  const [rule, tags] = [crsDecay(graph, teacher, decay), tagsOf(graph)];
  const names = [...parametersOf(graph)].map(
    ([v, name]) => [name, rule(name, graph.constants.get(v)!, tags.get(v)!)] as const,
  );
  return { ...train, optimizer: { ...train.optimizer, decay: Object.fromEntries(names) } };
}

/** What one run works on. */
export interface Job {
  readonly flags: DistillFlags;
  readonly io: Io;
  readonly path: string;
  readonly settings: DistillSettings;
  readonly sets: TrainSets;
  readonly teacher: Graph;
  readonly student: MadeStudent;
  readonly points: DistilReport["points"];
}

/** Rows one by one as the model takes them; null: there are none. */
function rowsFor(job: Job, graph: Graph, which: "train" | "evaluation") {
  const set = job.sets[which];
  if (set === null || set.classes === 0) return null;
  const { data } = job.settings.train;
  const single = { ...job.settings.train, data: { ...data, batch: 1 } };
  return evalBatches(set, single, inputOf(graph, set, single));
}

const textOf = (loss: DistillationLoss): string =>
  [
    ...(loss.alpha ? [`softened outputs (T=${loss.temperature}, alpha=${loss.alpha})`] : []),
    ...(loss.beta ? [`attention transfer (${loss.beta})`] : []),
    ...(loss.hint ? [`hints (${loss.hint})`] : []),
    "labels",
  ].join(", ");

function announce({ io, teacher, student, settings, points }: Job): void {
  const { graph, replaced, kept } = student;
  const before = withBatch(teacher, 1);
  const rows = [
    ["parameters", pair([parameterCount(before), parameterCount(graph)], count)],
    ["MACs", pair([macsOf(before), macsOf(graph)], count)],
    ["learns from", textOf(settings.loss)],
    ...(points.length === 0 ? [] : [["compared at", points.map((p) => p.student).join(", ")]]),
  ];
  const what = replaced.length === 0 ? "" : `, ${plural(replaced.length, "part")} replaced`;
  io.print(`student ${graph.name}${what}`);
  io.print(table(rows, { width: io.width, flexible: 1 }));
  for (const { name, reason } of kept) io.note(`note: ${name} stays: ${reason}`);
}

/** A teacher that hardly knows anything is probably fed the wrong way. */
async function warnOfTeacher(job: Job): Promise<void> {
  const { sets, io } = job;
  const graph = withBatch(job.teacher, 1);
  const rows = rowsFor(job, graph, sets.evaluation === null ? "train" : "evaluation");
  if (rows === null) return;
  const batchesPerEpoch = Math.min(TRIED_ROWS, rows.batchesPerEpoch);
  const some = { ...rows, batchesPerEpoch };
  const { high, value } = (await topOne({ name: "teacher", description: "", graph, rows: some }))!;
  const { classes } = sets.train;
  if (high > Math.max(30, 150 / classes)) return;
  io.note(
    `note: the teacher itself scores ${value.toFixed(1)} % on the first ${batchesPerEpoch} rows; check data.mean, data.std, data.preprocess and labels`,
  );
}

/** Trains the student with a teacher, or without one; null: it was stopped. */
export async function trained(job: Job, name: "student" | "control"): Promise<Graph | null> {
  const { settings, student, flags, sets, teacher } = job;
  const { loss } = settings;
  const given = withCrs(settings.train, student, teacher);
  const plain = { kind: "cross-entropy" as const };
  const all: TrainSettings = {
    ...given,
    model: ({ batch }) => withBatch(student.graph, batch),
    loss: name === "student" ? loss : plain,
    out: join(flags.out, name),
  };
  const io: Io = { ...job.io, object: () => {} };
  const result = await train(all, flags, io, sets);
  return result === null ? null : withBatch(result.model, 1);
}

/** Trains and measures everything; null: it was stopped. */
async function subjectsOf(job: Job): Promise<Subject[] | null> {
  const { flags, io, student: made } = job;
  const subject = (name: string, description: string, graph: Graph): Subject => ({
    ...{ name, description, graph },
    rows: rowsFor(job, graph, "evaluation"),
  });
  const subjects = [subject("teacher", "the model given", withBatch(job.teacher, 1))];
  io.print("training the student");
  const student = await trained(job, "student");
  if (student === null) return null;
  const starts = {
    fresh: "fresh weights",
    teacher: "given weights",
    factors: "the teacher's factors",
  };
  subjects.push(subject("student", `${flags.student}, from ${starts[made.start]}`, student));
  if (flags.control === true) {
    io.print("training the control, without a teacher");
    const control = await trained(job, "control");
    if (control === null) return null;
    subjects.push(subject("control", "the same student, labels only", control));
  }
  if (flags.int8 === true) {
    io.progress("quantising the student");
    const graph = await integersOf(student, rowsFor(job, student, "train"));
    writeFiles(join(flags.out, "int8"), modelFiles(graph));
    // The input keeps its name; its rows are those of the float student.
    const rows = rowsFor(job, student, "evaluation");
    subjects.push({
      name: "student int8",
      description: "8-bit weights and activations",
      graph,
      rows,
    });
  }
  return subjects;
}

async function report(job: Job, subjects: readonly Subject[]): Promise<DistilReport> {
  const { path, flags, settings, student, points, sets, io } = job;
  const measured = await measureModels(subjects, (text) => io.progress(text));
  const { epochs, data, schedule, optimizer, engine, threads } = settings.train;
  const { cpu, node } = machineInfo();
  return {
    ...{ teacher: basename(path), student: basename(flags.student), tersor: VERSION },
    ...{ seed: seedOf(flags), engine: `Node ${node} on ${cpu}`, models: measured.models },
    ...{ replaced: student.replaced, kept: student.kept, points },
    training: {
      Loss: textOf(settings.loss),
      Data: `${count(sets.train.count)} examples, batches of ${data.batch}; ${sets.evaluation === null ? "none" : count(sets.evaluation.count)} to evaluate`,
      Schedule: `${epochs} epochs, ${schedule.kind} to ${schedule.rate}, ${optimizer.kind}`,
      Trained: `by ${engine}, ${plural(threads, "thread")}`,
    },
    findings: distilFindings(measured),
  };
}

function describe({ models, findings }: DistilReport, io: Io): string {
  const percent = (x: number): string => `${x.toFixed(2)} %`;
  const head = ["model", "top-1", "parameters", "MACs", "bytes", "latency"];
  const rows = models.map((m) => [
    m.name,
    m.accuracy === null ? "" : percent(m.accuracy.value),
    count(m.parameters),
    count(m.macs),
    bytes(m.bytes.total),
    ms(m.latency.p50Ms),
  ]);
  const shown = table([head, ...rows], { width: io.width, right: [1, 2, 3, 4, 5] });
  return `${shown}\n${findings.map((f) => `  ${f}\n`).join("")}`;
}

/** Teaches a student, to the end or until a signal. */
export async function distill(path: string, flags: DistillFlags, io: Io): Promise<void> {
  const teacher = floatModel(openForCommand(path, flags, io).graph);
  const budget = swapBudget(flags.student, teacher);
  const made = budget === null ? makeStudent(teacher, flags) : null;
  const settings = await distillSettings(path, flags, (made?.start ?? "fresh") === "fresh", io);
  const sets = await readSets(settings.train, (text) => io.progress(text));
  if (sets.train.classes === 0) {
    throw new UserError("E_DATA", "the training data has no labels", {
      where: settings.train.data.train,
      hint: "see data.labelColumn, or give a folder with a sub-folder for each class",
    });
  }
  const student = made ?? (await swappedStudent(teacher, budget!, { flags, io, settings, sets }));
  const points = pointsOf(student.graph, teacher, settings.loss);
  const job: Job = { flags, io, path, settings, sets, teacher, student, points };
  announce(job);
  await warnOfTeacher(job);
  const subjects = await subjectsOf(job);
  if (subjects === null) return;
  const found = await report(job, subjects);
  const written = writeFiles(
    flags.out,
    new Map([
      ["report.html", renderDistilReport(found)],
      ["report.json", `${JSON.stringify(found, null, 2)}\n`],
    ]),
  );
  io.object({ ...found, written });
  io.print(describe(found, io));
  for (const file of written) io.print(`wrote ${file}`);
  const best = flags.int8 === true ? "int8" : "student";
  io.print(
    `next: open ${written[0]}, then ship ${join(flags.out, best, "model.js")} and model.wasm`,
  );
}
