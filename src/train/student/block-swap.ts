/**
 * @file BlockSwap (Turner, Crowley, O'Boyle, Storkey, Gray, arXiv:1906.04113): a block type for each residual block
 * under a budget. Many mixtures that meet the budget are drawn; the one with the largest Fisher potential of one
 * minibatch, before any training, is the student.
 */

import type { Layer } from "../../compress/factorise/layer.ts";
import { macsOf, parameterCount } from "../../graph/count.ts";
import { type Executor, type Graph, typeOf } from "../../graph/graph.ts";
import { cleanGraph, compile } from "../../pipeline.ts";
import { type Tensor, toNumbers } from "../../tensor/tensor.ts";
import { UserError } from "../../util/errors.ts";
import { makeRng, type Rng } from "../../util/rng.ts";
import { withBatch } from "../with-batch.ts";
import { fisherGraph, type Probe } from "./fisher.ts";
import { runsOf } from "./runs.ts";
import { type Student, type StudentOptions, studentOf } from "./student.ts";

/** The types of the paper. */
export const SWAP_TYPES: readonly string[] = [
  "S",
  ...["B(2)", "B(4)"],
  ...["2", "4", "8", "16", "N/16", "N/8", "N/4", "N/2", "N"].map((g) => `G(${g})`),
  ...["2", "4", "8", "16", "M/16", "M/8", "M/4", "M/2", "M"].map((g) => `BG(2,${g})`),
];

export interface SwapBudget {
  /** Of one row; latency: milliseconds, as the cost model predicts them for WebAssembly. */
  readonly kind: "params" | "macs" | "latency";
  readonly target: number;
  /** How far a mixture may be from the target, as a share of it; default 0.025. */
  readonly tolerance?: number;
}

export interface SwapOptions {
  readonly budget: SwapBudget;
  /** Mixtures to compare; default 100 (the paper: 1000). */
  readonly samples?: number;
  /** Default SWAP_TYPES; for each block those that its channels allow. */
  readonly types?: readonly string[];
  /** Of the mixtures and of the students' weights; default 1. */
  readonly seed?: number;
  readonly executor: Executor;
  /** One minibatch: the teacher's inputs in order, then targets [batch, classes]. */
  readonly batch: readonly Tensor[];
  readonly onSample?: (done: number, of: number) => void;
}

export interface Mixture {
  /** One for each block, in order. */
  readonly types: readonly string[];
  /** What the budget counts, of this mixture. */
  readonly cost: number;
  readonly potential: number;
}

export interface Swapped {
  readonly student: Student;
  /** The layers of each block. */
  readonly blocks: readonly (readonly string[])[];
  /** Falling potential; the first is the student's. */
  readonly ranked: readonly Mixture[];
}

const TRIES = 200_000;

const latencyMs = (graph: Graph): number => compile(cleanGraph(graph)).predictedNs / 1e6;

/** What a budget counts, of a graph of one row. */
export const SWAP_COSTS: Readonly<Record<SwapBudget["kind"], (g: Graph) => number>> = {
  params: parameterCount,
  macs: macsOf,
  latency: latencyMs,
};

type Run = readonly Layer[];

/** The student with these types in these runs of layers, all other layers as they are. */
function studentWith(
  teacher: Graph,
  runs: readonly Run[],
  types: readonly string[],
  options: Pick<StudentOptions, "seed" | "weights">,
): Student {
  const byName = new Map(runs.flatMap((run, i) => run.map((l) => [l.name, types[i]!] as const)));
  if (types.every((t) => t === "S")) return { graph: teacher, blocks: [], kept: [] };
  return studentOf(teacher, { blocks: (name) => byName.get(name) ?? "S", ...options });
}

/** What a type in a run adds to the teacher's cost; null: the channels do not allow it. */
function added(
  teacher: Graph,
  run: Run,
  type: string,
  cost: (g: Graph) => number,
  base: number,
): number | null {
  if (type === "S") return 0;
  try {
    return cost(studentWith(teacher, [run], [type], { weights: "teacher" }).graph) - base;
  } catch (error) {
    if (error instanceof UserError && error.code === "E_ARGUMENT") return null;
    throw error;
  }
}

/** Runs with equal keys cost the same. */
const keyOf = (run: Run): string =>
  run
    .map(({ kernel: k, geometry, inPositions, outPositions }) =>
      [k.outputs, k.inputs, k.height, k.width, inPositions, outPositions, geometry?.stride].join(),
    )
    .join(";");

type Table = readonly (readonly (readonly [type: string, cost: number])[])[];

/** Costs of all types in all runs: they add up, exactly for parameters and operations. */
function costTable(
  teacher: Graph,
  runs: readonly Run[],
  base: number,
  options: SwapOptions,
): Table {
  const { types = SWAP_TYPES, budget } = options;
  const cost = SWAP_COSTS[budget.kind];
  const known = new Map<string, Table[number]>();
  return runs.map((run) => {
    const key = keyOf(run);
    const row =
      known.get(key) ??
      types.flatMap((type) => {
        const more = added(teacher, run, type, cost, base);
        return more === null ? [] : [[type, more] as const];
      });
    known.set(key, row);
    if (row.length > 0) return row;
    throw new UserError("E_ARGUMENT", `no block type fits ${run[0]!.name}`, {
      where: run[0]!.name,
      hint: "add S, or types whose groups divide its channels",
    });
  });
}

/** Mixtures within the budget, no two alike. */
function drawn(
  table: Table,
  base: number,
  options: SwapOptions,
  rng: Rng,
): Omit<Mixture, "potential">[] {
  const { samples = 100, budget } = options;
  const { target, tolerance = 0.025 } = budget;
  const found = new Map<string, Omit<Mixture, "potential">>();
  for (let i = 0; i < TRIES && found.size < samples; i++) {
    const picks = table.map((row) => row[rng.int(row.length)]!);
    const cost = picks.reduce((sum, [, more]) => sum + more, base);
    if (Math.abs(cost - target) > tolerance * target) continue;
    const types = picks.map(([type]) => type);
    found.set(types.join(), { types, cost });
  }
  if (found.size > 0) return [...found.values()];
  const ends = (pick: (list: number[]) => number): number =>
    table.reduce((sum, row) => sum + pick(row.map(([, more]) => more)), base);
  const [least, most] = [ends((l) => Math.min(...l)), ends((l) => Math.max(...l))];
  throw new UserError("E_UNMET", `no mixture of blocks has ${budget.kind} near ${target}`, {
    hint: `mixtures lie between ${least} and ${most}; few lie near the ends: allow more tolerance`,
  });
}

/** Chooses block types for a teacher. Throws UserError when no mixture meets the budget. */
export async function blockSwap(teacher: Graph, options: SwapOptions): Promise<Swapped> {
  const { seed = 1, executor, batch, onSample } = options;
  const runs = runsOf(teacher);
  if (runs.length === 0) {
    throw new UserError("E_ARGUMENT", `${teacher.name} has no convolution to replace`, {
      hint: "blocks stand for float convolutions over two axes, without groups, behind the first one",
    });
  }
  if (batch.length !== teacher.inputs.length + 1) {
    throw new UserError(
      "E_DATA",
      `expected ${teacher.inputs.length} inputs and targets, got ${batch.length} tensors`,
    );
  }
  const single = withBatch(teacher, 1);
  const base = SWAP_COSTS[options.budget.kind](single);
  const table = costTable(single, runsOf(single), base, options);
  const mixtures = drawn(table, base, options, makeRng(seed));
  const probes = runs.map((run) => probeOf(teacher, run));
  const ranked: Mixture[] = [];
  for (const [i, mixture] of mixtures.entries()) {
    const { graph } = studentWith(teacher, runs, mixture.types, { seed });
    const outs = await executor(fisherGraph(graph, probes), batch);
    const potential = outs.flatMap(toNumbers).reduce((a, b) => a + b, 0);
    ranked.push({ ...mixture, potential });
    onSample?.(i + 1, mixtures.length);
  }
  ranked.sort((a, b) => b.potential - a.potential);
  return {
    student: studentWith(teacher, runs, ranked[0]!.types, { seed }),
    blocks: runs.map((run) => run.map((l) => l.name)),
    ranked,
  };
}

/** The result of a run's last layer, which keeps its name in every student. */
function probeOf(teacher: Graph, run: Run): Probe {
  const { node, geometry, name } = run.at(-1)!;
  const own = teacher.values.get(node.outs[0]!)!.name;
  if (own === "") {
    throw new UserError("E_MODEL", `the result of ${name} has no name`, {
      where: name,
      hint: `its type is [${typeOf(teacher, node.outs[0]!).shape}]; name the values of the model`,
    });
  }
  return { name: own, layout: geometry!.layout };
}
