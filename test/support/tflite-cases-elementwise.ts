/** @file TensorFlow Lite cases: element-wise functions, comparisons, conversions. */
import * as S from "../../src/formats/tflite/schema.ts";
import { f32, int, one, q, reals, type TfliteCase, u } from "./tflite-parts.ts";
import type { WriteTensor } from "./tflite-writer.ts";

export function elementwise(): TfliteCase[] {
  const a = q([1, 4, 5, 6], 0.05, 3);
  const b = q([1, 4, 5, 6], 0.031, -20);
  const c = q([6], 0.02, 5);
  const out = q([1, 4, 5, 6], 0.07, -3);
  const pairs: readonly (readonly [string, S.OptionTable | undefined])[] = [
    ["ADD", S.ADD_OPTIONS],
    ["SUB", S.SUB_OPTIONS],
    ["MUL", S.MUL_OPTIONS],
    ["DIV", S.DIV_OPTIONS],
    ["MINIMUM", undefined],
    ["MAXIMUM", undefined],
    ["POW", undefined],
    ["SQUARED_DIFFERENCE", undefined],
    ["FLOOR_DIV", undefined],
    ["FLOOR_MOD", undefined],
  ];
  const unary = `RELU RELU6 RELU_N1_TO_1 RELU_0_TO_1 ELU HARD_SWISH LOGISTIC TANH EXP LOG SQRT RSQRT
    SQUARE ABS NEG SIGN SIN COS CEIL FLOOR ROUND`;
  const tabled = "RELU RELU6 ELU HARD_SWISH LOGISTIC TANH EXP LOG RSQRT ABS";
  const bounded: Readonly<Record<string, WriteTensor>> = {
    LOGISTIC: q([4, 64], 1 / 256, -128),
    TANH: q([4, 64], 1 / 128, 0),
  };
  return [
    ...pairs.map(([op, options]) =>
      one(`${op} float`, [f32([2, 3, 4]), f32([3, 1])], [f32([2, 3, 4])], options, {}),
    ),
    ...["ADD", "SUB", "MUL"].flatMap((op) => {
      const options = { ADD: S.ADD_OPTIONS, SUB: S.SUB_OPTIONS, MUL: S.MUL_OPTIONS }[op]!;
      return [
        one(`${op} int8`, [a, b], [out], options, {}),
        one(`${op} int8 broadcast`, [a, c], [out], options, { activation: 1 }),
      ];
    }),
    one(
      "ADD uint8",
      [u([3, 9], 0.05, 90), u([3, 9], 0.03, 7)],
      [u([3, 9], 0.06, 101)],
      S.ADD_OPTIONS,
      {},
    ),
    one("MAXIMUM int8", [a, q([1, 4, 5, 6], 0.05, 3)], [q([1, 4, 5, 6], 0.05, 3)]),
    ...unary.split(/\s+/).map((op) => one(`${op} float`, [f32([4, 16])], [f32([4, 16])])),
    ...tabled
      .split(" ")
      .map((op) =>
        one(`${op} int8`, [q([4, 64], 0.05, 3)], [bounded[op] ?? q([4, 64], 0.041, -9)]),
      ),
    one("LEAKY_RELU float", [f32([4, 16])], [f32([4, 16])], S.LEAKY_RELU_OPTIONS, { alpha: 0.1 }),
    one("LEAKY_RELU int8", [q([4, 64], 0.05, 3)], [q([4, 64], 0.041, -9)], S.LEAKY_RELU_OPTIONS, {
      alpha: 0.1,
    }),
    one("GELU float", [f32([4, 16])], [f32([4, 16])], S.GELU_OPTIONS, {}),
    one("GELU int8", [q([4, 64], 0.05, 3)], [q([4, 64], 0.041, -9)], S.GELU_OPTIONS, {
      approximate: true,
    }),
    one("PRELU float", [f32([1, 4, 5, 6]), reals([1, 1, 6])], [f32([1, 4, 5, 6])]),
    one("QUANTIZE float", [f32([4, 16])], [q([4, 16], 0.041, -9)]),
    one("QUANTIZE int8", [q([4, 64], 0.05, 3)], [q([4, 64], 0.041, -9)]),
    one("DEQUANTIZE int8", [q([4, 64], 0.05, 3)], [f32([4, 64])]),
    one("CAST to int", [f32([4, 16])], [int("INT32", [4, 16])], S.CAST_OPTIONS, { outType: 2 }),
    ...["EQUAL", "NOT_EQUAL", "LESS", "LESS_EQUAL", "GREATER", "GREATER_EQUAL"].map((op) =>
      one(op, [f32([2, 5]), f32([5])], [int("BOOL", [2, 5])]),
    ),
    one("ATAN2", [f32([2, 5]), f32([2, 5])], [f32([2, 5])]),
    one("ADD_N", [f32([2, 3]), f32([2, 3]), f32([2, 3])], [f32([2, 3])]),
    one("LOGICAL_OR", [int("BOOL", [7]), int("BOOL", [7])], [int("BOOL", [7])]),
    one("BITWISE_XOR", [int("INT32", [7]), int("INT32", [7])], [int("INT32", [7])]),
    one("LOGICAL_NOT", [int("BOOL", [7])], [int("BOOL", [7])]),
    one("LOGICAL_AND", [int("BOOL", [7]), int("BOOL", [7])], [int("BOOL", [7])]),
    one("SELECT rows", [int("BOOL", [3]), f32([3, 4]), f32([3, 4])], [f32([3, 4])]),
    one("SELECT_V2", [int("BOOL", [4]), f32([3, 4]), f32([3, 4])], [f32([3, 4])]),
  ];
}
