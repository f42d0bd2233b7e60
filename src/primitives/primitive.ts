/**
 * @file Primitives: the algorithms that implement an operator. Each is one file and one line in its
 * operator's list; the planner picks the first that matches, and falls back to the op's default loop nest.
 */
import type { Value } from "../graph/graph.ts";
import type { Attrs, Op } from "../graph/op.ts";
import type { Kernel } from "../kernel/ir.ts";
import type { DType } from "../tensor/dtype.ts";
import type { Tensor, TensorType } from "../tensor/tensor.ts";

/** What a kernel buffer is bound to. */
export type Operand =
  | { readonly kind: "in"; readonly index: number }
  | { readonly kind: "out"; readonly index: number }
  /** A constant made at compile time (packed weights); `storage` = the dtype it may be stored in without loss. */
  | {
      readonly kind: "const";
      readonly name: string;
      readonly tensor: Tensor;
      readonly storage?: DType;
    }
  /** Scratch of `bytes`, shared between the steps of one implementation that name the same `id`. */
  | { readonly kind: "work"; readonly id: string; readonly bytes: number };

export interface Step {
  readonly kernel: Kernel;
  /** One operand per kernel buffer, in order. */
  readonly operands: readonly Operand[];
  readonly args: readonly (number | "flip")[];
}

/** How one node is computed: kernel calls in order. */
export interface Implementation {
  /** The primitive's id, for reports: `<dtype>_<op>_<algorithm>_<params>`. */
  readonly name: string;
  /** Follows the op's `inPlace`: output 0 may share the memory of that input. */
  readonly inPlace: boolean;
  readonly steps: readonly Step[];
}

/** A node as a primitive sees it. */
export interface PrimitiveInput<A extends Attrs = Attrs> {
  readonly ins: readonly TensorType[];
  readonly outs: readonly TensorType[];
  readonly attrs: A;
  /** Inputs known at compile time, by position. */
  readonly constants: readonly (Tensor | undefined)[];
  /** For constants kept in a smaller dtype (f16, bf16): that dtype, by position. */
  readonly storage: readonly (DType | undefined)[];
  readonly values: readonly Value[];
}

export interface Primitive<A extends Attrs = Attrs> {
  readonly name: string;
  readonly op: Op<A>;
  /** The implementation for this node, or null when the primitive does not apply. */
  implement(input: PrimitiveInput<A>): Implementation | null;
}

export function definePrimitive<A extends Attrs>(primitive: Primitive<A>): Primitive<A> {
  return primitive;
}
