/**
 * @file One trained network compressed by every family, each student trained on for the same epochs with the original as
 * its teacher: accuracy against bytes, multiply-accumulates and measured milliseconds of WebAssembly.
 *
 *   node bench/experiments/pareto.ts wrn-16-2.onnx --data FOLDER --epochs 4 --rows 50000 --out FOLDER
 *     [--students "tucker=0.5;blocks=BG(2,4)"] [--also "pruned=FILE;distilled=FILE"] [--views 3] [--seed 1]
 *     [--engine native] [--threads 2] [--test 5000]
 *
 * The teacher runs in each step and hands over outputs and attention; with --views once, ahead, over so many views of
 * each picture, and hands over its outputs. --also measures other models beside them as they are. Writes pareto.jsonl,
 * pareto.json, pareto.md, pareto-{size,operations,latency}.svg and each student as ONNX. A student whose file is there
 * is not trained again.
 */
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { parseArgs } from "node:util";
import { machineInfo } from "../../cli/measure.ts";
import { openTarget } from "../../cli/target.ts";
import type { Graph } from "../../src/graph/graph.ts";
import { typeOf } from "../../src/graph/graph.ts";
import {
  type MeasuredModel,
  measureModels,
  type Subject,
} from "../../src/optimize/measure-models.ts";
import { compile, loadModel, toOnnx, trainableGraph } from "../../src/pipeline.ts";
import { paretoCharts } from "../../src/report/distil.ts";
import { STYLE } from "../../src/report/style.ts";
import type { PictureSet } from "../../src/train/data/sets.ts";
import { evaluationBatches, viewBatches } from "../../src/train/data/source.ts";
import { crsDecay } from "../../src/train/structured/decay.ts";
import { studentFromText } from "../../src/train/student/recipe.ts";
import { teacherOutputs } from "../../src/train/teacher-outputs.ts";
import { withBatch } from "../../src/train/with-batch.ts";
import { CIFAR10 } from "./cifar10.ts";
import { engineNamed, lineWriter, some } from "./run.ts";
import { type Course, trainVariant } from "./variants.ts";

const STUDENTS = [
  ...["tucker=params=50%", "tucker=params=20%", "svd=params=50%", "tt=params=20%", "cp=params=20%"],
  ...[
    "blocks=G(4)",
    "blocks=G(N/4)",
    "blocks=BG(2,4)",
    "acdc=12",
    "hashed=1/8",
    "lowrank=0.25",
    "shuffle=4",
  ],
];
const DECAY = 5e-4;
const LOSS = { alpha: 0.9, temperature: 4 };
/** Highest rates: of factors that start from trained weights, and of fresh ones. */
const RATES = { factors: 0.02, teacher: 0.02, fresh: 0.1 };

const { values: flags, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    data: { type: "string" },
    out: { type: "string" },
    students: { type: "string", default: STUDENTS.join(";") },
    also: { type: "string", default: "" },
    epochs: { type: "string", default: "4" },
    rows: { type: "string", default: "50000" },
    test: { type: "string", default: "5000" },
    views: { type: "string", default: "0" },
    seed: { type: "string", default: "1" },
    engine: { type: "string", default: "wasm" },
    threads: { type: "string", default: "2" },
  },
});
const [path] = positionals;
const { data, out } = flags;
if (path === undefined || data === undefined || out === undefined) {
  console.error(
    "usage: pareto.ts MODEL --data FOLDER --out FOLDER [--students LIST] [--epochs n] ...",
  );
  process.exit(2);
}

mkdirSync(out, { recursive: true });
const write = lineWriter(join(out, "pareto.jsonl"));
const { batch, mean, std, augment } = CIFAR10;
const whole = await CIFAR10.read(data);
const test = some(whole.test, Number(flags.test));
const seed = Number(flags.seed);
const views = Number(flags.views);
const course: Omit<Course, "rate"> = {
  ...{ set: some(whole.train, Number(flags.rows)), batch, mean, std },
  augment: { ...augment, views },
  ...{ epochs: Number(flags.epochs), threads: Number(flags.threads) },
  engine: await engineNamed(flags.engine),
};
const loss = { ...LOSS, ...(views > 0 ? { outputs: "teacher" } : { beta: 1000 }) };
const original = withBatch(trainableGraph(loadModel(readFileSync(path)).graph), 1);
write({
  ...{ experiment: "pareto", model: basename(path), students: flags.students.split(";"), seed },
  ...{ epochs: course.epochs, rows: course.set.count, test: test.count, loss, rates: RATES },
  ...{ engine: course.engine.name, threads: course.threads, machine: machineInfo() },
});

/** Rows as the model takes them: pictures with channels last, or first. */
function rowsFor(set: PictureSet, model: Graph): Subject["rows"] {
  const input = model.inputs[0]!;
  const { name } = model.values.get(input)!;
  const rows = evaluationBatches(set, { batch: 1, mean, std, input: name });
  if (typeOf(model, input).shape[3] === set.channels) return rows;
  throw new Error(`${name}: expected pictures with channels last`);
}

/** What the original says to all views of the training pictures; kept in the folder. */
async function teacherTold(): Promise<Float32Array> {
  const { set, threads } = course;
  const file = join(out!, `teacher-${[set.count, views, seed].join("-")}.bin`);
  if (existsSync(file)) return new Float32Array(Uint8Array.from(readFileSync(file)).buffer);
  const { caps, open } = await openTarget(flags.engine === "native" ? "native" : "wasm");
  const told = await teacherOutputs(
    withBatch(original, batch),
    viewBatches(set, { batch, seed, mean, std, ...course.augment }),
    {
      count: set.count * views,
      open: (graph) => open(compile(graph, { caps }).program, threads),
    },
  );
  writeFileSync(file, new Uint8Array(told!.buffer));
  return told!;
}
let told: Promise<Float32Array> | undefined;

async function student(text: string): Promise<Subject> {
  const file = join(out!, `${text.replace(/[^\w.]+/g, "-")}.onnx`);
  const subject = (graph: Graph, description: string): Subject => ({
    ...{ name: text, description, graph, rows: rowsFor(test, graph) },
  });
  if (existsSync(file)) {
    return subject(trainableGraph(loadModel(readFileSync(file)).graph), "trained before");
  }
  const made = studentFromText(original, text, { seed });
  const model = withBatch(made.graph, batch);
  const decay = made.crs ? crsDecay(model, original, DECAY) : DECAY;
  if (views > 0) told ??= teacherTold();
  const taught = told === undefined ? { teacher: original } : { told: await told };
  const variant = { model, decay, loss, ...taught };
  const rate = RATES[made.start];
  const log = (line: object): void => write({ student: text, ...line });
  const trained = await trainVariant({ ...course, rate }, variant, seed, log);
  writeFileSync(file, toOnnx(withBatch(trained, 1)));
  return subject(withBatch(trained, 1), `${course.epochs} epochs`);
}

/** The chart as a file of its own. */
const standalone = (svg: string): string =>
  svg.replace(
    /^<svg ([^>]*)>/,
    `<svg xmlns="http://www.w3.org/2000/svg" $1><style>${STYLE}</style>`,
  );

function tableOf(models: readonly MeasuredModel[]): string {
  const head = "| model | top-1, % | loss, points | parameters | MACs | bytes | ms |";
  const rule = "| --- | ---: | ---: | ---: | ---: | ---: | ---: |";
  const fixed = (x: number | undefined): string => x?.toFixed(2) ?? "";
  const row = (m: MeasuredModel): string =>
    `| ${m.name} | ${fixed(m.accuracy?.value)} | ${fixed(m.drop?.value)} | ${m.parameters} | ${m.macs} | ${m.bytes.total} | ${m.latency.p50Ms.toFixed(3)} |`;
  return `${[head, rule, ...models.map(row)].join("\n")}\n`;
}

const subjects: Subject[] = [
  { name: "original", description: basename(path), graph: original, rows: rowsFor(test, original) },
];
for (const text of flags.students.split(";")) subjects.push(await student(text.trim()));
for (const text of flags.also.split(";").filter(Boolean)) {
  const [name = "", file = ""] = text.split("=");
  const graph = withBatch(trainableGraph(loadModel(readFileSync(file)).graph), 1);
  subjects.push({ name, description: basename(file), graph, rows: rowsFor(test, graph) });
}
const { models } = await measureModels(subjects);
for (const model of models) write({ measured: model });
writeFileSync(
  join(out, "pareto.json"),
  `${JSON.stringify({ machine: machineInfo(), models }, null, 2)}\n`,
);
writeFileSync(join(out, "pareto.md"), tableOf(models));
for (const { by, svg } of paretoCharts(models, (m) =>
  m.name === "original" ? "baseline" : "accepted",
)) {
  writeFileSync(join(out, `pareto-${by}.svg`), standalone(svg.markup));
}
console.log(tableOf(models));
