/** @file The weights of a graph that sparsity is about, with the axes that patterns run along. */
import { isFixed } from "../../graph/fixed.ts";
import { type Graph, typeOf, type Value } from "../../graph/graph.ts";
import { isResult } from "../../graph/ties.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { invariant, UserError } from "../../util/errors.ts";
import { tiesOf } from "../prune/places.ts";

/** Weights of a layer all of whose inputs reach all outputs of their group. */
export interface LayerWeights {
  readonly name: string;
  /** The constant. */
  readonly value: Value;
  readonly tensor: Tensor;
  /** The axis whose products are summed, beside those of the kernel. */
  readonly inAxis: number;
  readonly outAxis: number;
}

/** Which weights stay, by name: 1 stays, 0 goes; one byte an element. */
export type Masks = ReadonlyMap<string, Uint8Array>;

/**
 * The f32 weights of layers that sum over their inputs, in order; depthwise weights, biases and fixed ones are left out. `names`:
 * of constants, as parametersOf gives; default: the values' own.
 */
export function layerWeights(
  graph: Graph,
  names?: ReadonlyMap<Value, string>,
): readonly LayerWeights[] {
  const found = new Map<Value, LayerWeights>();
  for (const node of graph.nodes) {
    if (node.op.contracts !== true) continue;
    const { all } = tiesOf(graph, node);
    node.ins.forEach((value, position) => {
      const tensor = graph.constants.get(value);
      const learned = node.op.parameters?.includes(position) === true;
      if (tensor?.type.dtype !== "f32" || !learned || tensor.type.shape.length < 2) return;
      if (found.has(value) || isFixed(graph, node, value)) return;
      const axisWhere = (summed: boolean): number | undefined =>
        all
          .filter((tie) => summed !== tie.some(({ port }) => isResult(port)))
          .flatMap((tie) => tie.filter(({ port }) => port === position))[0]?.axis;
      const [inAxis, outAxis] = [axisWhere(true), axisWhere(false)];
      if (inAxis === undefined || outAxis === undefined) return;
      const own = graph.values.get(value)!.name || `${node.name || node.op.name}.${position}`;
      const name = names?.get(value) ?? own;
      found.set(value, { name, value, tensor, inAxis, outAxis });
    });
  }
  return [...found.values()];
}

/** Masks under which everything stays. */
export const fullMasks = (weights: readonly LayerWeights[]): Masks =>
  new Map(weights.map(({ name, tensor }) => [name, new Uint8Array(tensor.data.length).fill(1)]));

/** The graph with the masked weights at 0. Throws UserError for a mask of another size, or of no weights. */
export function applyMasks(graph: Graph, weights: readonly LayerWeights[], masks: Masks): Graph {
  const constants = new Map(graph.constants);
  const byName = new Map(weights.map((w) => [w.name, w]));
  for (const [name, mask] of masks) {
    const found = byName.get(name);
    const size = found?.tensor.data.length;
    if (found === undefined || size !== mask.length) {
      throw new UserError("E_ARGUMENT", `a mask of ${mask.length} for ${size ?? "no"} weights`, {
        where: name,
        hint: "masks belong to the model they were made for",
      });
    }
    invariant(typeOf(graph, found.value).dtype === "f32", () => `mask of ${name}, no f32`);
    const data = Float32Array.from(found.tensor.data as Float32Array, (w, i) => (mask[i] ? w : 0));
    constants.set(found.value, { type: found.tensor.type, data });
  }
  return { ...graph, constants };
}

/** The share of weights that go, of all that the masks cover. */
export function sparsityOf(masks: Masks): number {
  let [all, gone] = [0, 0];
  for (const mask of masks.values()) {
    all += mask.length;
    for (const bit of mask) gone += 1 - bit;
  }
  return all === 0 ? 0 : gone / all;
}
