/** @file A few small ONNX models written field by field: fuzz seeds when no archive is at hand. */
import { MODEL, type ModelProto } from "../../src/formats/onnx/proto.ts";
import { encodeMessage } from "../../src/formats/onnx/wire.ts";

const FLOAT = 1;
const INT64 = 7;

type Attributes = Readonly<Record<string, number | readonly number[] | string>>;

/** Fields left out are empty in the file. */
function attribute(name: string, value: number | readonly number[] | string): object {
  if (typeof value === "number") return { name, type: 2, i: value };
  if (typeof value === "string") return { name, type: 3, s: new TextEncoder().encode(value) };
  return { name, type: 7, ints: value };
}

interface Spec {
  readonly op: string;
  readonly x: readonly number[];
  readonly attributes?: Attributes;
  /** Constant operands: float when fractional, otherwise int64. */
  readonly constants?: readonly {
    readonly dims: readonly number[];
    readonly values: readonly number[];
  }[];
}

const SPECS: readonly Spec[] = [
  { op: "Relu", x: [2, 3] },
  { op: "Softmax", x: [2, 5], attributes: { axis: -1 } },
  { op: "Transpose", x: [2, 3, 4], attributes: { perm: [2, 0, 1] } },
  { op: "Reshape", x: [2, 6], constants: [{ dims: [2], values: [3, -1] }] },
  {
    op: "ReduceSum",
    x: [2, 6],
    constants: [{ dims: [1], values: [1] }],
    attributes: { keepdims: 0 },
  },
  {
    op: "MaxPool",
    x: [1, 2, 6, 6],
    attributes: { kernel_shape: [3, 3], strides: [2, 2], auto_pad: "SAME_UPPER" },
  },
  {
    op: "Slice",
    x: [4, 6],
    constants: [
      { dims: [2], values: [1, 0] },
      { dims: [2], values: [3, 5] },
      { dims: [2], values: [0, 1] },
      { dims: [2], values: [1, 2] },
    ],
  },
  { op: "Pad", x: [2, 3], constants: [{ dims: [4], values: [0, 1, 0, 2] }] },
  {
    op: "Conv",
    x: [1, 1, 4, 4],
    constants: [{ dims: [1, 1, 3, 3], values: [0.5, 1, 0, 0, 1, 2, 3, 0, 1] }],
    attributes: { pads: [1, 1, 1, 1] },
  },
  { op: "MatMul", x: [2, 2], constants: [{ dims: [2, 2], values: [0.5, 1, 2, 3] }] },
];

function model(spec: Spec): Uint8Array {
  const constants = (spec.constants ?? []).map(({ dims, values }, i) => {
    const real = values.some((v) => !Number.isInteger(v));
    const data = real ? Float32Array.from(values) : BigInt64Array.from(values, BigInt);
    return {
      name: `c${i}`,
      dims,
      dataType: real ? FLOAT : INT64,
      rawData: new Uint8Array(data.buffer),
    };
  });
  const node = {
    opType: spec.op,
    name: "node",
    input: ["x", ...constants.map((c) => c.name)],
    output: ["y"],
    attribute: Object.entries(spec.attributes ?? {}).map(([k, v]) => attribute(k, v)),
  };
  const dim = spec.x.map((value) => ({ value }));
  const x = { name: "x", type: { tensorType: { elemType: FLOAT, shape: { dim } } } };
  const graph = { name: "g", node: [node], initializer: constants, input: [x] };
  const file: object = {
    irVersion: 8,
    opsetImport: [{ domain: "", version: 17 }],
    graph: { ...graph, output: [{ name: "y" }] },
  };
  return encodeMessage(MODEL, file as Partial<ModelProto>);
}

export const smallOnnxModels = (): Uint8Array[] => SPECS.map(model);
