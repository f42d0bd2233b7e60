/**
 * @file The TensorFlow Lite file format (schema version 3) as data: field ids of the tables we
 * read, and enumerations. Source: the public schema of TensorFlow Lite; ids never change.
 */
import type { DType } from "../../tensor/dtype.ts";
import type { Fields } from "./flat.ts";

export const FILE_IDENTIFIER = "TFL3";
export const SCHEMA_VERSION = 3;

export const MODEL = {
  version: [0, "u32"],
  operatorCodes: [1, "table[]"],
  subgraphs: [2, "table[]"],
  description: [3, "string"],
  buffers: [4, "table[]"],
  metadata: [6, "table[]"],
} as const satisfies Fields;

export const OPERATOR_CODE = {
  deprecatedBuiltinCode: [0, "i8"],
  customCode: [1, "string"],
  version: [2, "i32", 1],
  builtinCode: [3, "i32"],
} as const satisfies Fields;

export const SUBGRAPH = {
  tensors: [0, "table[]"],
  inputs: [1, "i32[]"],
  outputs: [2, "i32[]"],
  operators: [3, "table[]"],
  name: [4, "string"],
} as const satisfies Fields;

export const TENSOR = {
  shape: [0, "i32[]"],
  type: [1, "i8"],
  buffer: [2, "u32"],
  name: [3, "string"],
  quantization: [4, "table"],
  isVariable: [5, "bool"],
  sparsity: [6, "table"],
  shapeSignature: [7, "i32[]"],
  hasRank: [8, "bool"],
  externalBuffer: [10, "u32"],
} as const satisfies Fields;

export const QUANTIZATION = {
  scale: [2, "f32[]"],
  zeroPoint: [3, "i64[]"],
  detailsType: [4, "u8"],
  quantizedDimension: [6, "i32"],
} as const satisfies Fields;

export const OPERATOR = {
  opcodeIndex: [0, "u32"],
  inputs: [1, "i32[]"],
  outputs: [2, "i32[]"],
  builtinOptionsType: [3, "u8"],
  builtinOptions: [4, "table"],
  customOptions: [5, "u8[]"],
  largeCustomOptionsOffset: [9, "u64"],
  largeCustomOptionsSize: [10, "u64"],
} as const satisfies Fields;

export const BUFFER = {
  data: [0, "u8[]"],
  offset: [1, "u64"],
  size: [2, "u64"],
} as const satisfies Fields;

export const METADATA = {
  name: [0, "string"],
  buffer: [1, "u32"],
} as const satisfies Fields;

/** An option table: its number in the BuiltinOptions union and its fields. */
export interface OptionTable<F extends Fields = Fields> {
  readonly type: number;
  readonly fields: F;
}
const table = <F extends Fields>(type: number, fields: F): OptionTable<F> => ({ type, fields });
const act = (id: number) => ({ activation: [id, "i8"] }) as const;

export const CONV_2D_OPTIONS = table(1, {
  padding: [0, "i8"],
  strideW: [1, "i32"],
  strideH: [2, "i32"],
  ...act(3),
  dilationW: [4, "i32", 1],
  dilationH: [5, "i32", 1],
} as const);
export const DEPTHWISE_CONV_2D_OPTIONS = table(2, {
  padding: [0, "i8"],
  strideW: [1, "i32"],
  strideH: [2, "i32"],
  depthMultiplier: [3, "i32"],
  ...act(4),
  dilationW: [5, "i32", 1],
  dilationH: [6, "i32", 1],
} as const);
export const POOL_2D_OPTIONS = table(5, {
  padding: [0, "i8"],
  strideW: [1, "i32"],
  strideH: [2, "i32"],
  filterW: [3, "i32"],
  filterH: [4, "i32"],
  ...act(5),
} as const);
export const FULLY_CONNECTED_OPTIONS = table(8, {
  ...act(0),
  weightsFormat: [1, "i8"],
  keepNumDims: [2, "bool"],
} as const);
export const SOFTMAX_OPTIONS = table(9, { beta: [0, "f32"] } as const);
export const CONCATENATION_OPTIONS = table(10, { axis: [0, "i32"], ...act(1) } as const);
export const ADD_OPTIONS = table(11, act(0));
export const L2_NORM_OPTIONS = table(12, act(0));
export const LRN_OPTIONS = table(13, {
  radius: [0, "i32"],
  bias: [1, "f32"],
  alpha: [2, "f32"],
  beta: [3, "f32"],
} as const);
export const RESIZE_BILINEAR_OPTIONS = table(15, {
  alignCorners: [2, "bool"],
  halfPixelCenters: [3, "bool"],
} as const);
export const RESHAPE_OPTIONS = table(17, { newShape: [0, "i32[]"] } as const);
export const SPACE_TO_DEPTH_OPTIONS = table(19, { blockSize: [0, "i32"] } as const);
export const MUL_OPTIONS = table(21, act(0));
export const GATHER_OPTIONS = table(23, { axis: [0, "i32"], batchDims: [1, "i32"] } as const);
export const REDUCER_OPTIONS = table(27, { keepDims: [0, "bool"] } as const);
export const SUB_OPTIONS = table(28, act(0));
export const DIV_OPTIONS = table(29, act(0));
export const SQUEEZE_OPTIONS = table(30, { squeezeDims: [0, "i32[]"] } as const);
export const STRIDED_SLICE_OPTIONS = table(32, {
  beginMask: [0, "i32"],
  endMask: [1, "i32"],
  ellipsisMask: [2, "i32"],
  newAxisMask: [3, "i32"],
  shrinkAxisMask: [4, "i32"],
  offset: [5, "bool"],
} as const);
export const SPLIT_OPTIONS = table(35, { numSplits: [0, "i32"] } as const);
export const SPLIT_V_OPTIONS = table(79, { numSplits: [0, "i32"] } as const);
export const CAST_OPTIONS = table(37, { inType: [0, "i8"], outType: [1, "i8"] } as const);
export const ARG_MAX_OPTIONS = table(40, { outputType: [0, "i8"] } as const);
export const TRANSPOSE_CONV_OPTIONS = table(49, {
  padding: [0, "i8"],
  strideW: [1, "i32"],
  strideH: [2, "i32"],
  ...act(3),
} as const);
export const SHAPE_OPTIONS = table(55, { outType: [0, "i8"] } as const);
export const ARG_MIN_OPTIONS = table(57, { outputType: [0, "i8"] } as const);
export const PACK_OPTIONS = table(59, { valuesCount: [0, "i32"], axis: [1, "i32"] } as const);
export const ONE_HOT_OPTIONS = table(61, { axis: [0, "i32"] } as const);
export const UNPACK_OPTIONS = table(64, { num: [0, "i32"], axis: [1, "i32"] } as const);
export const SEQUENCE_LSTM_OPTIONS = table(71, {
  ...act(0),
  cellClip: [1, "f32"],
  projClip: [2, "f32"],
  timeMajor: [3, "bool"],
} as const);
export const RESIZE_NEAREST_OPTIONS = table(74, {
  alignCorners: [0, "bool"],
  halfPixelCenters: [1, "bool"],
} as const);
export const LEAKY_RELU_OPTIONS = table(75, { alpha: [0, "f32"] } as const);
export const MIRROR_PAD_OPTIONS = table(77, { mode: [0, "i8"] } as const);
export const REVERSE_SEQUENCE_OPTIONS = table(87, {
  seqDim: [0, "i32"],
  batchDim: [1, "i32"],
} as const);
export const DEPTH_TO_SPACE_OPTIONS = table(94, { blockSize: [0, "i32"] } as const);
export const BATCH_MATMUL_OPTIONS = table(101, { adjX: [0, "bool"], adjY: [1, "bool"] } as const);
export const CUMSUM_OPTIONS = table(102, { exclusive: [0, "bool"], reverse: [1, "bool"] } as const);
export const GELU_OPTIONS = table(116, { approximate: [0, "bool"] } as const);

export const PADDING_SAME = 0;
/** ActivationFunctionType: 0 none, then these. */
export const ACTIVATIONS = ["", "RELU", "RELU_N1_TO_1", "RELU6", "TANH", "SIGN_BIT"] as const;

/** TensorType by number, for messages; DTYPE_OF names those we take. */
export const TENSOR_TYPES = [
  "FLOAT32",
  "FLOAT16",
  "INT32",
  "UINT8",
  "INT64",
  "STRING",
  "BOOL",
  "INT16",
  "COMPLEX64",
  "INT8",
  "FLOAT64",
  "COMPLEX128",
  "UINT64",
  "RESOURCE",
  "VARIANT",
  "UINT32",
  "UINT16",
  "INT4",
  "BFLOAT16",
] as const;
export const DTYPE_OF: Readonly<Record<string, DType>> = {
  FLOAT32: "f32",
  FLOAT16: "f16",
  BFLOAT16: "bf16",
  FLOAT64: "f64",
  INT4: "i8",
  INT8: "i8",
  UINT8: "u8",
  INT16: "i16",
  UINT16: "u16",
  INT32: "i32",
  UINT32: "u32",
  INT64: "i64",
  UINT64: "u64",
  BOOL: "bool",
};
