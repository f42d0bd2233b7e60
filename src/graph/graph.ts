/** @file The graph IR: immutable data, and the builder that makes it. */

import type { Tensor, TensorType } from "../tensor/tensor.ts";
import { InternalError, UserError } from "../util/errors.ts";
import { inferTypes } from "./apply.ts";
import type { Attrs, NoAttrs, Op } from "./op.ts";

/** Identifies a value within one graph. */
export type Value = number & { readonly __value: unique symbol };

export interface ValueInfo {
  readonly type: TensorType;
  /** For people; unique within the graph when it names an input or output. */
  readonly name: string;
}

export interface Node<A extends Attrs = Attrs> {
  readonly op: Op<A>;
  readonly ins: readonly Value[];
  readonly outs: readonly Value[];
  readonly attrs: A;
  /** The layer's name in the source model, for messages and reports. */
  readonly name: string;
}

/**
 * A model. Nodes are in topological order; every value is an input, a constant or the result of
 * exactly one node. Shapes are static. Constants are shared, never copied.
 */
export interface Graph {
  readonly name: string;
  readonly inputs: readonly Value[];
  readonly outputs: readonly Value[];
  /** One per output: an output keeps its name whichever value stands for it. */
  readonly outputNames: readonly string[];
  readonly nodes: readonly Node[];
  readonly values: ReadonlyMap<Value, ValueInfo>;
  readonly constants: ReadonlyMap<Value, Tensor>;
  /** Provenance and other text that travels with the model. */
  readonly meta: Readonly<Record<string, string>>;
}

/** Narrows a node to one op, attributes included. */
export function isOp<A extends Attrs>(node: Node, op: Op<A>): node is Node<A> {
  return (node.op as unknown) === op;
}

/** The type of a value; a missing value is our bug. */
export function typeOf(g: Graph, v: Value): TensorType {
  const info = g.values.get(v);
  if (info === undefined) throw new InternalError(`value %${v} is not in graph '${g.name}'`);
  return info.type;
}

export const nameOf = (g: Graph, v: Value): string => g.values.get(v)?.name ?? `${v}`;

/** Runs a graph: how code below the runtime executes models without importing it. */
export type Executor = (graph: Graph, feeds: readonly Tensor[]) => Promise<readonly Tensor[]>;

type AttrArgs<A extends Attrs> = object extends A
  ? [attrs?: A, name?: string]
  : [attrs: A, name?: string];

/** Builds a graph node by node; every result type is inferred and checked on the way. */
export class GraphBuilder {
  readonly name: string;
  private next = 0;
  private readonly inputs: Value[] = [];
  private readonly outputs: Value[] = [];
  private readonly outputNames: string[] = [];
  private readonly nodes: Node[] = [];
  private readonly values = new Map<Value, ValueInfo>();
  private readonly constants = new Map<Value, Tensor>();
  readonly meta: Record<string, string> = {};

  constructor(name: string) {
    this.name = name;
  }

  private fresh(type: TensorType, name: string): Value {
    const v = this.next++ as Value;
    this.values.set(v, { type, name });
    return v;
  }

  input(name: string, type: TensorType): Value {
    const v = this.fresh(type, name);
    this.inputs.push(v);
    return v;
  }

  constant(tensor: Tensor, name = ""): Value {
    const v = this.fresh(tensor.type, name);
    this.constants.set(v, tensor);
    return v;
  }

  /** All results of an operator. */
  applyAll<A extends Attrs>(
    op: Op<A>,
    ins: readonly Value[],
    attrs: A,
    name = "",
  ): readonly Value[] {
    const types = ins.map((v) => this.typeOf(v));
    const outs = named(op.name, name, () => inferTypes(op, types, attrs)).map((t) =>
      this.fresh(t, name),
    );
    this.nodes.push({ op: op as unknown as Op, ins, outs, attrs, name });
    return outs;
  }

  /** The single result of an operator. */
  apply<A extends Attrs = NoAttrs>(op: Op<A>, ins: readonly Value[], ...rest: AttrArgs<A>): Value {
    const outs = this.applyAll(op, ins, (rest[0] ?? {}) as A, rest[1] ?? "");
    if (outs.length !== 1) throw new InternalError(`${op.name} has ${outs.length} results`);
    return outs[0]!;
  }

  typeOf(v: Value): TensorType {
    const info = this.values.get(v);
    if (info === undefined) throw new InternalError(`value %${v} is not in graph '${this.name}'`);
    return info.type;
  }

  nameOf(v: Value): string {
    return this.values.get(v)?.name ?? "";
  }

  constantOf(v: Value): Tensor | undefined {
    return this.constants.get(v);
  }

  /** The nodes built so far, in order, from the given position on. */
  nodesFrom(start: number): readonly Node[] {
    return this.nodes.slice(start);
  }

  /** Renames a value (imports name values after the source model's tensors). */
  setName(v: Value, name: string): void {
    const info = this.values.get(v);
    if (info !== undefined) this.values.set(v, { ...info, name });
  }

  output(v: Value, name = this.values.get(v)?.name || `output${this.outputs.length}`): void {
    this.outputs.push(v);
    this.outputNames.push(name);
  }

  build(): Graph {
    return {
      name: this.name,
      inputs: [...this.inputs],
      outputs: [...this.outputs],
      outputNames: [...this.outputNames],
      nodes: [...this.nodes],
      values: new Map(this.values),
      constants: new Map(this.constants),
      meta: { ...this.meta },
    };
  }
}

/** Runs `infer`, putting the operator and node name in front of a user's error. */
function named<T>(op: string, name: string, run: () => T): T {
  try {
    return run();
  } catch (error) {
    if (!(error instanceof UserError) || error.where !== undefined) throw error;
    const detail = error.hint === undefined ? {} : { hint: error.hint };
    throw new UserError(error.code, `${op} '${name}': ${error.message}`, {
      where: name || op,
      ...detail,
    });
  }
}
