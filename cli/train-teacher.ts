/** @file What the teacher of a training run says to every view of the data, kept in the run's folder. */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { readBytes } from "../src/node.ts";
import { compile } from "../src/pipeline.ts";
import type { ExampleSet } from "../src/train/data/sets.ts";
import { teacherOutputs } from "../src/train/teacher-outputs.ts";
import { withBatch } from "../src/train/with-batch.ts";
import { hashBytes } from "../src/util/math.ts";
import { writeFiles } from "./files.ts";
import { count } from "./format.ts";
import type { Io } from "./io.ts";
import { openTarget } from "./target.ts";
import type { TrainSettings } from "./train-config.ts";
import { allViews, setIdentity } from "./train-data.ts";
import { inputOf, teacherOf, teacherToldAhead } from "./train-setup.ts";

/** Names the file by all that decides its content. */
function fileOf(settings: TrainSettings, set: ExampleSet, teacher: Uint8Array): string {
  const { data, seed, engine } = settings;
  const { train: _t, eval: _e, workers: _w, batch: _b, evalRows: _r, ...decides } = data;
  const text = JSON.stringify([hashBytes(teacher), decides, seed, engine, setIdentity(set)]);
  return `teacher-${hashBytes(new TextEncoder().encode(text))}.bin`;
}

/**
 * The teacher's logits, [examples, views, classes], where it runs ahead of training; null: it does not. They are read
 * from the folder where they are there, else computed and written.
 */
export async function teacherTells(
  settings: TrainSettings,
  set: ExampleSet,
  io: Io,
  signal: AbortSignal,
): Promise<Float32Array | null | "stopped"> {
  const { loss, data, threads, out } = settings;
  if (loss.kind !== "distillation" || !teacherToldAhead(settings)) return null;
  const file = fileOf(settings, set, readBytes(loss.teacher));
  const rows = set.count * data.augment!.views!;
  const path = join(out, file);
  const known = existsSync(path) ? readFileSync(path) : null;
  if (known !== null && known.length > 0 && known.length % (4 * rows) === 0) {
    return new Float32Array(Uint8Array.from(known).buffer);
  }
  const teacher = withBatch(teacherOf(loss), data.batch);
  const target = await openTarget(settings.engine);
  const begun = performance.now();
  const told = await teacherOutputs(
    teacher,
    allViews(set, settings, inputOf(teacher, set, settings)),
    {
      ...{ count: rows, signal },
      open: (graph) => target.open(compile(graph, { caps: target.caps }).program, threads),
      onBatch: (done, total) => io.progress(`the teacher looks at the data: ${done}/${total}`),
    },
  );
  if (told === null) return "stopped";
  writeFiles(out, new Map([[file, new Uint8Array(told.buffer, 0, told.byteLength).slice()]]));
  const seconds = ((performance.now() - begun) / 1000).toFixed(0);
  io.print(`the teacher has looked at ${count(rows)} views in ${seconds} s`);
  return told;
}
