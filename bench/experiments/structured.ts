/**
 * @file Experiments with structured layers (techniques E1 to E6): paired seeds, that is the same initial draws and
 * batches for all methods of a seed. Writes JSON lines: settings, epochs, runs, a summary against the first method.
 *
 *   e1: structured layers from scratch and taught by attention (CIFAR-10; needs --teacher)
 *   e2: cheap blocks taught by attention against a thinner network of equal size (CIFAR-10; needs --teacher)
 *   e3: weight decay scaled by the compression ratio (crs) against plain decay, for each structured layer (CIFAR-10)
 *   e4: the same for ACDC, and without decay (CIFAR-10; e4-mnist: MNIST)
 *   e5: ACDC's depth on a random linear map, by permutation (no data)
 *   e6: hashed layers against thin networks of as many stored weights (MNIST)
 *
 *   node bench/experiments/structured.ts e2 --data FOLDER --teacher wrn-16-2.onnx --seeds 1,2,3 --epochs 6
 *     --rows 10000 [--methods a,b] [--net wrn-10-2] [--decay 5e-4] [--holdout n] [--engine native] [--threads 2] [--log FILE]
 *
 * `--holdout n` leaves out the last n training pictures and evaluates on them: for choosing settings.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { machineInfo } from "../../cli/measure.ts";
import { macsOf, parameterCount } from "../../src/graph/count.ts";
import { loadModel } from "../../src/pipeline.ts";
import { withBatch } from "../../src/train/with-batch.ts";
import { CIFAR10, MNIST } from "./cifar10.ts";
import { accuracy, engineNamed, heldOut, lineWriter, pairedSummary, rounded, some } from "./run.ts";
import { depthErrors, type Experiment, experimentNamed } from "./structured-methods.ts";
import { type Course, trainVariant } from "./variants.ts";

const { values: flags, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    data: { type: "string" },
    teacher: { type: "string" },
    net: { type: "string" },
    seeds: { type: "string", default: "1,2,3" },
    epochs: { type: "string" },
    rows: { type: "string", default: "10000" },
    test: { type: "string", default: "100000" },
    methods: { type: "string" },
    rate: { type: "string" },
    decay: { type: "string", default: "5e-4" },
    holdout: { type: "string", default: "0" },
    steps: { type: "string", default: "3000" },
    engine: { type: "string", default: "wasm" },
    threads: { type: "string", default: "2" },
    log: { type: "string" },
  },
});
const name = positionals[0] ?? "";
const usage = (text: string): never => {
  console.error(
    `structured.ts: ${text}; usage: structured.ts e1|e2|e3|e4|e4-mnist|e5|e6 --data FOLDER ...`,
  );
  process.exit(2);
};
const numbers = (text: string): number[] => text.split(",").map(Number);
const listed = (text: string): string[] => text.match(/[^,(]+(\([^)]*\))?[^,]*/g) ?? [];

if (flags.log !== undefined) writeFileSync(flags.log, "");
const write = lineWriter(flags.log);
const seeds = numbers(flags.seeds);
const threads = Number(flags.threads);
const engine = await engineNamed(flags.engine);
const machine = machineInfo();

if (name === "e5") await depth();
else await pictures(experimentNamed(name) ?? usage(`there is no experiment '${name}'`));

async function depth(): Promise<void> {
  const steps = Number(flags.steps);
  write({ experiment: name, seeds, steps, engine: engine.name, machine });
  const found = new Map<string, number[]>();
  for (const seed of seeds) {
    for await (const line of depthErrors({ seed, steps, engine, only: flags.methods })) {
      write({ seed, ...line });
      found.set(line.method, [...(found.get(line.method) ?? []), line.relativeError]);
    }
  }
  const [reference] = found.keys();
  write({ summary: pairedSummary(found, reference!), against: reference, error: "relative" });
}

async function pictures(experiment: Experiment): Promise<void> {
  const folder = flags.data ?? usage("--data is missing");
  const { data } = experiment;
  const { batch, mean, std, augment } = data === "mnist" ? MNIST : CIFAR10;
  const holdout = Number(flags.holdout);
  const whole = heldOut(await (data === "mnist" ? MNIST : CIFAR10).read(folder), holdout);
  const test = some(whole.test, Number(flags.test));
  const epochs = Number(flags.epochs ?? experiment.epochs);
  const rate = Number(flags.rate ?? experiment.rate);
  const decay = Number(flags.decay);
  const course: Course = {
    ...{ set: some(whole.train, Number(flags.rows)), batch, mean, std, augment },
    ...{ epochs, rate, threads, engine },
  };
  const evaluation = { batch, mean, std, threads };
  const teacher = flags.teacher && withBatch(loadModel(readFileSync(flags.teacher)).graph, batch);
  if (experiment.needsTeacher && !teacher) usage("--teacher is missing");
  const methods = flags.methods === undefined ? experiment.methods : listed(flags.methods);
  const net = flags.net ?? experiment.net;
  const variant = (method: string, seed: number) =>
    experiment.variant(method, { net, batch, seed, decay, ...(teacher && { teacher }) });
  const sizes = methods.map((method) => {
    const { model } = variant(method, seeds[0]!);
    return { method, parameters: parameterCount(model), macs: macsOf(model) / batch };
  });
  write({
    ...{ experiment: name, net, methods: sizes, seeds, epochs, rate, decay, batch, augment },
    ...{ rows: course.set.count, test: test.count, holdout, engine: engine.name, threads, machine },
    ...(teacher && { teacher: rounded(await accuracy(teacher, test, evaluation), 2) }),
  });
  const errors = new Map<string, number[]>(methods.map((m) => [m, []]));
  for (const seed of seeds) {
    for (const method of methods) {
      const log = (line: object): void => write({ seed, method, ...line });
      try {
        const model = await trainVariant(course, variant(method, seed), seed, log);
        const testAccuracy = rounded(await accuracy(model, test, evaluation), 2);
        log({ testAccuracy });
        errors.get(method)!.push(100 - testAccuracy);
      } catch (error) {
        // A run that diverges is a result: it knows nothing.
        if (!/the loss is/.test(String(error))) throw error;
        log({ diverged: String(error) });
        errors.get(method)!.push(100 - 100 / test.classes);
      }
    }
  }
  write({ summary: pairedSummary(errors, methods[0]!), against: methods[0] });
  // Each block's first method against its others.
  const blockOf = (method: string): string => method.split(/[:+]/)[0]!;
  const blocks = new Set(methods.map(blockOf));
  for (const block of blocks.size > 1 ? blocks : []) {
    const own = methods.filter((method) => blockOf(method) === block);
    if (own.length === 1) continue;
    const found = new Map(own.map((method) => [method, errors.get(method)!]));
    write({ summary: pairedSummary(found, own[0]!), against: own[0] });
  }
}
