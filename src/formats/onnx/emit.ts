/**
 * @file Emits core operators while a model is imported. What depends on constants alone is computed at
 * once, so that shape arithmetic disappears; every value remembers the model inputs it depends on.
 */
import { inferTypes } from "../../graph/apply.ts";
import { GraphBuilder, type Value } from "../../graph/graph.ts";
import { interpret } from "../../graph/interpret.ts";
import type { Attrs, Op } from "../../graph/op.ts";
import { growsStorage } from "../../graph/storage.ts";
import { type DType, isFloat } from "../../tensor/dtype.ts";
import {
  elementCount,
  type Shape,
  sameShape,
  scalarOf,
  type Tensor,
  type TensorType,
  tensorOf,
  tensorType,
} from "../../tensor/tensor.ts";
import { UserError } from "../../util/errors.ts";
import { checkShape, LIMITS } from "../limits.ts";
import { core } from "./core.ts";

/** An operand: a value, or a number standing for a scalar of the other operand's dtype. */
export type Operand = Value | { readonly number: number };
/** A literal operand of Emitter's arithmetic. */
export const num = (number: number): Operand => ({ number });

const NONE: ReadonlySet<string> = new Set();

/** What weights are made of smaller ones by; everything else of constants is shape arithmetic, masks and tables. */
const MAKES_WEIGHTS: ReadonlySet<Op> = new Set([core.matmul, core.one_hot] as unknown as Op[]);

/** Runs one operator on tensors. */
function compute<A extends Attrs>(op: Op<A>, ins: readonly Tensor[], attrs: A): readonly Tensor[] {
  const g = new GraphBuilder(op.name);
  const values = ins.map((t, i) => g.input(`in${i}`, t.type));
  for (const v of g.applyAll(op, values, attrs)) g.output(v);
  return interpret(g.build(), ins);
}

export class Emitter {
  readonly g: GraphBuilder;
  /** Name given to the nodes emitted next. */
  name = "";
  private steps = 0;
  private computed = 0;
  private readonly deferred = new Map<Value, () => Tensor>();
  private readonly sources = new Map<Value, ReadonlySet<string>>();
  /** Quantised constants by the value that dequantises them. */
  private readonly weights = new Map<Value, Tensor>();
  private readonly named = new Set<Value>();
  private readonly scalars = new Map<string, Value>();

  constructor(g: GraphBuilder) {
    this.g = g;
  }

  input(name: string, type: TensorType): Value {
    const v = this.g.input(name, type);
    this.sources.set(v, new Set([name]));
    this.named.add(v);
    return v;
  }

  constant(t: Tensor, name = ""): Value {
    const v = this.g.constant(t, name);
    if (name !== "") this.named.add(v);
    return v;
  }

  scalar(dtype: DType, x: number): Value {
    const key = `${dtype} ${Object.is(x, -0) ? "-0" : x}`;
    const known = this.scalars.get(key);
    if (known !== undefined) return known;
    const v = this.constant(scalarOf(dtype, x));
    this.scalars.set(key, v);
    return v;
  }

  /** A vector of constants. */
  vector(dtype: DType, values: readonly number[]): Value {
    return this.constant(tensorOf(dtype, [values.length], values));
  }

  type(v: Value): TensorType {
    return this.g.typeOf(v);
  }
  shape(v: Value): Shape {
    return this.type(v).shape;
  }
  rank(v: Value): number {
    return this.shape(v).length;
  }
  dtype(v: Value): DType {
    return this.type(v).dtype;
  }

  /** Names a result after the model's tensor, once. */
  nameResult(v: Value, name: string): void {
    if (this.named.has(v)) return;
    this.named.add(v);
    this.g.setName(v, name);
  }

  /** The tensor of a value that depends on no input; computed when it has not been. */
  known(v: Value): Tensor | undefined {
    return this.g.constantOf(v) ?? this.deferred.get(v)?.();
  }

  isConstant(v: Value): boolean {
    return this.g.constantOf(v) !== undefined || this.deferred.has(v);
  }

  /** Names of the model inputs a value depends on. */
  sourcesOf(v: Value): ReadonlySet<string> {
    return this.sources.get(v) ?? NONE;
  }

  /** Counts an operation or a loop iteration: a small file must not ask for endless work. */
  countStep(): void {
    this.steps++;
    if (this.steps > LIMITS.nodes) {
      throw new UserError("E_LIMIT", `the model needs more than ${LIMITS.nodes} operations`);
    }
  }

  /** All results of an operator; `fold` false keeps the node even when its operands are constant. */
  applyAll<A extends Attrs>(
    op: Op<A>,
    ins: readonly Value[],
    attrs: A,
    fold = true,
  ): readonly Value[] {
    this.countStep();
    const tensors = ins.map((v) => this.g.constantOf(v));
    if (fold && tensors.every((t) => t !== undefined) && this.isWorth(op, tensors, attrs)) {
      return compute(op, tensors, attrs).map((t) => this.constant(t));
    }
    const outs = this.g.applyAll(op, ins, attrs, this.name);
    for (const v of outs) checkShape(this.shape(v), this.name || op.name);
    this.track(op, ins, attrs, outs);
    return outs;
  }

  /** The single result of an operator. */
  apply<A extends Attrs>(op: Op<A>, ins: readonly Value[], attrs: A): Value {
    return this.applyAll(op, ins, attrs)[0]!;
  }

  /** Whether to compute it now: not what takes too long, nor weights whose factors are smaller. */
  private isWorth<A extends Attrs>(op: Op<A>, ins: readonly Tensor[], attrs: A): boolean {
    const types = ins.map((t) => t.type);
    const outs = inferTypes(op, types, attrs);
    for (const t of outs) checkShape(t.shape, this.name || op.name);
    if (MAKES_WEIGHTS.has(op as unknown as Op) && growsStorage(types, outs)) return false;
    const elements = outs.reduce((n, t) => n + elementCount(t.shape), 0);
    const macs = op.cost?.(types, attrs, outs).macs ?? 0;
    if (elements > LIMITS.computedElements || macs > LIMITS.computedMacs) return false;
    this.computed += elements + macs;
    return this.computed <= LIMITS.computedMacs;
  }

  private track<A extends Attrs>(
    op: Op<A>,
    ins: readonly Value[],
    attrs: A,
    outs: readonly Value[],
  ): void {
    const sets = [...new Set(ins.map((v) => this.sourcesOf(v)))].filter((s) => s.size > 0);
    const all = sets.length <= 1 ? (sets[0] ?? NONE) : new Set(sets.flatMap((s) => [...s]));
    for (const v of outs) this.sources.set(v, all);
    if (all.size > 0) return;
    let results: readonly Tensor[] | undefined;
    outs.forEach((v, i) => {
      this.deferred.set(v, () => {
        results ??= compute(
          op,
          ins.map((x) => this.known(x)!),
          attrs,
        );
        return results[i]!;
      });
    });
  }

  /** Both operands as values; literals take the dtype of `like`. */
  private operand(x: Operand, like: Operand): Value {
    if (typeof x === "number") return x;
    return this.scalar(typeof like === "number" ? this.dtype(like) : "f32", x.number);
  }

  private binary(op: Op, a: Operand, b: Operand): Value {
    return this.apply(op, [this.operand(a, b), this.operand(b, a)], {});
  }
  add(a: Operand, b: Operand): Value {
    return this.binary(core.add as Op, a, b);
  }
  sub(a: Operand, b: Operand): Value {
    return this.binary(core.sub as Op, a, b);
  }
  mul(a: Operand, b: Operand): Value {
    return this.binary(core.mul as Op, a, b);
  }
  div(a: Operand, b: Operand): Value {
    return this.binary(core.div as Op, a, b);
  }
  min(a: Operand, b: Operand): Value {
    return this.binary(core.min, a, b);
  }
  max(a: Operand, b: Operand): Value {
    return this.binary(core.max, a, b);
  }
  equal(a: Operand, b: Operand): Value {
    return this.binary(core.equal, a, b);
  }
  less(a: Operand, b: Operand): Value {
    return this.binary(core.less, a, b);
  }
  where(condition: Value, a: Operand, b: Operand): Value {
    return this.apply(core.where, [condition, this.operand(a, b), this.operand(b, a)], {});
  }

  /** A unary operator without attributes. */
  unary(op: Op, x: Value): Value {
    return this.apply(op, [x], {});
  }

  cast(x: Value, to: DType): Value {
    return this.dtype(x) === to ? x : this.apply(core.cast, [x], { to });
  }
  /** f32 for everything but f32 and f64. */
  asReal(x: Value): Value {
    return this.dtype(x) === "f64" ? x : this.cast(x, "f32");
  }
  isReal(x: Value): boolean {
    return isFloat(this.dtype(x));
  }

  reshape(x: Value, shape: Shape): Value {
    return sameShape(this.shape(x), shape) ? x : this.apply(core.reshape, [x], { shape });
  }
  /** Inserts axes of extent 1 at these positions of the result. */
  unsqueeze(x: Value, axes: readonly number[]): Value {
    const shape = [...this.shape(x)];
    for (const a of [...axes].sort((p, q) => p - q)) shape.splice(a, 0, 1);
    return this.reshape(x, shape);
  }
  transpose(x: Value, perm: readonly number[]): Value {
    return perm.every((p, i) => p === i) ? x : this.apply(core.transpose, [x], { perm });
  }
  /** Swaps the last two axes. */
  swapLast(x: Value): Value {
    const perm = this.shape(x).map((_, i) => i);
    return this.transpose(x, [...perm.slice(0, -2), perm.at(-1)!, perm.at(-2)!]);
  }
  expand(x: Value, shape: Shape): Value {
    return sameShape(this.shape(x), shape) ? x : this.apply(core.expand, [x], { shape });
  }
  concat(xs: readonly Value[], axis: number): Value {
    return xs.length === 1 ? xs[0]! : this.apply(core.concat, xs, { axis });
  }
  /** Elements from..to-1 of one axis. */
  sliceAxis(x: Value, axis: number, from: number, to: number): Value {
    const shape = this.shape(x);
    if (from === 0 && to === shape[axis]) return x;
    return this.apply(core.slice, [x], {
      start: shape.map((_, i) => (i === axis ? from : 0)),
      size: shape.map((n, i) => (i === axis ? to - from : n)),
      step: shape.map(() => 1),
    });
  }
  split(x: Value, axis: number, sizes: readonly number[]): readonly Value[] {
    return sizes.length === 1 ? [x] : this.applyAll(core.split, [x], { axis, sizes });
  }

  sum(x: Value, axes: readonly number[], keepDims: boolean): Value {
    return this.reduce(core.reduce_sum as Op, x, axes, keepDims);
  }
  mean(x: Value, axes: readonly number[], keepDims: boolean): Value {
    return this.reduce(core.reduce_mean as Op, x, axes, keepDims);
  }
  reduce(op: Op, x: Value, axes: readonly number[], keepDims: boolean): Value {
    const sorted = [...axes].sort((a, b) => a - b);
    return this.apply(op, [x], { axes: sorted, keepDims });
  }
  softmax(x: Value, axis: number): Value {
    return this.apply(core.softmax, [x], { axis });
  }
  matmul(a: Value, b: Value): Value {
    return this.apply(core.matmul, [a, b], {});
  }

  /** The reals of a quantised value; the node stays even when the value is constant. */
  dequantize(x: Value): Value {
    const y = this.applyAll(core.dequantize, [x], {}, false)[0]!;
    const t = this.g.constantOf(x);
    if (t !== undefined) this.weights.set(y, t);
    return y;
  }

  /** A constant matrix with its axes swapped; a dequantised one keeps its integers. */
  transposedWeights(w: Value): Value {
    const integers = this.weights.get(w);
    if (integers?.type.quant === undefined) return this.swapLast(w);
    const { quant, dtype, shape } = integers.type;
    const plain = this.constant({ type: tensorType(dtype, shape), data: integers.data });
    const turned = this.g.constantOf(this.swapLast(plain));
    if (turned === undefined) return this.swapLast(w);
    const axis = quant.axis === null ? null : 1 - quant.axis;
    const type = tensorType(dtype, turned.type.shape, { ...quant, axis });
    return this.dequantize(this.constant({ type, data: turned.data }));
  }

  /** The integers a quantised value consists of; other values unchanged. */
  plain(x: Value): Value {
    return this.type(x).quant === undefined ? x : this.apply(core.strip_quant, [x], {});
  }
}
