/**
 * @file Primitives: the algorithms that implement an operator. Each is one file and one line in its operator's
 * list. A primitive offers candidates for a node, cheaply; the selector (src/select) chooses one for each node
 * of a network, and only the chosen ones are built.
 */
import type { Value } from "../graph/graph.ts";
import type { Attrs, Op } from "../graph/op.ts";
import type { Kernel } from "../kernel/ir.ts";
import type { Layout } from "../tensor/layout.ts";
import { byteSize, type Tensor, type TensorType } from "../tensor/tensor.ts";
import type { Capabilities } from "./capabilities.ts";
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
  /**
   * A constant of `type` that an init call of `kernel` (buffers: `from`, result) makes when the model is loaded;
   * `storage` = how `from` may be stored without loss.
   */
  | {
      readonly kind: "made";
      readonly name: string;
      readonly type: TensorType;
      readonly from: Tensor;
      readonly storage?: PackedStorage;
      readonly kernel: Kernel;
      readonly args?: readonly number[];
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
  /** Follows the op's `inPlace`: output 0 may share the memory of that input. */
  readonly inPlace: boolean;
  readonly steps: readonly Step[];
}

/** What a candidate does, as the cost model sees it. */
export interface Work {
  /** Multiply-accumulates executed, those wasted on tails of tiles included. */
  readonly macs: number;
  /** Bytes moved between memory and registers outside the innermost product: packing, results. */
  readonly bytes: number;
}

/** One way to compute a node. */
export interface Candidate {
  /** Id with parameters, for reports and pins: `<dtype>_<op>_<algorithm>_<params>`. */
  readonly name: string;
  /** The algorithm ("igemm", "winograd", "default"...): candidates of a family share cost coefficients. */
  readonly family: string;
  /** Layouts of the inputs and outputs in memory, by position; absent: all plain. */
  readonly ins?: readonly Layout[];
  readonly outs?: readonly Layout[];
  readonly work: Work;
  /** What decides the time beside name, types and attributes, such as the number of non-zero weights. */
  readonly data?: string;
  /** Builds kernels and packs constants. */
  implement(): Implementation;
}

/** A node as a primitive sees it. Types are logical, whatever the layout. */
export interface PrimitiveInput<A extends Attrs = Attrs> {
  readonly ins: readonly TensorType[];
  readonly outs: readonly TensorType[];
  readonly attrs: A;
  /** Inputs known at compile time, by position. */
  readonly constants: readonly (Tensor | undefined)[];
  /** For constants the model stores smaller: how, by position. */
  readonly storage: readonly (WeightStorage | undefined)[];
  readonly values: readonly Value[];
  readonly caps: Capabilities;
}

export interface Primitive<A extends Attrs = Attrs> {
  readonly name: string;
  readonly op: Op<A>;
  /** The ways this algorithm can compute the node, the one that usually wins first; none: it cannot. */
  candidates(input: PrimitiveInput<A>): readonly Candidate[];
}

export function definePrimitive<A extends Attrs>(primitive: Primitive<A>): Primitive<A> {
  return primitive;
}

/** Bytes of all inputs and outputs, each counted once. */
export const operandBytes = ({ ins, outs }: Pick<PrimitiveInput, "ins" | "outs">): number =>
  [...ins, ...outs].reduce((sum, t) => sum + byteSize(t), 0);
