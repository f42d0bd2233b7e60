/** @file Tensors and one-operator models from which the TensorFlow Lite test cases are made. */
import type { OptionTable } from "../../src/formats/tflite/schema.ts";
import type { TypedArray } from "../../src/tensor/dtype.ts";
import { makeRng } from "../../src/util/rng.ts";
import {
  type WriteModel,
  type WriteOperator,
  type WriteTensor,
  writeTflite,
} from "./tflite-writer.ts";

export interface TfliteCase {
  readonly name: string;
  readonly model: WriteModel;
  readonly bytes: Uint8Array;
}

export const rng = makeRng(7);
export const f32 = (shape: readonly number[], data?: TypedArray): WriteTensor => ({
  name: "",
  shape,
  ...(data === undefined ? {} : { data }),
});
export const i32 = (
  values: readonly number[],
  shape: readonly number[] = [values.length],
): WriteTensor => ({
  name: "",
  shape,
  type: "INT32",
  data: Int32Array.from(values),
});
export const int = (type: "INT32" | "INT64" | "BOOL", shape: readonly number[]): WriteTensor => ({
  name: "",
  shape,
  type,
});
const count = (shape: readonly number[]): number => shape.reduce((a, b) => a * b, 1);
export const reals = (shape: readonly number[]): WriteTensor =>
  f32(
    shape,
    Float32Array.from({ length: count(shape) }, () => rng.normal()),
  );
export const q = (shape: readonly number[], scale: number, zeroPoint: number): WriteTensor => ({
  name: "",
  shape,
  type: "INT8",
  scale: [Math.fround(scale)],
  zeroPoint: [zeroPoint],
});
export const u = (shape: readonly number[], scale: number, zeroPoint: number): WriteTensor => ({
  ...q(shape, scale, zeroPoint),
  type: "UINT8",
});
/** Random int8 weights with one scale for each index of `axis`. */
export function weights(shape: readonly number[], axis: number): WriteTensor {
  const n = shape[axis]!;
  return {
    name: "",
    shape,
    type: "INT8",
    data: Int8Array.from({ length: count(shape) }, () => rng.int(255) - 127),
    scale: Array.from({ length: n }, () => Math.fround(0.002 + 0.01 * rng.next())),
    zeroPoint: new Array<number>(n).fill(0),
    axis,
  };
}
/** A weight tensor with one scale. */
export const plainWeights = (shape: readonly number[], scale: number): WriteTensor => ({
  ...weights(shape, 0),
  scale: [Math.fround(scale)],
  zeroPoint: [0],
});
/** An i32 bias whose scales are the products TensorFlow Lite expects. */
export function bias(n: number, inputScale: number, w: WriteTensor): WriteTensor {
  const scale = w.scale!.map((s) => Math.fround(s * Math.fround(inputScale)));
  return {
    name: "",
    shape: [n],
    type: "INT32",
    data: Int32Array.from({ length: n }, () => rng.int(4001) - 2000),
    scale,
    zeroPoint: scale.map(() => 0),
  };
}

type Values = NonNullable<WriteOperator["values"]>;

/** A model of one operator; its inputs are the tensors without data. */
export function one(
  name: string,
  ins: readonly (WriteTensor | null)[],
  outs: readonly WriteTensor[],
  options?: OptionTable,
  values?: Values,
): TfliteCase {
  const op = name.split(" ")[0]!;
  const present = ins.filter((t) => t !== null);
  const tensors = [...present, ...outs].map((t, i) => ({ ...t, name: `t${i}` }));
  const index = (t: WriteTensor | null): number => (t === null ? -1 : present.indexOf(t));
  const model: WriteModel = {
    tensors,
    operators: [
      {
        op,
        inputs: ins.map(index),
        outputs: outs.map((_, i) => present.length + i),
        ...(options === undefined ? {} : { options, values: values ?? {} }),
      },
    ],
    inputs: present.flatMap((t, i) => (t.data === undefined && !t.isVariable ? [i] : [])),
    outputs: outs.map((_, i) => present.length + i),
  };
  return { name, model, bytes: writeTflite(model) };
}
