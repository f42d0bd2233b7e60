/** @file What one run of a program leaves for the next: weights and optimiser state of a training step. */
import { type Graph, typeOf, type Value } from "../graph/graph.ts";
import { KernelBuilder } from "../kernel/build.ts";
import type { Kernel } from "../kernel/ir.ts";
import { elementCount, sameType, type TensorType } from "../tensor/tensor.ts";
import { invariant } from "../util/errors.ts";

/** An input that holds, in the next run, what the output was in this one. */
export interface StatePair {
  readonly input: string;
  readonly output: string;
}

/** A pair of the state as values. */
export interface StateValues {
  readonly input: Value;
  readonly output: Value;
}

/** The values of a pair. */
export function statePair(graph: Graph, { input, output }: StatePair): StateValues {
  const from = graph.inputs.find((v) => graph.values.get(v)!.name === input);
  const to = graph.outputs[graph.outputNames.indexOf(output)];
  invariant(from !== undefined && to !== undefined, () => `no state '${input}' <- '${output}'`);
  const same = sameType(typeOf(graph, from), typeOf(graph, to));
  invariant(same, () => `state '${input}' and '${output}' differ in type`);
  // An output that is an input would be read after that input's memory was overwritten.
  invariant(from === to || !graph.inputs.includes(to), () => `state '${output}' is an input`);
  return { input: from, output: to };
}

/** Moves a new state to the place of the old one. */
export function copyState(type: TensorType): Kernel {
  const k = new KernelBuilder("copy_state");
  const count = elementCount(type.shape);
  const from = k.buffer("from", type.dtype, count, "in");
  const to = k.buffer("to", type.dtype, count, "out");
  k.copy(to, 0, from, 0, count);
  return k.build();
}
