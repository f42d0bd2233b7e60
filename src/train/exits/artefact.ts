/** @file The files of a network with early exits: one module a stage, and a runner that skips what is not needed. */
import { compile } from "../../pipeline.ts";
import { writeArtefact } from "../../targets/wasm/artefact.ts";
import { aboutOf, type Confidence, cascade } from "./cascade.ts";
import type { Stages } from "./stages.ts";

export interface ExitArtefactOptions {
  /** Default of `run`. */
  readonly threshold: number;
  readonly confidence: Confidence;
}

const source = (): string =>
  cascade
    .toString()
    .replace(/[ \t]+/g, " ")
    .replace(/\s*\n\s*/g, "\n");

function runner(stages: Stages, { threshold, confidence }: ExitArtefactOptions): string {
  const numbers = stages.list.map((_, i) => i + 1);
  const imports = numbers.map((n) => `import { load as load${n} } from "./stage${n}.js";\n`);
  const about = JSON.stringify(aboutOf(stages, confidence));
  return `/**
 * A network with early exits, compiled by tersor: ${stages.list.length} stages, of which only those run that are needed.
 */
${imports.join("")}
const cascade = ${source()};
const about = ${about};

/** Confidence from which on an exit is taken. */
export const threshold = ${threshold};

/** Multiply-accumulates up to each exit. */
export const macs = ${JSON.stringify(stages.list.map((s) => s.macs))};

export async function load() {
  const stages = await Promise.all([${numbers.map((n) => `load${n}()`).join(", ")}]);
  return {
    inputs: stages[0].inputs,
    stages,
    run(inputs, at = threshold) {
      return cascade(stages, about, inputs, at);
    },
  };
}
`;
}

const declarations = (
  count: number,
): string => `import type { Inputs, Model, Port } from "./stage1.js";

export interface Exited {
  /** Scores of the classes, by the name of the output. */
  readonly outputs: Readonly<Record<string, Float32Array>>;
  /** Which exit was taken, from 0; ${count - 1} is the whole network. */
  readonly exit: number;
  /** Of the exit that was taken, 0 to 1. */
  readonly confidence: number;
}

export interface ExitModel {
  readonly inputs: readonly Port[];
  readonly stages: readonly Pick<Model, "inputs" | "outputs" | "variant">[];
  /** One inference that ends at the first exit as confident as the threshold; 0: the first exit, 2: never. */
  run(inputs: Inputs, threshold?: number): Exited;
}

export const threshold: number;
export const macs: readonly number[];

/** Loads all stages from the files beside this one. */
export function load(): Promise<ExitModel>;
`;

/** model.js, model.d.ts, and stage1.wasm and so on with theirs. The same stages give the same bytes. */
export function writeExitArtefact(
  stages: Stages,
  options: ExitArtefactOptions,
): ReadonlyMap<string, Uint8Array | string> {
  const files = new Map<string, Uint8Array | string>([
    ["model.js", runner(stages, options)],
    ["model.d.ts", declarations(stages.list.length)],
  ]);
  stages.list.forEach(({ graph }, i) => {
    const { program } = compile(graph);
    const own = writeArtefact(program, { fileName: `stage${i + 1}` });
    for (const [name, content] of own.files) files.set(name, content);
  });
  return files;
}
