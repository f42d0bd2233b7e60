/**
 * @file Runs the stages of a network with early exits until one is confident. `cascade` refers to nothing outside: its
 * source is pasted into artefacts.
 */
import { compile } from "../../pipeline.ts";
import { createSession, type Session } from "../../runtime/session.ts";
import type { ModelArray } from "../../targets/wasm/model.ts";
import { makeTensor } from "../../tensor/tensor.ts";
import type { Stages } from "./stages.ts";

/** max: the largest probability. entropy: 1 minus the entropy over that of equal probabilities. Both from 0 to 1. */
export type Confidence = "max" | "entropy";

/** What the cascade knows of its stages. */
export interface CascadeAbout {
  readonly output: string;
  readonly probabilities: boolean;
  readonly confidence: Confidence;
  /** Names of each stage's inputs. */
  readonly inputs: readonly (readonly string[])[];
}

/** A loaded stage: that of an artefact, or of this process. */
export interface StageModel {
  run(inputs: Readonly<Record<string, ModelArray>>): Readonly<Record<string, ModelArray>>;
}

export interface Exited {
  readonly outputs: Readonly<Record<string, ModelArray>>;
  /** Which exit it was, from 0; the last is the whole network. */
  readonly exit: number;
  readonly confidence: number;
}

/** Stops at the first stage that is at least as confident as the threshold. */
export function cascade(
  stages: readonly StageModel[],
  about: CascadeAbout,
  feeds: Readonly<Record<string, ModelArray>>,
  threshold: number,
): Exited {
  const known: Record<string, ModelArray> = { ...feeds };
  for (let i = 0; ; i++) {
    const own: Record<string, ModelArray> = {};
    for (const name of about.inputs[i]!) own[name] = known[name]!;
    const results = stages[i]!.run(own);
    const scores = Array.from(results[about.output] as ArrayLike<number>);
    const most = Math.max(...scores);
    const parts = about.probabilities ? scores : scores.map((x) => Math.exp(x - most));
    const sum = parts.reduce((a, b) => a + b, 0);
    let confidence = Math.max(...parts) / sum;
    if (about.confidence === "entropy") {
      const bits = parts.map((p) => (p > 0 ? (p / sum) * Math.log(p / sum) : 0));
      confidence = 1 + bits.reduce((a, b) => a + b, 0) / Math.log(parts.length);
    }
    if (i === stages.length - 1 || confidence >= threshold) {
      return { outputs: { [about.output]: results[about.output]! }, exit: i, confidence };
    }
    Object.assign(known, results);
  }
}

export const aboutOf = (
  { list, output, probabilities }: Stages,
  confidence: Confidence,
): CascadeAbout => ({
  ...{ output, probabilities, confidence },
  inputs: list.map(({ graph }) => graph.inputs.map((v) => graph.values.get(v)!.name)),
});

/** Stages compiled and loaded here. */
export interface OpenCascade {
  readonly about: CascadeAbout;
  readonly stages: readonly StageModel[];
  run(feeds: Readonly<Record<string, ModelArray>>, threshold: number): Exited;
  /** Drops the modules. */
  close(): void;
}

function stageModel(session: Session, graph: Stages["list"][number]["graph"]): StageModel {
  return {
    run: (inputs) => {
      const feeds = graph.inputs.map((v) => {
        const { name, type } = graph.values.get(v)!;
        return makeTensor(type, inputs[name] as never);
      });
      const outs = session.run(feeds);
      return Object.fromEntries(
        graph.outputNames.map((name, i) => [name, outs[i]!.data as ModelArray]),
      );
    },
  };
}

/** Compiles every stage for WebAssembly. */
export async function openCascade(
  all: Stages,
  confidence: Confidence = "max",
): Promise<OpenCascade> {
  const sessions: Session[] = [];
  for (const { graph } of all.list) sessions.push(await createSession(compile(graph).program));
  const stages = sessions.map((session, i) => stageModel(session, all.list[i]!.graph));
  const about = aboutOf(all, confidence);
  return {
    ...{ about, stages },
    run: (feeds, threshold) => cascade(stages, about, feeds, threshold),
    close: () => {
      for (const session of sessions) session.close();
    },
  };
}
