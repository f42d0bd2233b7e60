/** @file The ONNX messages tersor reads and writes (onnx.proto3, IR version 13); other fields are ignored. */
import type { Field, FieldType, MessageField, ScalarField, Schema } from "./wire.ts";

export interface StringEntry {
  readonly key: string;
  readonly value: string;
}
export interface OpsetImport {
  readonly domain: string;
  readonly version: number;
}
export interface TensorProto {
  readonly dims: readonly number[];
  readonly dataType: number;
  readonly floatData: Float32Array | undefined;
  readonly int32Data: Int32Array | undefined;
  readonly stringData: readonly Uint8Array[];
  readonly int64Data: BigInt64Array | undefined;
  readonly name: string;
  readonly rawData: Uint8Array | undefined;
  readonly externalData: readonly StringEntry[];
  readonly dataLocation: number;
  readonly doubleData: Float64Array | undefined;
  readonly uint64Data: BigUint64Array | undefined;
}
export interface SparseTensorProto {
  readonly values: TensorProto | undefined;
  readonly indices: TensorProto | undefined;
  readonly dims: readonly number[];
}
export interface DimProto {
  readonly value: number | undefined;
  readonly param: string;
}
export interface ShapeProto {
  readonly dim: readonly DimProto[];
}
export interface TensorTypeProto {
  readonly elemType: number;
  readonly shape: ShapeProto | undefined;
}
export interface OtherTypeProto {
  readonly ignored: number;
}
export interface TypeProto {
  readonly tensorType: TensorTypeProto | undefined;
  readonly sequenceType: OtherTypeProto | undefined;
  readonly mapType: OtherTypeProto | undefined;
  readonly optionalType: OtherTypeProto | undefined;
  readonly sparseTensorType: OtherTypeProto | undefined;
}
export interface ValueInfoProto {
  readonly name: string;
  readonly type: TypeProto | undefined;
}
export interface AttributeProto {
  readonly name: string;
  readonly refAttrName: string;
  readonly type: number;
  readonly f: number;
  readonly i: number;
  readonly s: Uint8Array | undefined;
  readonly t: TensorProto | undefined;
  readonly g: GraphProto | undefined;
  readonly sparseTensor: SparseTensorProto | undefined;
  readonly floats: readonly number[];
  readonly ints: readonly number[];
  readonly strings: readonly Uint8Array[];
}
export interface NodeProto {
  readonly input: readonly string[];
  readonly output: readonly string[];
  readonly name: string;
  readonly opType: string;
  readonly domain: string;
  readonly overload: string;
  readonly attribute: readonly AttributeProto[];
}
export interface GraphProto {
  readonly node: readonly NodeProto[];
  readonly name: string;
  readonly initializer: readonly TensorProto[];
  readonly sparseInitializer: readonly SparseTensorProto[];
  readonly docString: string;
  readonly input: readonly ValueInfoProto[];
  readonly output: readonly ValueInfoProto[];
}
export interface FunctionProto {
  readonly name: string;
  readonly input: readonly string[];
  readonly output: readonly string[];
  readonly attribute: readonly string[];
  readonly attributeProto: readonly AttributeProto[];
  readonly node: readonly NodeProto[];
  readonly opsetImport: readonly OpsetImport[];
  readonly domain: string;
  readonly overload: string;
}
export interface ModelProto {
  readonly irVersion: number;
  readonly opsetImport: readonly OpsetImport[];
  readonly producerName: string;
  readonly producerVersion: string;
  readonly domain: string;
  readonly modelVersion: number;
  readonly docString: string;
  readonly graph: GraphProto | undefined;
  readonly metadataProps: readonly StringEntry[];
  readonly functions: readonly FunctionProto[];
}

/** Attribute types of AttributeProto.type. */
export const ATTRIBUTE = {
  float: 1,
  int: 2,
  string: 3,
  tensor: 4,
  graph: 5,
  floats: 6,
  ints: 7,
  strings: 8,
} as const;

const scalar = (no: number, type: FieldType): ScalarField => ({ no, type });
const one = <T>(no: number, message: () => Schema<T>): Field =>
  ({ no, message, repeated: false }) satisfies MessageField<T> as unknown as Field;
const many = <T>(no: number, message: () => Schema<T>): Field =>
  ({ no, message, repeated: true }) satisfies MessageField<T> as unknown as Field;

const STRING_ENTRY: Schema<StringEntry> = {
  name: "StringStringEntryProto",
  fields: { key: scalar(1, "string"), value: scalar(2, "string") },
};
const OPSET: Schema<OpsetImport> = {
  name: "OperatorSetIdProto",
  fields: { domain: scalar(1, "string"), version: scalar(2, "int") },
};
export const TENSOR: Schema<TensorProto> = {
  name: "TensorProto",
  fields: {
    dims: scalar(1, "ints"),
    dataType: scalar(2, "int"),
    floatData: scalar(4, "F32s"),
    int32Data: scalar(5, "I32s"),
    stringData: scalar(6, "chunks"),
    int64Data: scalar(7, "I64s"),
    name: scalar(8, "string"),
    rawData: scalar(9, "bytes"),
    doubleData: scalar(10, "F64s"),
    uint64Data: scalar(11, "U64s"),
    externalData: many(13, () => STRING_ENTRY),
    dataLocation: scalar(14, "int"),
  },
};
const SPARSE: Schema<SparseTensorProto> = {
  name: "SparseTensorProto",
  fields: { values: one(1, () => TENSOR), indices: one(2, () => TENSOR), dims: scalar(3, "ints") },
};
const DIM: Schema<DimProto> = {
  name: "TensorShapeProto.Dimension",
  fields: { value: scalar(1, "optionalInt"), param: scalar(2, "string") },
};
const SHAPE: Schema<ShapeProto> = {
  name: "TensorShapeProto",
  fields: { dim: many(1, () => DIM) },
};
const TENSOR_TYPE: Schema<TensorTypeProto> = {
  name: "TypeProto.Tensor",
  fields: { elemType: scalar(1, "int"), shape: one(2, () => SHAPE) },
};
const OTHER_TYPE: Schema<OtherTypeProto> = {
  name: "TypeProto",
  fields: { ignored: scalar(1000, "int") },
};
const TYPE: Schema<TypeProto> = {
  name: "TypeProto",
  fields: {
    tensorType: one(1, () => TENSOR_TYPE),
    sequenceType: one(4, () => OTHER_TYPE),
    mapType: one(5, () => OTHER_TYPE),
    sparseTensorType: one(8, () => OTHER_TYPE),
    optionalType: one(9, () => OTHER_TYPE),
  },
};
const VALUE_INFO: Schema<ValueInfoProto> = {
  name: "ValueInfoProto",
  fields: { name: scalar(1, "string"), type: one(2, () => TYPE) },
};
const ATTRIBUTE_PROTO: Schema<AttributeProto> = {
  name: "AttributeProto",
  fields: {
    name: scalar(1, "string"),
    f: scalar(2, "float"),
    i: scalar(3, "int"),
    s: scalar(4, "bytes"),
    t: one(5, () => TENSOR),
    g: one(6, () => GRAPH),
    floats: scalar(7, "floats"),
    ints: scalar(8, "ints"),
    strings: scalar(9, "chunks"),
    type: scalar(20, "int"),
    refAttrName: scalar(21, "string"),
    sparseTensor: one(22, () => SPARSE),
  },
};
const NODE: Schema<NodeProto> = {
  name: "NodeProto",
  fields: {
    input: scalar(1, "strings"),
    output: scalar(2, "strings"),
    name: scalar(3, "string"),
    opType: scalar(4, "string"),
    attribute: many(5, () => ATTRIBUTE_PROTO),
    domain: scalar(7, "string"),
    overload: scalar(8, "string"),
  },
};
const GRAPH: Schema<GraphProto> = {
  name: "GraphProto",
  fields: {
    node: many(1, () => NODE),
    name: scalar(2, "string"),
    initializer: many(5, () => TENSOR),
    docString: scalar(10, "string"),
    input: many(11, () => VALUE_INFO),
    output: many(12, () => VALUE_INFO),
    sparseInitializer: many(15, () => SPARSE),
  },
};
const FUNCTION: Schema<FunctionProto> = {
  name: "FunctionProto",
  fields: {
    name: scalar(1, "string"),
    input: scalar(4, "strings"),
    output: scalar(5, "strings"),
    attribute: scalar(6, "strings"),
    node: many(7, () => NODE),
    opsetImport: many(9, () => OPSET),
    domain: scalar(10, "string"),
    attributeProto: many(11, () => ATTRIBUTE_PROTO),
    overload: scalar(13, "string"),
  },
};
export const MODEL: Schema<ModelProto> = {
  name: "ModelProto",
  fields: {
    irVersion: scalar(1, "int"),
    producerName: scalar(2, "string"),
    producerVersion: scalar(3, "string"),
    domain: scalar(4, "string"),
    modelVersion: scalar(5, "int"),
    docString: scalar(6, "string"),
    graph: one(7, () => GRAPH),
    opsetImport: many(8, () => OPSET),
    metadataProps: many(14, () => STRING_ENTRY),
    functions: many(25, () => FUNCTION),
  },
};
