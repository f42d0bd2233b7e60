/** @file What a model learns: its parameters by name, what kind each is, and how much each decays. */
import { isFixed } from "../graph/fixed.ts";
import { type Graph, isOp, type Node, type Value } from "../graph/graph.ts";
import { batchNorm } from "../ops/nn/batch-norm.ts";
import { fakeQuantize, lsqQuantize } from "../ops/quant/index.ts";
import type { Tensor } from "../tensor/tensor.ts";

/**
 * weight: of a convolution or matrix product. bias: what is added to the result of one. other: scales and shifts of
 * normalisations, slopes, embeddings, quantisation scales.
 */
export type ParameterTag = "weight" | "bias" | "other";

/** The decay of one parameter. */
export type DecayRule = (name: string, tensor: Tensor, tag: ParameterTag) => number;

/** One use of a parameter: a node, and the position among its operands. */
interface Use {
  readonly node: Node;
  readonly position: number;
}

/** Constants of the model that are learned, each with its first use. */
function usesOfParameters(graph: Graph): ReadonlyMap<Value, Use> {
  const found = new Map<Value, Use>();
  for (const node of graph.nodes) {
    for (const position of node.op.parameters ?? []) {
      const v = node.ins[position];
      const tensor = v === undefined ? undefined : graph.constants.get(v);
      if (v === undefined || tensor === undefined || found.has(v)) continue;
      if (tensor.type.dtype === "f32") found.set(v, { node, position });
    }
  }
  return found;
}

/** Constants of the model that are learned, with a name each. */
export function parametersOf(graph: Graph): ReadonlyMap<Value, string> {
  const found = new Map<Value, string>();
  const taken = new Set<string>();
  for (const [v, { node, position }] of usesOfParameters(graph)) {
    const base = graph.values.get(v)!.name || `${node.name || node.op.name}.${position}`;
    if (isFixed(graph, node, v)) continue;
    let name = base;
    for (let n = 2; taken.has(name); n++) name = `${base}#${n}`;
    taken.add(name);
    found.set(v, name);
  }
  return found;
}

/** The kind of every learned constant. What multiplies and accumulates has weights, and biases of one axis. */
export function tagsOf(graph: Graph): ReadonlyMap<Value, ParameterTag> {
  const tag = (v: Value, { node, position }: Use): ParameterTag => {
    // Behind a fake quantiser are weights and biases; its scale is neither.
    const rounded = isOp(node, fakeQuantize) || isOp(node, lsqQuantize);
    if (rounded && position === 0) return tagOfTensor(graph.constants.get(v)!);
    if (node.op.cost === undefined) return "other";
    return tagOfTensor(graph.constants.get(v)!);
  };
  return new Map([...usesOfParameters(graph)].map(([v, use]) => [v, tag(v, use)]));
}

/** The kind of a parameter of a contraction, by its number of axes. */
export const tagOfTensor = (tensor: Tensor): ParameterTag =>
  tensor.type.shape.length > 1 ? "weight" : "bias";

const uniform = ({ data }: Tensor): boolean =>
  data.length > 1 && (data as Float32Array).every((x) => x === data[0]);

/**
 * The same model in which no two uses share a constant of equal elements, nor the averages of normalisations: clean-up
 * gives one constant to all that happen to start as zeros or ones. Weights that are shared by intent differ within.
 */
export function withOwnParameters(graph: Graph): Graph {
  const values = new Map(graph.values);
  const constants = new Map(graph.constants);
  const used = new Set<Value>();
  let next = Math.max(-1, ...graph.values.keys()) + 1;
  const nodes = graph.nodes.map((node): Node => {
    const ins = node.ins.map((v, position) => {
      const tensor = graph.constants.get(v);
      const average = isOp(node, batchNorm) && position > 2;
      const learned = average || (node.op.parameters ?? []).includes(position);
      if (tensor === undefined || !learned || !(average || uniform(tensor))) return v;
      if (!used.has(v)) {
        used.add(v);
        return v;
      }
      const copy = next++ as Value;
      const { name, type } = graph.values.get(v)!;
      values.set(copy, { type, name: node.name === "" ? name : `${node.name}.${position}` });
      constants.set(copy, tensor);
      return copy;
    });
    return { ...node, ins };
  });
  return constants.size === graph.constants.size ? graph : { ...graph, nodes, values, constants };
}

/** A number decays weights alone. */
export const decayRule = (decay: number | DecayRule): DecayRule =>
  typeof decay === "number" ? (_name, _tensor, tag) => (tag === "weight" ? decay : 0) : decay;

/** The decay of the first entry whose tag the parameter has, or whose pattern its name fits; else `otherwise`. */
export function decayBy(
  entries: readonly (readonly [ParameterTag | RegExp, number])[],
  otherwise = 0,
): DecayRule {
  return (name, _tensor, tag) => {
    const fits = (key: ParameterTag | RegExp): boolean =>
      typeof key === "string" ? key === tag : name.search(key) >= 0;
    return entries.find(([key]) => fits(key))?.[1] ?? otherwise;
  };
}
