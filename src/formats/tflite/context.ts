/**
 * @file What the translation of one operator sees: its operands as graph values, constants and
 * options.
 */
import { evalTensors, inferTypes } from "../../graph/apply.ts";
import type { GraphBuilder, Value } from "../../graph/graph.ts";
import type { Arith, Attrs, NoAttrs, Op, OutQuant } from "../../graph/op.ts";
import { normalizeAxis } from "../../tensor/shape.ts";
import { elementCount, type Tensor, type TensorType, toNumbers } from "../../tensor/tensor.ts";
import { UserError } from "../../util/errors.ts";
import { checkShape, LIMITS } from "../limits.ts";
import type { Decoded, Fields } from "./flat.ts";
import type { TfliteModel, TfliteOperator } from "./read.ts";
import type { OptionTable } from "./schema.ts";
import { declaredType } from "./tensors.ts";

/** Translates one operator into graph values, one for each of its outputs. */
export type Handler = (c: OpContext) => Value | readonly Value[];
export type Handlers = Readonly<Record<string, Handler>>;

type AttrArgs<A extends Attrs> = object extends A ? [attrs?: A] : [attrs: A];

export const unsupported = (message: string, hint?: string): UserError =>
  new UserError("E_UNSUPPORTED", message, hint === undefined ? {} : { hint });
export const malformed = (message: string): UserError => new UserError("E_FORMAT", message);

/** The quantised type of a value as the attribute `out`; undefined for plain values. */
export function outQuantOf(type: TensorType): OutQuant | undefined {
  return type.quant === undefined ? undefined : { dtype: type.dtype, ...type.quant };
}

export class OpContext {
  readonly g: GraphBuilder;
  readonly model: TfliteModel;
  readonly op: TfliteOperator;
  /** Name of the layer, for nodes and messages. */
  readonly name: string;
  /** Arithmetic of operators on quantised values. */
  readonly arith: Arith;
  private readonly operands: readonly (Value | undefined)[];
  private nodes = 0;

  constructor(
    g: GraphBuilder,
    model: TfliteModel,
    op: TfliteOperator,
    name: string,
    arith: Arith,
    operands: readonly (Value | undefined)[],
  ) {
    this.g = g;
    this.model = model;
    this.op = op;
    this.name = name;
    this.arith = arith;
    this.operands = operands;
  }

  /** Nodes made so far. */
  get emitted(): number {
    return this.nodes;
  }

  /** Input i. Throws E_FORMAT when it is left out. */
  in(i: number): Value {
    const v = this.operands[i];
    if (v === undefined) throw malformed(`input ${i} is missing`);
    return v;
  }

  maybe(i: number): Value | undefined {
    return this.operands[i];
  }

  /** All inputs, at least one and none left out. */
  all(): Value[] {
    if (this.operands.length === 0) throw malformed("no inputs");
    return this.operands.map((_, i) => this.in(i));
  }

  type(v: Value): TensorType {
    return this.g.typeOf(v);
  }

  shape(v: Value): readonly number[] {
    return this.g.typeOf(v).shape;
  }

  /** The constant behind input i, or E_UNSUPPORTED: its value decides about shapes or structure. */
  constant(i: number, what: string): Tensor {
    const t = this.g.constantOf(this.in(i));
    if (t !== undefined) return t;
    throw unsupported(
      `${what} (input ${i}) is computed at run time`,
      "only constants are supported here",
    );
  }

  /** The elements of constant input i as numbers; what must stay small is checked. */
  numbers(i: number, what: string): number[] {
    const t = this.constant(i, what);
    if (t.data.length > LIMITS.foldElements)
      throw malformed(`${what} has ${t.data.length} elements`);
    return toNumbers(t);
  }

  number(i: number, what: string): number {
    const [n, ...rest] = this.numbers(i, what);
    if (n === undefined || rest.length > 0) throw malformed(`${what} is not a single number`);
    return n;
  }

  options<F extends Fields>(table: OptionTable<F>): Decoded<F> {
    const { optionsType, optionsAt } = this.op;
    if (optionsType !== 0 && optionsType !== table.type) {
      throw malformed(`option table ${optionsType}, expected ${table.type}`);
    }
    return this.model.reader.decode(optionsType === 0 ? 0 : optionsAt, table.fields);
  }

  /** The type the file declares for output i; shapes are only hints. */
  declared(i = 0): TensorType {
    const index = this.op.outputs[i];
    if (index === undefined || index < 0) throw malformed(`output ${i} is missing`);
    return declaredType(this.model.tensors[index]!);
  }

  /**
   * The quantised type declared for output i as attribute `out`; undefined when it is not
   * quantised.
   */
  out(i = 0): OutQuant | undefined {
    return outQuantOf(this.declared(i));
  }

  /** `{out}` where output i is quantised, `{}` where not: to spread into attributes. */
  outAttr(i = 0): { out?: OutQuant } {
    const out = this.out(i);
    return out === undefined ? {} : { out };
  }

  /** An axis in 0..rank-1 for a possibly negative one. */
  axis(axis: number, rank: number): number {
    const a = normalizeAxis(axis, rank);
    if (a === null) throw malformed(`axis ${axis} does not exist in rank ${rank}`);
    return a;
  }

  /** The single result of an operator; see `emitAll`. */
  emit<A extends Attrs = NoAttrs>(op: Op<A>, ins: readonly Value[], ...rest: AttrArgs<A>): Value {
    return this.emitAll(op, ins, (rest[0] ?? {}) as A)[0]!;
  }

  /** Applies an operator, or evaluates it at once when all operands are small constants. */
  emitAll<A extends Attrs>(op: Op<A>, ins: readonly Value[], attrs: A): readonly Value[] {
    const types = ins.map((v) => this.type(v));
    const outs = inferTypes(op, types, attrs);
    for (const t of outs) checkShape(t.shape, this.name);
    const constants = ins.map((v) => this.g.constantOf(v));
    const small = [...types, ...outs].every((t) => elementCount(t.shape) <= LIMITS.foldElements);
    const quantised = types.some((t) => t.quant !== undefined);
    if (op.eval === undefined || quantised || !small || constants.includes(undefined)) {
      this.nodes++;
      return this.g.applyAll(op, ins, attrs, this.name);
    }
    const results = evalTensors(op, constants as Tensor[], attrs, outs);
    return results.map((t) => this.g.constant(t, this.name));
  }
}
