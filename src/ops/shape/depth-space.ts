/** @file depth_to_space and space_to_depth: blocks of pixels become channels and back. */

import { defineOp, type Op, type Sample } from "../../graph/op.ts";
import { type AxisTies, eachIndex, resultPort, sameIndex } from "../../graph/ties.ts";
import { forEachIndex, offsetOf, strides } from "../../tensor/shape.ts";
import {
  type Shape,
  type Tensor,
  type TensorType,
  tensorType,
  zeros,
} from "../../tensor/tensor.ts";
import { expectInputs, mover, refuse } from "./check.ts";
import { boxOf, emitStrided, movementKernel } from "./strided.ts";

export interface SpaceToDepthAttrs {
  /** Side of the square block. */
  readonly block: number;
  readonly layout: "nchw" | "nhwc";
}

export interface DepthToSpaceAttrs extends SpaceToDepthAttrs {
  /** Order of the input channels: depth, column, row ("dcr": block outermost) or "crd" (block innermost). */
  readonly mode: "dcr" | "crd";
}

/**
 * Either operator as a transpose between two shapes of rank 6: the input is read as `from`, whose axes
 * in the order `perm` make up the output.
 */
interface Rearrangement {
  readonly from: Shape;
  readonly perm: readonly number[];
}

function depthToSpaceMove(
  shape: Shape,
  { block: b, layout, mode }: DepthToSpaceAttrs,
): Rearrangement {
  if (layout === "nchw") {
    const [n, c, h, w] = shape as [number, number, number, number];
    const d = c / (b * b);
    return mode === "dcr"
      ? { from: [n, b, b, d, h, w], perm: [0, 3, 4, 1, 5, 2] }
      : { from: [n, d, b, b, h, w], perm: [0, 1, 4, 2, 5, 3] };
  }
  const [n, h, w, c] = shape as [number, number, number, number];
  const d = c / (b * b);
  return mode === "dcr"
    ? { from: [n, h, w, b, b, d], perm: [0, 1, 3, 2, 4, 5] }
    : { from: [n, h, w, d, b, b], perm: [0, 1, 4, 2, 5, 3] };
}

function spaceToDepthMove(shape: Shape, { block: b, layout }: SpaceToDepthAttrs): Rearrangement {
  if (layout === "nchw") {
    const [n, c, h, w] = shape as [number, number, number, number];
    return { from: [n, c, h / b, b, w / b, b], perm: [0, 3, 5, 1, 2, 4] };
  }
  const [n, h, w, c] = shape as [number, number, number, number];
  return { from: [n, h / b, b, w / b, b, c], perm: [0, 1, 3, 2, 4, 5] };
}

/** Shape and source steps of the permuted axes. */
const turned = ({ from, perm }: Rearrangement): { shape: number[]; step: number[] } => {
  const own = strides(from);
  return { shape: perm.map((p) => from[p]!), step: perm.map((p) => own[p]!) };
};

function evalMove(x: Tensor, type: TensorType, move: Rearrangement): Tensor {
  const out = zeros(type);
  const copy = mover(out, x);
  const { shape, step } = turned(move);
  forEachIndex(shape, (index, i) => copy(i, offsetOf(index, step)));
  return out;
}

function lowerMove(
  name: string,
  types: readonly TensorType[],
  outs: readonly TensorType[],
  move: Rearrangement,
) {
  const m = movementKernel(name, types, outs);
  const { shape, step } = turned(move);
  emitStrided(m.k, m.outs[0]!, 0, m.ins[0]!, 0, boxOf(shape, step));
  return m.k.build();
}

/** Checks the operand and returns [n, c, h, w]. */
function imageOf(
  ins: readonly TensorType[],
  { block, layout }: SpaceToDepthAttrs,
): readonly [number, number, number, number] {
  expectInputs(ins, 1);
  const { shape } = ins[0]!;
  if (shape.length !== 4) refuse("E_SHAPE", `expected 4 axes, got [${shape}]`);
  if (!Number.isInteger(block) || block < 1)
    refuse("E_SHAPE", `block is ${block}, expected 1 or more`);
  const [n, a, b, c] = shape as [number, number, number, number];
  return layout === "nchw" ? [n, a, b, c] : [n, c, a, b];
}

const imageShape = (
  n: number,
  c: number,
  h: number,
  w: number,
  layout: "nchw" | "nhwc",
): number[] => (layout === "nchw" ? [n, c, h, w] : [n, h, w, c]);

/** Attributes in the other layout when the permutation is the change of layout. */
function permuteLayout<A extends SpaceToDepthAttrs>(attrs: A, perm: readonly number[]): A | null {
  const to = attrs.layout === "nchw" ? "nhwc" : "nchw";
  const change = to === "nhwc" ? "0,2,3,1" : "0,3,1,2";
  return perm.join() === change ? { ...attrs, layout: to } : null;
}

/** The image's channels, each with those that hold its blocks; `shallow`: the port with fewer of them. */
function blockTies(
  shape: Shape,
  { layout, block, mode }: SpaceToDepthAttrs & { readonly mode: "dcr" | "crd" },
  shallow: -1 | 0,
): AxisTies {
  const axis = layout === "nchw" ? 1 : 3;
  const n = shape[axis]!;
  const deep = eachIndex(n * block * block).map((j) =>
    mode === "dcr" ? j % n : Math.floor(j / (block * block)),
  );
  return {
    all: [
      sameIndex(shape[0]!, [0, 0], [resultPort(0), 0]),
      [
        { port: shallow, axis, unit: eachIndex(n) },
        { port: -1 - shallow, axis, unit: deep },
      ],
    ],
  };
}

const sample = <A extends SpaceToDepthAttrs>(
  dtype: TensorType["dtype"],
  shape: number[],
  attrs: A,
): Sample<A> => ({
  ins: [tensorType(dtype, shape)],
  attrs,
});

export const depthToSpace: Op<DepthToSpaceAttrs> = defineOp<DepthToSpaceAttrs>({
  name: "depth_to_space",
  quant: "same",
  infer(ins, attrs) {
    const [n, c, h, w] = imageOf(ins, attrs);
    const { block, layout } = attrs;
    if (c % (block * block) !== 0) {
      refuse("E_SHAPE", `${c} channels do not divide into blocks of ${block} x ${block}`);
    }
    const shape = imageShape(n, c / (block * block), h * block, w * block, layout);
    return [tensorType(ins[0]!.dtype, shape)];
  },
  axes: () => null,
  ties: (_, attrs, [y]) => blockTies(y!.shape, attrs, -1),
  eval: ([x], attrs, [type]) => [evalMove(x!, type!, depthToSpaceMove(x!.type.shape, attrs))],
  lower: (ins, attrs, outs) =>
    lowerMove("depth_to_space", ins, outs, depthToSpaceMove(ins[0]!.shape, attrs)),
  permute: permuteLayout,
  samples: [
    sample("f32", [1, 8, 2, 3], { block: 2, mode: "dcr", layout: "nchw" }),
    sample("f32", [2, 12, 3, 5], { block: 2, mode: "crd", layout: "nchw" }),
    sample("i8", [1, 3, 5, 18], { block: 3, mode: "dcr", layout: "nhwc" }),
    sample("f16", [1, 2, 3, 8], { block: 2, mode: "crd", layout: "nhwc" }),
  ],
});

export const spaceToDepth: Op<SpaceToDepthAttrs> = defineOp<SpaceToDepthAttrs>({
  name: "space_to_depth",
  quant: "same",
  infer(ins, attrs) {
    const [n, c, h, w] = imageOf(ins, attrs);
    const { block, layout } = attrs;
    if (h % block !== 0 || w % block !== 0) {
      refuse("E_SHAPE", `${h} x ${w} does not divide into blocks of ${block} x ${block}`);
    }
    const shape = imageShape(n, c * block * block, h / block, w / block, layout);
    return [tensorType(ins[0]!.dtype, shape)];
  },
  axes: () => null,
  ties: ([x], attrs) => blockTies(x!.shape, { ...attrs, mode: "dcr" }, 0),
  eval: ([x], attrs, [type]) => [evalMove(x!, type!, spaceToDepthMove(x!.type.shape, attrs))],
  lower: (ins, attrs, outs) =>
    lowerMove("space_to_depth", ins, outs, spaceToDepthMove(ins[0]!.shape, attrs)),
  permute: permuteLayout,
  samples: [
    sample("f32", [1, 2, 4, 6], { block: 2, layout: "nchw" }),
    sample("f32", [1, 8, 8, 4], { block: 4, layout: "nhwc" }),
    sample("u8", [2, 6, 4, 3], { block: 2, layout: "nhwc" }),
  ],
});
