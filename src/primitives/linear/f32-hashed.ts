/**
 * @file f32 fully connected layer with hashed weights that are never all written out: the weights of one output at a
 * time are computed into a scratch row, then multiplied with all rows of the input. Two hashes a weight and run cost
 * many times what reading it costs, so this is for memory that does not hold the weights.
 */
import { add, affine, type ExprLike, KernelBuilder, mul } from "../../kernel/build.ts";
import type { Expr, Kernel } from "../../kernel/ir.ts";
import { emitVirtual, fixedHash } from "../../ops/nn/hash.ts";
import { type LinearAttrs, linear } from "../../ops/nn/linear.ts";
import { SCALARS } from "../../ops/scalar.ts";
import { tensorOf } from "../../tensor/tensor.ts";
import { definePrimitive, type Operand, type PrimitiveInput } from "../primitive.ts";
import { type HashedStorage, plainShort } from "../storage.ts";

/** Multiply-accumulates that take as long as the hashes and the reading of one weight (bench/hashed.ts). */
const HASH_MACS = 12;

/** Where weight [o, c] is in the virtual tensor: first + o * row + c * step. */
interface Grid {
  readonly first: number;
  readonly row: number;
  readonly step: number;
}

function gridOf({ places }: HashedStorage, outputs: number, inputs: number): Grid | null {
  const at = places.data as Int32Array;
  const first = at[0]!;
  const step = inputs > 1 ? at[1]! - first : 1;
  const row = outputs > 1 ? at[inputs]! - first : 0;
  const fits = at.every(
    (place, i) => place === first + Math.floor(i / inputs) * row + (i % inputs) * step,
  );
  return fits ? { first, row, step } : null;
}

interface Sizes {
  readonly rows: number;
  readonly inputs: number;
  readonly outputs: number;
}

function kernelOf(
  { rows, inputs, outputs }: Sizes,
  { weights, seed, factors }: HashedStorage,
  grid: Grid,
  act: LinearAttrs["act"],
): Kernel {
  const k = new KernelBuilder("f32_linear_hashed");
  const x = k.buffer("x", "f32", rows * inputs, "in");
  const w = k.buffer("w", "f32", weights.data.length, "const");
  const bias = k.buffer("bias", "f32", outputs, "const");
  const y = k.buffer("y", "f32", rows * outputs, "out");
  const held = k.buffer("held", "f32", inputs, "work");
  const scale = factors && k.buffer("factors", "f32", outputs, "const");
  const hash = fixedHash(seed, weights.data.length);
  const scalar = act === undefined ? null : SCALARS[act.fn]!;
  const whole = inputs - (inputs % 4);
  const dot = (r: Expr): Expr => {
    const sums = k.reg("sums", { kind: "splat", type: "f32x4", a: zero });
    const at = (c: ExprLike): Expr => affine([r, inputs], c);
    const four = (c: Expr): Expr => mul(k.load(x, at(c), "f32x4"), k.load(held, c, "f32x4"));
    k.for("c", 0, whole, (c) => k.set(sums, add(sums, four(c))), { step: 4 });
    const lane = (i: number): Expr => ({ kind: "extract", type: "f32", a: sums, lane: i });
    const sum = k.reg("sum", add(add(lane(0), lane(2)), add(lane(1), lane(3))));
    k.for("c", whole, inputs, (c) => k.set(sum, add(sum, mul(k.load(x, at(c)), k.load(held, c)))));
    return sum;
  };
  k.for("o", 0, outputs, (o) => {
    const first = k.let("first", affine(grid.first, [o, grid.row]));
    k.for("c", 0, inputs, (c) => {
      const value = emitVirtual(k, w, k.let("i", affine(first, [c, grid.step])), hash);
      k.store(held, c, scale ? mul(value, k.load(scale, o)) : value);
    });
    k.for("r", 0, rows, (r) => {
      const sum = add(dot(r), k.load(bias, o));
      k.store(y, affine([r, outputs], o), scalar ? scalar.expr(k.let("t", sum), act!) : sum);
    });
  });
  return k.build();
}

const zero: Expr = { kind: "const", type: "f32", value: 0 };

function candidateOf({ ins, attrs, constants, storage }: PrimitiveInput<LinearAttrs>) {
  const [x, w, bias] = ins;
  const hashed = storage[1];
  if (x?.dtype !== "f32" || w?.dtype !== "f32" || hashed?.dtype !== "hashed") return [];
  if (bias !== undefined && constants[2] === undefined) return [];
  if (attrs.act !== undefined && SCALARS[attrs.act.fn] === undefined) return [];
  const [outputs, inputs] = w.shape as readonly [number, number];
  const rows = x.shape.slice(0, -1).reduce((a, b) => a * b, 1);
  const grid = rows === 0 ? null : gridOf(hashed, outputs, inputs);
  if (grid === null) return [];
  // Factors are by row of the virtual tensor: here those of the outputs.
  if (hashed.factors !== undefined && hashed.factors.data.length !== outputs) return [];
  const { weights, stored, factors } = hashed;
  const vector: Operand = {
    ...{ kind: "const", name: "weights", tensor: weights },
    ...(stored && { storage: plainShort(stored, weights.type) }),
  };
  const none = tensorOf("f32", [outputs], new Float32Array(outputs));
  const size = inputs * outputs;
  const operands: Operand[] = [
    { kind: "in", index: 0 },
    vector,
    { kind: "const", name: "bias", tensor: constants[2] ?? none },
    { kind: "out", index: 0 },
    { kind: "work", id: "held", bytes: 4 * inputs },
    ...(factors ? [{ kind: "const", name: "factors", tensor: factors } as const] : []),
  ];
  return [
    {
      name: "f32_linear_hashed",
      family: "default",
      work: { macs: size * (rows + HASH_MACS), bytes: 4 * rows * (inputs + outputs) },
      implement: () => {
        const kernel = kernelOf({ rows, inputs, outputs }, hashed, grid, attrs.act);
        return { inPlace: false, steps: [{ kernel, operands, args: [] }] };
      },
    },
  ];
}

export const linearF32Hashed = definePrimitive({
  name: "f32_linear_hashed",
  op: linear,
  candidates: candidateOf,
});
