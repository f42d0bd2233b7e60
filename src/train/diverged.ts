/**
 * @file Where a training step went wrong: the step's graph once more, with a probe beside every value, so that the
 * first layer whose value or gradient is not finite, or is the largest, can be named.
 */
import { inlineGraph, sameInputs } from "../autodiff/inline.ts";
import { type Graph, GraphBuilder, type Value } from "../graph/graph.ts";
import { abs } from "../ops/elementwise/abs.ts";
import { sub } from "../ops/elementwise/sub.ts";
import { reduceMax, reduceSum } from "../ops/reduce/index.ts";
import { compile } from "../pipeline.ts";
import { createSession } from "../runtime/session.ts";
import type { ModelArray } from "../targets/wasm/model.ts";
import type { TypedArray } from "../tensor/dtype.ts";
import { makeTensor } from "../tensor/tensor.ts";
import { UserError } from "../util/errors.ts";
import type { TrainingStep } from "./step.ts";

/** Where something is not finite (or largest, when everything is finite). */
export interface Finding {
  readonly kind: "input" | "parameter" | "value" | "loss" | "gradient" | "update";
  /** Name of the input, parameter or layer. */
  readonly name: string;
  /** Operator that gave it; empty for inputs. */
  readonly operator: string;
  /** Largest magnitude found there; NaN where it is not finite. */
  readonly size: number;
}

const finite = (data: ArrayLike<number | bigint>): boolean => {
  for (let i = 0; i < data.length; i++) if (!Number.isFinite(Number(data[i]))) return false;
  return true;
};

/** Name of the first tensor that holds something not finite; undefined when there is none. */
export function notFinite(
  tensors: Iterable<readonly [string, ArrayLike<number | bigint>]>,
): string | undefined {
  for (const [name, data] of tensors) if (!finite(data)) return name;
  return undefined;
}

/** A node of the step as people know it. */
interface Place {
  readonly kind: Finding["kind"];
  readonly name: string;
  readonly operator: string;
}

/**
 * The layer of every node. Up to the loss a node without a name belongs to the named one before it; behind it, to
 * the layer furthest towards the output among those whose values it reads.
 */
function placesOf({ graph, trained }: TrainingStep): readonly Place[] {
  const layerOf = new Map<Value, { readonly at: number; readonly name: string }>();
  for (const v of graph.inputs) {
    const { name } = graph.values.get(v)!;
    const parameter = trained.find((p) => name === p || name.startsWith(`${p}:`));
    if (parameter !== undefined) layerOf.set(v, { at: -1, name: parameter });
  }
  const loss = graph.outputs[graph.outputNames.indexOf("loss")];
  const end = graph.nodes.findIndex((n) => n.outs.includes(loss!));
  const lastNamed = graph.nodes.findLastIndex((n, i) => i <= end && n.name !== "");
  let name = "the input";
  let nearest = { at: end, name };
  return graph.nodes.map((node, at): Place => {
    const operator = node.op.name;
    if (at <= end) {
      if (node.name !== "") name = node.name;
      for (const v of node.outs) layerOf.set(v, { at, name });
      return { kind: at <= lastNamed ? "value" : "loss", name, operator };
    }
    const read = node.ins.flatMap((v) => layerOf.get(v) ?? []);
    nearest = read.length === 0 ? nearest : read.reduce((a, b) => (b.at > a.at ? b : a));
    return { kind: nearest.at < 0 ? "update" : "gradient", name: nearest.name, operator };
  });
}

interface Probed {
  readonly graph: Graph;
  /** The place of each output. */
  readonly places: readonly Place[];
}

/** The step with two numbers for every float result: 0 when all is finite (else NaN), and the largest magnitude. */
function probed(training: TrainingStep): Probed {
  const step = training.graph;
  const g = new GraphBuilder(`${step.name}-probed`);
  const places = placesOf(training);
  const probes: { readonly place: Place; readonly outs: readonly Value[] }[] = [];
  const { nodes } = inlineGraph(g, step, sameInputs(g, step));
  for (const [i, { outs }] of nodes.entries()) {
    for (const v of outs) {
      const { dtype, shape } = g.typeOf(v);
      if (dtype !== "f32") continue;
      const over = { axes: shape.map((_, k) => k), keepDims: false };
      const zero = g.apply(reduceSum, [g.apply(sub, [v, v])], over);
      const size = g.apply(reduceMax, [g.apply(abs, [v])], over);
      probes.push({ place: places[i]!, outs: [zero, size] });
    }
  }
  probes.forEach(({ outs }, i) => {
    outs.forEach((v, k) => g.output(v, `probe${2 * i + k}`));
  });
  return { graph: g.build(), places: probes.map((p) => p.place) };
}

/**
 * Runs one step of `training` on a batch, from a state, and names the first place in order of computation that is
 * not finite; when all are, the layer with the largest value. `scalars`: those of the step, by name.
 */
export async function locate(
  training: TrainingStep,
  state: ReadonlyMap<string, TypedArray>,
  feeds: Readonly<Record<string, ModelArray>>,
  scalars: Readonly<Record<string, number>>,
): Promise<Finding> {
  const bad = notFinite(Object.entries(feeds));
  if (bad !== undefined) return { kind: "input", name: bad, operator: "", size: Number.NaN };
  const wrong = notFinite(state as ReadonlyMap<string, ArrayLike<number>>);
  if (wrong !== undefined) {
    return { kind: "parameter", name: wrong, operator: "", size: Number.NaN };
  }
  const { graph, places } = probed(training);
  const tensors = graph.inputs.map((v) => {
    const { name, type } = graph.values.get(v)!;
    const data = feeds[name] ?? state.get(name) ?? Float32Array.of(scalars[name] ?? Number.NaN);
    return makeTensor(type, data as TypedArray);
  });
  const session = await createSession(compile(graph).program);
  const results = session.run(tensors).map((t) => Number(t.data[0]));
  session.close();
  return firstOrLargest(places, results);
}

function firstOrLargest(places: readonly Place[], results: readonly number[]): Finding {
  const first = places.findIndex((_, i) => !Number.isFinite(results[2 * i]!));
  if (first >= 0) return { ...places[first]!, size: Number.NaN };
  let at = -1;
  places.forEach(({ kind }, i) => {
    if (kind !== "value") return;
    if (at < 0 || results[2 * i + 1]! > results[2 * at + 1]!) at = i;
  });
  return { ...places[Math.max(at, 0)]!, size: results[2 * Math.max(at, 0) + 1]! };
}

/** The error that ends a run. `step` counted from 1, as people do. */
export function divergence(
  finding: Finding,
  at: { readonly step: number; readonly loss: number; readonly rate: number },
): UserError {
  const { kind, name, operator, size } = finding;
  const layer = `layer '${name}'${operator === "" ? "" : ` (${operator})`}`;
  const what = {
    input: `input '${name}' of this batch holds values that are not finite`,
    parameter: `parameter '${name}' is not finite`,
    value: Number.isNaN(size)
      ? `the values of ${layer} are the first that are not finite`
      : `the values of ${layer} are the largest, up to ${size.toPrecision(3)}`,
    loss: `the loss behind ${layer} is the first value that is not finite`,
    update: `the gradient or update of '${name}' is the first that is not finite`,
    gradient: `the gradient of ${layer} is the first that is not finite`,
  }[kind];
  const hint =
    kind === "input"
      ? "check the data, and mean and std, which may divide by zero"
      : `lower the rate (now ${Number(at.rate.toPrecision(3))}), clip gradients, or check data and labels`;
  return new UserError("E_DIVERGED", `step ${at.step}: the loss is ${at.loss}; ${what}`, {
    where: name,
    hint,
  });
}
