/**
 * @file Primitives: the algorithms that implement an operator. Each is one file and one line in its
 * operator's list; the planner picks the first that matches, and falls back to the op's default loop nest.
 */
import type { Value } from "../graph/graph.ts";
import type { Attrs, Op } from "../graph/op.ts";
import type { Kernel } from "../kernel/ir.ts";
import type { Tensor, TensorType } from "../tensor/tensor.ts";
import type { PackedStorage, WeightStorage } from "./storage.ts";

/** What a kernel buffer is bound to. */
export type Operand =
  | { readonly kind: "in"; readonly index: number }
  | { readonly kind: "out"; readonly index: number }
  /** A constant made at compile time (packed weights); `storage` = how it may be stored without loss. */
  | {
      readonly kind: "const";
      readonly name: string;
      readonly tensor: Tensor;
      readonly storage?: PackedStorage;
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
  /** For constants the model stores smaller: how, by position. */
  readonly storage: readonly (WeightStorage | undefined)[];
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
