/**
 * @file Vector-Jacobian products: one rule an operator, built from graph operators, so that a backward pass is
 * ordinary graph that every pass, primitive and target takes.
 */
import type { GraphBuilder, Value } from "../graph/graph.ts";
import type { Attrs, Op } from "../graph/op.ts";
import type { TensorType } from "../tensor/tensor.ts";

/** One application of an operator seen from behind. Values belong to the graph under construction. */
export interface Backward<A extends Attrs = Attrs> {
  readonly g: GraphBuilder;
  readonly attrs: A;
  readonly ins: readonly Value[];
  readonly outs: readonly Value[];
  /** The cotangent of each output (shape of the output); null where the result does not matter. */
  readonly cotangents: readonly (Value | null)[];
  /** Is the cotangent of this input asked for? Rules may give others; they are dropped. */
  wants(input: number): boolean;
  type(v: Value): TensorType;
  /**
   * Builds `forward` (a definition of the node by simpler operators) and gives the cotangents of `ins` for
   * those of its results.
   */
  through(forward: () => readonly Value[]): readonly (Value | null)[];
}

/** The cotangent of each input, in the input's shape; null: zero. A method, so that rules of all attributes fit one table. */
export interface VjpRule<A extends Attrs = Attrs> {
  readonly op: Op<A>;
  vjp(b: Backward<A>): readonly (Value | null)[];
}

export const defineVjp = <A extends Attrs>(
  op: Op<A>,
  vjp: (b: Backward<A>) => readonly (Value | null)[],
): VjpRule => ({ op, vjp }) as unknown as VjpRule;

/** For operators with one output: `f` gets its cotangent, its value and the context. */
export const defineSingle = <A extends Attrs>(
  op: Op<A>,
  f: (ct: Value, b: Backward<A>) => readonly (Value | null)[],
): VjpRule =>
  defineVjp(op, (b) => (b.cotangents[0] === null ? b.ins.map(() => null) : f(b.cotangents[0]!, b)));
