/** @file What a model is worth on a second source of batches: accuracy, or mean squared error. */
import type { Graph } from "../graph/graph.ts";
import { cleanGraph, compile } from "../pipeline.ts";
import { createSession, type Session } from "../runtime/session.ts";
import type { ModelArray } from "../targets/wasm/model.ts";
import { makeTensor } from "../tensor/tensor.ts";
import { UserError } from "../util/errors.ts";
import { argMax } from "../util/math.ts";
import type { BatchSource } from "./batches.ts";

/** accuracy: share of rows whose largest output is their class, in per cent. mse: mean squared error. */
export type TrainingMetric = "accuracy" | "mse";

export const metricRises = (metric: TrainingMetric): boolean => metric === "accuracy";

export interface EvaluatorOptions {
  /** Default "accuracy". */
  readonly metric?: TrainingMetric;
  /** The feed that "mse" compares with; default: one-hot classes. */
  readonly target?: string;
  /** Examples of an epoch, where rows have no classes; rows beyond only fill up the last batch. */
  readonly count?: number;
  /** Name of the output that counts; default the first. */
  readonly output?: string;
  /** Compiles and loads a clean graph; default: WebAssembly on one thread. */
  readonly open?: (graph: Graph) => Promise<Session>;
}

export interface Evaluator {
  readonly metric: TrainingMetric;
  /** The metric of a model over one epoch of the source. The model's batch is that of the source. */
  run(model: Graph): Promise<number>;
}

/** Sums over batches, of which the last may have rows that do not count. */
interface Sums {
  rows: number;
  right: number;
  squares: number;
  elements: number;
}

/** Rows whose largest output is their class. */
export function rightRows(output: ModelArray, labels: readonly number[], rows: number): number {
  const width = output.length / rows;
  let right = 0;
  labels.forEach((label, i) => {
    const row = (output as Float32Array).subarray(i * width, (i + 1) * width);
    if (argMax(row) === label) right++;
  });
  return right;
}

function addSquares(sums: Sums, y: Float32Array, target: ModelArray, counted: number): void {
  if (target.length !== y.length) {
    throw new UserError("E_DATA", `${target.length} target values for ${y.length} outputs`);
  }
  for (let i = 0; i < counted; i++) sums.squares += (y[i]! - Number(target[i])) ** 2;
  sums.elements += counted;
}

function oneHot(labels: readonly number[], length: number, rows: number): Float32Array {
  const to = new Float32Array(length);
  labels.forEach((label, i) => {
    to[(i * length) / rows + label] = 1;
  });
  return to;
}

const openHere = (graph: Graph): Promise<Session> => createSession(compile(graph).program);

/** Compiles the model as it is used later: batch normalisation by its averages, folded. */
export function evaluator(source: BatchSource, options: EvaluatorOptions = {}): Evaluator {
  const { metric = "accuracy", output, target, count, open = openHere } = options;
  return {
    metric,
    run: async (model) => {
      const at = output === undefined ? 0 : model.outputNames.indexOf(output);
      if (at < 0) {
        throw new UserError("E_ARGUMENT", `${model.name} has no output '${output}'`, {
          hint: `its outputs: ${model.outputNames.join(", ")}`,
        });
      }
      const session = await open(cleanGraph(model));
      try {
        const sums: Sums = { rows: 0, right: 0, squares: 0, elements: 0 };
        for (let i = 0; i < source.batchesPerEpoch; i++) {
          const { feeds, labels } = await source.batch(i);
          const y = session.run(tensorsOf(model, feeds))[at]!.data as Float32Array;
          const { rows } = source;
          const counted = count === undefined ? labels.length : Math.min(rows, count - i * rows);
          sums.rows += counted;
          if (metric === "accuracy") {
            sums.right += rightRows(y, labels, rows);
            continue;
          }
          const want = target === undefined ? oneHot(labels, y.length, rows) : feeds[target];
          addSquares(sums, y, want ?? new Float32Array(0), (y.length / rows) * counted);
        }
        if (sums.rows === 0) throw new UserError("E_DATA", "there are no rows to evaluate with");
        return metric === "accuracy"
          ? (100 * sums.right) / sums.rows
          : sums.squares / sums.elements;
      } finally {
        session.close();
      }
    },
  };
}

/** The feeds of a batch in the order of the model's inputs. */
export function tensorsOf(model: Graph, feeds: Readonly<Record<string, ModelArray>>) {
  return model.inputs.map((v) => {
    const { name, type } = model.values.get(v)!;
    const data = feeds[name];
    if (data === undefined) {
      throw new UserError("E_DATA", `the batches have no '${name}'`, {
        where: name,
        hint: `they have ${Object.keys(feeds).join(", ")}`,
      });
    }
    return makeTensor(type, data as Float32Array<ArrayBuffer>);
  });
}
