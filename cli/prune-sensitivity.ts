/** @file Sensitivity in `tersor prune`: computed once for a folder, kept there, and turned into shares. */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import {
  type ChooseOptions,
  chooseChannels,
  type Kept,
  type PruneTarget,
  pruneSensitivity,
  ratiosFor,
  SENSITIVITY_RATIOS,
  type Sensitivity,
  type ShareSubject,
} from "../src/compress/prune/index.ts";
import { modelIdentity } from "../src/train/checkpoint.ts";
import { hashBytes } from "../src/util/math.ts";
import { writeFiles } from "./files.ts";
import type { Job } from "./prune-run.ts";

export interface JudgedGroups {
  readonly sensitivity: Sensitivity;
  /** Examples it was evaluated on. */
  readonly rows: number;
}

/** What decides the numbers. */
function keyOf({ flags, data, settings }: Job, { graph }: ShareSubject): string {
  const { layers, weights } = modelIdentity(graph);
  const { train: _t, eval: _e, workers: _w, ...ofData } = settings.base.data;
  const decides = {
    ...{ layers, weights, method: flags.method, ratios: SENSITIVITY_RATIOS, data: ofData },
    ...{ examples: data.identity, seed: settings.base.seed, engine: settings.base.engine },
    metric: data.metric,
  };
  return hashBytes(new TextEncoder().encode(JSON.stringify(decides)));
}

function known(path: string, key: string): Sensitivity | null {
  if (!existsSync(path)) return null;
  try {
    const found = JSON.parse(readFileSync(path, "utf8")) as {
      key: string;
      sensitivity: Sensitivity;
    };
    return found.key === key ? found.sensitivity : null;
  } catch {
    return null;
  }
}

/** The sensitivity of this round's groups, on training examples; of the folder where it has been computed before. */
export async function sensitivityOf(
  job: Job,
  subject: ShareSubject,
  round: number,
): Promise<JudgedGroups> {
  const { data, io, settings, flags } = job;
  const { out } = settings.base;
  const name = round === 1 ? "sensitivity.json" : `sensitivity-${round}.json`;
  const key = keyOf(job, subject);
  const before = flags.fresh === true ? null : known(join(out, name), key);
  if (before !== null) return { sensitivity: before, rows: data.judgedRows };
  const sensitivity = await pruneSensitivity(
    subject.graph,
    subject.groups,
    (graph) => data.judge(graph),
    SENSITIVITY_RATIOS,
    {
      importance: subject.importance,
      better: data.better,
      onPoint: (done, total) => io.progress(`sensitivity ${done}/${total}`),
    },
  );
  writeFiles(out, new Map([[name, `${JSON.stringify({ key, sensitivity }, null, 1)}\n`]]));
  return { sensitivity, rows: data.judgedRows };
}

/** The units that stay: by shares of the sensitivity, or without one by ranking. */
export function chosenBy(
  judged: JudgedGroups | null,
  subject: ShareSubject,
  target: PruneTarget,
  options: ChooseOptions,
): Kept {
  if (judged !== null) return ratiosFor(judged.sensitivity, target, subject, options).kept;
  const { graph, groups, importance } = subject;
  return chooseChannels(graph, groups, importance, target, options);
}
