/**
 * @file What the element-wise operators share: dtype groups, checks, broadcasting inference, axis
 * text, movement and samples. The records themselves come from unary-op.ts and binary-op.ts.
 */
import type { OutQuant, Sample } from "../../graph/op.ts";
import { constant, type KernelBuilder } from "../../kernel/build.ts";
import { type Expr, elemOf } from "../../kernel/ir.ts";
import type { DType } from "../../tensor/dtype.ts";
import { broadcast } from "../../tensor/shape.ts";
import { elementCount, sameShape, type TensorType, tensorType } from "../../tensor/tensor.ts";
import { axesText, expectInputs, refuse } from "../shape/check.ts";

/** Attributes of an op of class "float": where a quantised result goes. */
export interface FloatAttrs {
  readonly out?: OutQuant;
}

/** Rounding of the type an op computes in: Math.fround, or the identity for f64 and integers. */
export type Round = (x: number) => number;
export const noRound: Round = (x) => x;

/** What a kernel form may need beside its operands. */
export interface ExprContext<A> {
  readonly attrs: A;
  /** The dtype computed in: f32 for quantised operands. */
  readonly dtype: DType;
  readonly b: KernelBuilder;
}

export type UnaryExpr<A> = (x: Expr, ctx: ExprContext<A>) => Expr;
export type BinaryExpr<A> = (x: Expr, y: Expr, ctx: ExprContext<A>) => Expr;

export const FLOATS: readonly DType[] = ["f32", "f64", "f16", "bf16"];
export const INTS: readonly DType[] = ["i8", "u8", "i16", "u16", "i32", "u32", "i64", "u64"];
export const SIGNED: readonly DType[] = [...FLOATS, "i8", "i16", "i32", "i64"];
export const NUMBERS: readonly DType[] = [...FLOATS, ...INTS];
export const ALL: readonly DType[] = [...NUMBERS, "bool"];

/** The type computed on: f32 where quantised. */
export const real = (t: TensorType): TensorType => (t.quant ? tensorType("f32", t.shape) : t);

const literal = (like: Expr, value: number): Expr =>
  constant(like.type, elemOf(like.type) === "i64" ? BigInt(value) : value);
/** 0 and 1 in the type of an expression. */
export const zeroOf = (like: Expr): Expr => literal(like, 0);
export const oneOf = (like: Expr): Expr => literal(like, 1);

/** One dtype for all operands, among `allowed`. */
export function expectOperands(
  ins: readonly TensorType[],
  count: number,
  allowed: readonly DType[],
): DType {
  expectInputs(ins, count);
  const dtype = ins[0]!.dtype;
  const odd = ins.find((t) => t.dtype !== dtype);
  if (odd !== undefined) {
    refuse("E_DTYPE", `operands must share one element type, got ${dtype} and ${odd.dtype}`);
  }
  if (!allowed.includes(dtype)) {
    refuse("E_DTYPE", `expected ${allowed.join(", ")}; got ${dtype}`);
  }
  return dtype;
}

/** The NumPy broadcast of all shapes. */
export function broadcastAll(ins: readonly TensorType[]): readonly number[] {
  let shape: readonly number[] = [];
  for (const t of ins) {
    const next = broadcast(shape, t.shape);
    if (next === null) {
      const shapes = ins.map((i) => `[${i.shape.join(", ")}]`).join(" and ");
      refuse("E_SHAPE", `shapes ${shapes} do not broadcast`);
    }
    shape = next;
  }
  return shape;
}

/** Output axes are aligned at the end; an axis an operand repeats is not the output's axis. */
export function broadcastAxes(ins: readonly TensorType[], shape: readonly number[]): string {
  const labels = ins.map((t, k) =>
    t.shape.map((n, i) => {
      const axis = shape.length - t.shape.length + i;
      return n === shape[axis] ? `o${axis}` : `in${k}.${i}`;
    }),
  );
  return axesText(labels, [shape.map((_, i) => `o${i}`)]);
}

/** Attributes stay; operands of lower rank would not move along, except single elements. */
export function permuteSame<A>(attrs: A, ins: readonly TensorType[]): A | null {
  const rank = Math.max(...ins.map((t) => t.shape.length));
  const moves = ins.every((t) => t.shape.length === rank || elementCount(t.shape) === 1);
  return moves ? attrs : null;
}

/** The first input of the result's shape and dtype. */
export function sharable(ins: readonly TensorType[], out: TensorType): number | null {
  const i = ins.findIndex((t) => t.dtype === out.dtype && sameShape(t.shape, out.shape));
  return i < 0 ? null : i;
}

/** Result quantisation used in samples. */
export const SAMPLE_OUT: OutQuant = { dtype: "i8", scale: [0.031], zeroPoint: [-7], axis: null };
const SAMPLE_IN: TensorType = tensorType("i8", [2, 33], {
  scale: [0.0173],
  zeroPoint: [5],
  axis: null,
});

export interface SampleOptions {
  readonly range?: readonly [number, number];
  readonly tolerance?: number;
  /** Values the elements cycle through, instead of random ones. */
  readonly values?: readonly number[];
}

const isSampled = (dtype: DType, allowed: readonly DType[]): boolean => allowed.includes(dtype);

function unarySample<A extends object>(
  type: TensorType,
  attrs: A,
  options: SampleOptions,
): Sample<A> {
  const { values, ...rest } = options;
  if (values === undefined) return { ins: [type], attrs, ...rest };
  const n = elementCount(type.shape);
  const cycle = Array.from({ length: n }, (_, i) => values[i % values.length]!);
  return { ins: [type], attrs, ...rest, values: { 0: cycle } };
}

/**
 * Samples of a unary op: every dtype it takes, odd lengths, rank 0, quantised where f32 is taken.
 */
export function unarySamples<A extends object>(
  allowed: readonly DType[],
  attrs: readonly A[],
  options: SampleOptions,
  quantised: boolean,
): Sample<A>[] {
  const first = attrs[0]!;
  const shapes: Partial<Record<DType, readonly number[]>> = {
    f32: [2, 3, 7],
    i32: [33],
    u8: [3, 5],
  };
  const samples = allowed.map((dtype) =>
    unarySample(tensorType(dtype, shapes[dtype] ?? [9]), first, options),
  );
  if (!isSampled("f32", allowed)) {
    return [...samples, unarySample(tensorType(allowed[0]!, [3, 1, 5]), first, options)];
  }
  for (const a of attrs) samples.push(unarySample(tensorType("f32", [33]), a, options));
  samples.push(unarySample(tensorType("f32", []), first, options));
  if (quantised) {
    const { tolerance } = options;
    const range: SampleOptions = tolerance === undefined ? {} : { tolerance };
    samples.push(unarySample(SAMPLE_IN, { ...first, out: SAMPLE_OUT }, range));
    samples.push(unarySample(tensorType("f32", [6]), { ...first, out: SAMPLE_OUT }, options));
    samples.push(unarySample(perChannel([3, 2, 2]), first, range));
  }
  return samples;
}

/** A per-channel i8 type over axis 1. */
function perChannel([a, b, c]: readonly [number, number, number]): TensorType {
  const scale = Array.from({ length: b }, (_, i) => Math.fround(0.01 * (i + 1)));
  const zeroPoint = Array.from({ length: b }, (_, i) => i - 1);
  return tensorType("i8", [a, b, c], { scale, zeroPoint, axis: 1 });
}

const PAIRS: readonly (readonly [readonly number[], readonly number[]])[] = [
  [
    [2, 3, 7],
    [2, 3, 7],
  ],
  [
    [2, 3, 7],
    [3, 1],
  ],
  [[33], []],
  [
    [1, 5],
    [4, 1],
  ],
  [
    [2, 1, 2, 9],
    [3, 2, 9],
  ],
  [[], []],
];

/** Samples of a binary op: every dtype it takes, and broadcasting in every direction. */
export function binarySamples<A extends object>(
  allowed: readonly DType[],
  attrs: readonly A[],
  options: Omit<SampleOptions, "values">,
  quantised: boolean,
): Sample<A>[] {
  const first = attrs[0]!;
  const samples: Sample<A>[] = [];
  const add = (dtype: DType, shapes: (typeof PAIRS)[number], a: A): void => {
    samples.push({ ins: shapes.map((s) => tensorType(dtype, s)), attrs: a, ...options });
  };
  const main = isSampled("f32", allowed) ? "f32" : allowed[0]!;
  for (const pair of PAIRS) add(main, pair, first);
  for (const a of attrs.slice(1)) add(main, PAIRS[1]!, a);
  for (const dtype of allowed) if (dtype !== main) add(dtype, [[2, 9], [9]], first);
  if (quantised && main === "f32") {
    const other = tensorType("i8", [33], { scale: [0.011], zeroPoint: [0], axis: null });
    const tolerance = options.tolerance === undefined ? {} : { tolerance: options.tolerance };
    samples.push({ ins: [SAMPLE_IN, other], attrs: { ...first, out: SAMPLE_OUT }, ...tolerance });
  }
  return samples;
}
