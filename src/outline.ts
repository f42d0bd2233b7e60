/** @file What a model file says without being imported: its inputs and operators. Works on models with unknown operators. */
import { readModel } from "./formats/onnx/import.ts";
import { IMPORTERS } from "./formats/onnx/ops/index.ts";
import { DATA_TYPE } from "./formats/onnx/tensors.ts";
import { isTflite, readTflite, tfliteOperators } from "./formats/tflite/index.ts";
import type { ModelFormat } from "./pipeline.ts";
import type { DType } from "./tensor/dtype.ts";
import { UserError } from "./util/errors.ts";

export interface OutlineInput {
  readonly name: string;
  /** Null: an element type without a counterpart. */
  readonly dtype: DType | null;
  /** Null where the file leaves a dimension open; null as a whole when the rank is. */
  readonly shape: readonly (number | null)[] | null;
}

export interface OutlineOperator {
  /** As in the file: "Conv", "com.microsoft.Gelu", "CONV_2D". */
  readonly op: string;
  readonly name: string;
  /** Is there an importer for it? */
  readonly known: boolean;
}

export interface Outline {
  readonly format: ModelFormat;
  readonly inputs: readonly OutlineInput[];
  readonly operators: readonly OutlineOperator[];
}

const TFLITE_TYPES: Readonly<Record<string, DType>> = {
  FLOAT32: "f32",
  FLOAT64: "f64",
  FLOAT16: "f16",
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

/** Inputs and operators of a model file. Throws UserError when it is malformed. */
export function outlineOf(bytes: Uint8Array): Outline {
  if (bytes.length === 0) {
    throw new UserError("E_FORMAT", "the file is empty", { hint: "give an .onnx or .tflite file" });
  }
  return isTflite(bytes) ? outlineOfTflite(bytes) : outlineOfOnnx(bytes);
}

function outlineOfTflite(bytes: Uint8Array): Outline {
  const model = readTflite(bytes);
  const known = new Set(tfliteOperators());
  return {
    format: "tflite",
    inputs: model.inputs.map((index) => {
      const { name, type, shape, shapeSignature } = model.tensors[index]!;
      const declared = shapeSignature.length > 0 ? shapeSignature : shape;
      return {
        name,
        dtype: TFLITE_TYPES[type] ?? null,
        shape: declared.map((d) => (d < 0 ? null : d)),
      };
    }),
    operators: model.operators.map((o) => ({
      op: o.name,
      name: model.tensors[o.outputs[0] ?? -1]?.name ?? o.name,
      known: known.has(o.name),
    })),
  };
}

const CONTROL = new Set(["If", "Loop", "Scan"]);

function outlineOfOnnx(bytes: Uint8Array): Outline {
  const model = readModel(bytes);
  const graph = model.graph!;
  const constants = new Set(graph.initializer.map((t) => t.name));
  for (const t of graph.sparseInitializer) constants.add(t.values?.name ?? "");
  const functions = new Set(model.functions.map((f) => qualified(f.domain, f.name)));
  const byCode = new Map(Object.entries(DATA_TYPE).map(([dtype, code]) => [code, dtype as DType]));
  return {
    format: "onnx",
    inputs: graph.input
      .filter((i) => !constants.has(i.name))
      .map(({ name, type }) => ({
        name,
        dtype: byCode.get(type?.tensorType?.elemType ?? 0) ?? null,
        shape: type?.tensorType?.shape?.dim.map((d) => d.value ?? null) ?? null,
      })),
    operators: graph.node.map((n) => {
      const op = qualified(n.domain, n.opType);
      const known = Object.hasOwn(IMPORTERS, op) || functions.has(op) || CONTROL.has(op);
      return { op, name: n.name || (n.output[0] ?? n.opType), known };
    }),
  };
}

const qualified = (domain: string, name: string): string =>
  domain === "" || domain === "ai.onnx" ? name : `${domain}.${name}`;
