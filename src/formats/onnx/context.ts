/** @file What the import of one ONNX node sees: its operands, attributes and the emitter. */
import type { Value } from "../../graph/graph.ts";
import { normalizeAxis } from "../../tensor/shape.ts";
import { type Tensor, toNumbers } from "../../tensor/tensor.ts";
import { UserError } from "../../util/errors.ts";
import type { Emitter } from "./emit.ts";
import type { AttributeProto, GraphProto, NodeProto } from "./proto.ts";
import { denseTensor, type ExternalData, tensorOfProto } from "./tensors.ts";

/** A value that has to be constant depends on model inputs: these would have to be frozen. */
export class NeedsConstant extends UserError {
  readonly freeze: readonly string[];
  constructor(what: string, freeze: readonly string[]) {
    const which = freeze.map((n) => `'${n}'`).join(", ");
    super("E_UNSUPPORTED", `${what} must be constant; it depends on the model input ${which}`, {
      hint: `freeze it with ${freeze.map((n) => `--fix ${n}=value`).join(" ")}`,
    });
    this.freeze = freeze;
  }
}

export const unsupported = (message: string): UserError => new UserError("E_UNSUPPORTED", message);
export const malformed = (message: string): UserError => new UserError("E_MODEL", message);

/** The value as a constant. Throws NeedsConstant when it depends on inputs. */
export function constantOf(e: Emitter, v: Value, what: string): Tensor {
  const t = e.known(v);
  if (t !== undefined) return t;
  throw new NeedsConstant(what, [...e.sourcesOf(v)]);
}

const text = new TextDecoder();

/** One node's attributes, defaults given where they are read. */
export class Attributes {
  private readonly byName: ReadonlyMap<string, AttributeProto>;
  private readonly external: ExternalData | undefined;
  constructor(list: readonly AttributeProto[], external: ExternalData | undefined) {
    this.byName = new Map(list.map((a) => [a.name, a]));
    this.external = external;
  }
  has(name: string): boolean {
    return this.byName.has(name);
  }
  int(name: string, absent: number): number {
    return this.byName.get(name)?.i ?? absent;
  }
  flag(name: string, absent: boolean): boolean {
    return this.int(name, absent ? 1 : 0) !== 0;
  }
  float(name: string, absent: number): number {
    return this.byName.get(name)?.f ?? absent;
  }
  string(name: string, absent: string): string {
    const a = this.byName.get(name);
    return a === undefined ? absent : text.decode(a.s);
  }
  strings(name: string): readonly string[] {
    return (this.byName.get(name)?.strings ?? []).map((s) => text.decode(s));
  }
  ints(name: string): readonly number[] | undefined {
    return this.byName.get(name)?.ints;
  }
  floats(name: string): readonly number[] | undefined {
    return this.byName.get(name)?.floats;
  }
  tensor(name: string): Tensor | undefined {
    const a = this.byName.get(name);
    if (a?.t !== undefined) return tensorOfProto(a.t, this.external, name);
    return a?.sparseTensor === undefined ? undefined : denseTensor(a.sparseTensor, this.external);
  }
  graph(name: string): GraphProto {
    const g = this.byName.get(name)?.g;
    if (g === undefined) throw malformed(`the subgraph '${name}' is missing`);
    return g;
  }
}

export class OpContext {
  readonly e: Emitter;
  readonly node: NodeProto;
  readonly attrs: Attributes;
  /** Version of the operator set the node belongs to. */
  readonly opset: number;
  /** Operands by position; null where left out. Integer tensors may carry quantisation parameters. */
  readonly operands: readonly (Value | null)[];

  constructor(
    e: Emitter,
    node: NodeProto,
    attrs: Attributes,
    opset: number,
    operands: readonly (Value | null)[],
  ) {
    this.e = e;
    this.node = node;
    this.attrs = attrs;
    this.opset = opset;
    this.operands = operands;
  }

  /** Whether the node's result i is named, i.e. may be used. */
  wants(i: number): boolean {
    return (this.node.output[i] ?? "") !== "";
  }

  has(i: number): boolean {
    return (this.operands[i] ?? null) !== null;
  }

  /** Operand i with its quantisation parameters: for operators that move elements. */
  moving(i: number): Value {
    const v = this.operands[i] ?? null;
    if (v === null) throw malformed(`input ${i} is missing`);
    return this.e.type(v).quant?.axis === null ? v : this.e.plain(v);
  }

  /** Operand i as ONNX sees it: plain integers when it was quantised. */
  in(i: number): Value {
    const v = this.operands[i] ?? null;
    if (v === null) throw malformed(`input ${i} is missing`);
    return this.e.plain(v);
  }

  optional(i: number): Value | undefined {
    return this.has(i) ? this.in(i) : undefined;
  }

  /** All operands, none left out. */
  all(): readonly Value[] {
    if (this.operands.length === 0) throw malformed("the node has no inputs");
    return this.operands.map((_, i) => this.in(i));
  }

  tensor(i: number): Tensor {
    return constantOf(this.e, this.in(i), `input ${i} ('${this.node.input[i]}')`);
  }

  optionalTensor(i: number): Tensor | undefined {
    return this.has(i) ? this.tensor(i) : undefined;
  }

  /** Constant operand i as numbers; undefined when left out. */
  numbers(i: number): readonly number[] | undefined {
    return this.has(i) ? toNumbers(this.tensor(i)) : undefined;
  }

  /** A list that is an attribute up to an opset and an operand since. */
  list(attribute: string, i: number): readonly number[] | undefined {
    return this.attrs.ints(attribute) ?? this.numbers(i);
  }

  /** A single number that is an operand. */
  number(i: number, absent: number): number {
    return this.numbers(i)?.[0] ?? absent;
  }

  /** The axis within 0..rank-1. */
  axis(axis: number, rank: number): number {
    const a = normalizeAxis(axis, rank);
    if (a === null) throw malformed(`axis ${axis} of a tensor of ${rank} axes`);
    return a;
  }

  axes(axes: readonly number[], rank: number): number[] {
    return axes.map((a) => this.axis(a, rank));
  }
}

/** Imports one ONNX operator: emits core operators and returns the node's results. */
export type Importer = (c: OpContext) => Value | readonly Value[];
export type ImportTable = Readonly<Record<string, Importer>>;
