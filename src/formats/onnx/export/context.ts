/** @file What the export of one node sees: names of its operands as integers or reals, and the writer. */
import { type Graph, type Node, typeOf, type Value } from "../../../graph/graph.ts";
import type { Attrs, OutQuant } from "../../../graph/op.ts";
import {
  type Shape,
  type Tensor,
  type TensorType,
  tensorOf,
  tensorType,
} from "../../../tensor/tensor.ts";
import { UserError } from "../../../util/errors.ts";
import { core } from "../core.ts";
import { int, ints, type OnnxWriter } from "./writer.ts";

/** Names of the values already exported, shared by all nodes. */
export class Names {
  readonly graph: Graph;
  readonly w: OnnxWriter;
  private readonly raw = new Map<Value, string>();
  private readonly reals = new Map<Value, string>();
  private readonly first = new Map<Value, string>();
  constructor(graph: Graph, w: OnnxWriter) {
    this.graph = graph;
    this.w = w;
  }
  set(v: Value, name: string): void {
    this.raw.set(v, name);
  }
  /** The name of a value, if it has one by now. */
  peek(v: Value): string | undefined {
    return this.raw.get(v);
  }
  /** The tensor as it is: the integers of a quantised value. */
  of(v: Value): string {
    let name = this.raw.get(v);
    if (name === undefined) {
      name = this.w.initializer(this.graph.constants.get(v)!);
      this.raw.set(v, name);
    }
    return name;
  }
  /** The reals a value stands for. */
  realOf(v: Value): string {
    const { quant, dtype } = typeOf(this.graph, v);
    if (quant === undefined) return this.of(v);
    let name = this.reals.get(v);
    if (name === undefined) {
      name = dequantized(this.w, this.of(v), { dtype, ...quant });
      this.reals.set(v, name);
    }
    return name;
  }
  /** The tensor as it is, turned from channels last to channels first. */
  rawFirst(v: Value): string {
    let name = this.first.get(v);
    if (name === undefined) {
      const rank = typeOf(this.graph, v).shape.length;
      name = transposed(this.w, this.of(v), channelsFirst(rank));
      this.first.set(v, name);
    }
    return name;
  }
}

/** The node between layouts; integers are moved before they are dequantised, so that runtimes fuse. */
const transposed = (w: OnnxWriter, name: string, perm: readonly number[]): string =>
  w.emit("Transpose", [name], { perm: ints(perm) });

/** Scale and zero point as initialisers, per tensor or per index of an axis. */
function parameters(w: OnnxWriter, { dtype, scale, zeroPoint, axis }: OutQuant): readonly string[] {
  if (axis === null) return [w.scalar("f32", scale[0]!), w.scalar(dtype, zeroPoint[0]!)];
  return [
    w.initializer(tensorOf("f32", [scale.length], scale)),
    w.initializer(tensorOf(dtype, [scale.length], zeroPoint)),
  ];
}

const axisAttribute = (q: OutQuant) => (q.axis === null ? {} : { axis: int(q.axis) });

export const dequantized = (w: OnnxWriter, name: string, q: OutQuant): string =>
  w.emit("DequantizeLinear", [name, ...parameters(w, q)], axisAttribute(q));

export const quantized = (w: OnnxWriter, name: string, q: OutQuant): string =>
  w.emit("QuantizeLinear", [name, ...parameters(w, q)], axisAttribute(q));

/** A constant with its axes permuted. */
function permuted(t: Tensor, perm: readonly number[]): Tensor {
  const { dtype, shape, quant } = t.type;
  const type = tensorType(
    dtype,
    perm.map((p) => shape[p]!),
  );
  const plain: Tensor = { type: tensorType(dtype, shape), data: t.data };
  const [turned] = core.transpose.eval!([plain], { perm }, [type]);
  if (quant === undefined) return turned!;
  const axis = quant.axis === null ? null : perm.indexOf(quant.axis);
  return { type: tensorType(dtype, type.shape, { ...quant, axis }), data: turned!.data };
}

export class ExportContext<A extends Attrs = Attrs> {
  readonly names: Names;
  readonly w: OnnxWriter;
  readonly node: Node<A>;
  readonly attrs: A;
  constructor(names: Names, node: Node<A>) {
    this.names = names;
    this.w = names.w;
    this.node = node;
    this.attrs = node.attrs;
  }

  get count(): number {
    return this.node.ins.length;
  }
  type(i: number): TensorType {
    return typeOf(this.names.graph, this.node.ins[i]!);
  }
  outType(i = 0): TensorType {
    return typeOf(this.names.graph, this.node.outs[i]!);
  }
  rank(i: number): number {
    return this.type(i).shape.length;
  }
  constant(i: number): Tensor | undefined {
    return this.names.graph.constants.get(this.node.ins[i]!);
  }
  raw(i: number): string {
    return this.names.of(this.node.ins[i]!);
  }
  real(i: number): string {
    return this.names.realOf(this.node.ins[i]!);
  }
  reals(): readonly string[] {
    return this.node.ins.map((_, i) => this.real(i));
  }
  raws(): readonly string[] {
    return this.node.ins.map((_, i) => this.raw(i));
  }

  /** Operand i with its axes permuted; constants are permuted at once. */
  permuted(i: number, perm: readonly number[]): string {
    if (perm.every((p, k) => p === k)) return this.real(i);
    const t = this.constant(i);
    if (t === undefined) {
      const moved = this.transpose(this.raw(i), perm);
      const { dtype, quant } = this.type(i);
      return quant === undefined ? moved : dequantized(this.w, moved, { dtype, ...quant });
    }
    const turned = permuted(t, perm);
    const name = this.w.initializer({
      type: tensorType(t.type.dtype, turned.type.shape),
      data: turned.data,
    });
    const { quant, dtype } = turned.type;
    return quant === undefined ? name : dequantized(this.w, name, { dtype, ...quant });
  }

  transpose(name: string, perm: readonly number[]): string {
    return transposed(this.w, name, perm);
  }
  reshape(name: string, shape: Shape): string {
    return this.w.emit("Reshape", [name, this.w.vector(shape)], { allowzero: int(true) });
  }
  scalar(x: number, like = 0): string {
    const { dtype, quant } = this.type(like);
    return this.w.scalar(quant === undefined ? dtype : "f32", x);
  }

  /** Operand i as reals, channels first. */
  first(i: number, layout: string): string {
    if (layout === "nchw") return this.real(i);
    const name = this.names.rawFirst(this.node.ins[i]!);
    const { quant, dtype } = this.type(i);
    return quant === undefined ? name : dequantized(this.w, name, { dtype, ...quant });
  }

  /** Operand i as it is, channels first. */
  rawFirst(i: number, layout: string): string {
    return layout === "nchw" ? this.raw(i) : this.names.rawFirst(this.node.ins[i]!);
  }

  /** Reals with channels first as result i in the node's layout, quantised where the result is. */
  result(name: string, layout: string, i = 0): string {
    const { quant, dtype, shape } = this.outType(i);
    const q = quant === undefined ? name : quantized(this.w, name, { dtype, ...quant });
    return layout === "nchw" ? q : this.transpose(q, channelsLast(shape.length));
  }
}

const middle = (rank: number, from: number): number[] =>
  Array.from({ length: rank - 2 }, (_, i) => i + from);
/** The permutation from [n, …, c] to [n, c, …]. */
export const channelsFirst = (rank: number): number[] => [0, rank - 1, ...middle(rank, 1)];
/** The permutation from [n, c, …] to [n, …, c]. */
export const channelsLast = (rank: number): number[] => [0, ...middle(rank, 2), 1];

/** Writes the nodes of one operator; returns the names of its results. */
export type Exporter<A extends Attrs> = (x: ExportContext<A>) => string | readonly string[];

/** How one core operator is written. */
export interface ExportEntry<A extends Attrs> {
  readonly run: Exporter<A>;
  /** The results are the node's results as they are; otherwise reals, to be quantised where needed. */
  readonly integers?: true;
}

export const refuse = (message: string, where: string): UserError =>
  new UserError("E_UNSUPPORTED", message, { where });
