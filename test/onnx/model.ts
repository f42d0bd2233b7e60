/** @file Small ONNX models for tests, written node by node. */
import {
  ATTRIBUTE,
  type AttributeProto,
  type FunctionProto,
  type GraphProto,
  MODEL,
  type NodeProto,
} from "../../src/formats/onnx/proto.ts";
import { DATA_TYPE, protoOfTensor } from "../../src/formats/onnx/tensors.ts";
import { type Draft, encodeMessage } from "../../src/formats/onnx/wire.ts";
import type { DType } from "../../src/tensor/dtype.ts";
import type { Tensor } from "../../src/tensor/tensor.ts";

type AttributeInput =
  | number
  | string
  | readonly number[]
  | { readonly float: number }
  | { readonly graph: Draft<GraphProto> }
  | { readonly ref: string };

/** A whole number is an int; `{ float }` a float; `{ ref }` refers to an attribute of the function. */
function attribute(name: string, x: AttributeInput): Draft<AttributeProto> {
  if (typeof x === "number") return { name, type: ATTRIBUTE.int, i: x };
  if (typeof x === "string")
    return { name, type: ATTRIBUTE.string, s: new TextEncoder().encode(x) };
  if ("float" in x) return { name, type: ATTRIBUTE.float, f: x.float };
  if ("graph" in x) return { name, type: ATTRIBUTE.graph, g: x.graph };
  if ("ref" in x) return { name, type: ATTRIBUTE.float, refAttrName: x.ref };
  return { name, type: ATTRIBUTE.ints, ints: x };
}

export function node(
  opType: string,
  input: readonly string[],
  output: readonly string[],
  attributes: Readonly<Record<string, AttributeInput>> = {},
  domain = "",
): Draft<NodeProto> {
  const list = Object.entries(attributes).map(([name, x]) => attribute(name, x));
  return { opType, input, output, domain, attribute: list };
}

/** A declared value; a dimension that is text is a named one. */
export const value = (name: string, dtype: DType, dims: readonly (number | string)[]) => ({
  name,
  type: {
    tensorType: {
      elemType: DATA_TYPE[dtype],
      shape: { dim: dims.map((d) => (typeof d === "number" ? { value: d } : { param: d })) },
    },
  },
});

export interface ModelSpec {
  readonly nodes: readonly Draft<NodeProto>[];
  readonly inputs: readonly ReturnType<typeof value>[];
  readonly outputs: readonly string[];
  readonly constants?: Readonly<Record<string, Tensor>>;
  readonly functions?: readonly Draft<FunctionProto>[];
  readonly opset?: number;
}

export const graphOf = (spec: ModelSpec): Draft<GraphProto> => ({
  name: "test",
  node: spec.nodes,
  input: spec.inputs,
  output: spec.outputs.map((name) => ({ name })),
  initializer: Object.entries(spec.constants ?? {}).map(([name, t]) => protoOfTensor(t, name)),
});

/** The bytes of a model. */
export const modelOf = (spec: ModelSpec): Uint8Array =>
  encodeMessage(MODEL, {
    irVersion: 10,
    opsetImport: [
      { domain: "", version: spec.opset ?? 21 },
      { domain: "local", version: 1 },
    ],
    graph: graphOf(spec),
    functions: spec.functions ?? [],
  });
