/**
 * @file relayout: one physical layout of a value to another (src/tensor/layout.ts). Shapes are those of the
 * memory; `shape` is the value's own. Put in by primitive selection, never by an importer.
 */

import { defineOp } from "../../graph/op.ts";
import { affine, i32, KernelBuilder } from "../../kernel/build.ts";
import {
  CHANNEL_BLOCK,
  hasLayouts,
  LAYOUTS,
  type Layout,
  physicalShape,
} from "../../tensor/layout.ts";
import { forEachIndex, offsetOf, strides } from "../../tensor/shape.ts";
import { type Shape, sameShape, tensorType, zeros } from "../../tensor/tensor.ts";
import { flatIndex, loopOver, rawType } from "../lowering.ts";
import { expectInputs, mover, refuse } from "./check.ts";

export interface RelayoutAttrs {
  /** The value's own (logical) shape. */
  readonly shape: readonly number[];
  readonly from: Layout;
  readonly to: Layout;
}

/** Element strides of the logical axes, the channel in blocks of `block` with strides `outer` and `inner`. */
export interface LayoutStrides {
  /** Strides of the axes before the channel. */
  readonly axes: readonly number[];
  readonly block: number;
  readonly outer: number;
  readonly inner: number;
}

/** Where the elements of a value of the (logical) shape lie in a layout. */
export function layoutStrides(shape: Shape, layout: Layout): LayoutStrides {
  const s = strides(physicalShape(shape, layout));
  const channels = shape.at(-1)!;
  if (layout === "plain") {
    return { axes: s.slice(0, -1), block: channels, outer: 0, inner: 1 };
  }
  const axes = [s[0]!, ...s.slice(2, shape.length)];
  return layout === "nchw"
    ? { axes, block: channels, outer: 0, inner: s[1]! }
    : { axes, block: CHANNEL_BLOCK, outer: s[1]!, inner: 1 };
}

const channelOffset = (s: LayoutStrides, c: number): number =>
  Math.floor(c / s.block) * s.outer + (c % s.block) * s.inner;

export const relayout = defineOp<RelayoutAttrs>({
  name: "relayout",
  quant: "same",
  infer(ins, { shape, from, to }) {
    expectInputs(ins, 1);
    const x = ins[0]!;
    if (!hasLayouts(shape)) refuse("E_SHAPE", `[${shape}] has no layouts: it needs rank 3 or more`);
    if (!LAYOUTS.includes(from) || !LAYOUTS.includes(to)) {
      refuse("E_MODEL", `unknown layout in ${from} -> ${to}: expected ${LAYOUTS.join(", ")}`);
    }
    const want = physicalShape(shape, from);
    if (!sameShape(x.shape, want)) refuse("E_SHAPE", `expected [${want}], got [${x.shape}]`);
    return [tensorType(x.dtype, physicalShape(shape, to))];
  },
  eval([x], { shape, from, to }, [type]) {
    const out = zeros(type!);
    const move = mover(out, x!);
    const a = layoutStrides(shape, from);
    const b = layoutStrides(shape, to);
    forEachIndex(shape, (index) => {
      const c = index.at(-1)!;
      const rest = index.slice(0, -1);
      move(
        offsetOf(rest, b.axes) + channelOffset(b, c),
        offsetOf(rest, a.axes) + channelOffset(a, c),
      );
    });
    return [out];
  },
  lower(types, { shape, from, to }, outs) {
    const k = new KernelBuilder("relayout");
    const [ti, to_] = [rawType(types[0]!), rawType(outs[0]!)];
    const size = (s: Shape): number => s.reduce((n, d) => n * d, 1);
    const x = k.buffer("in0", ti.dtype, size(ti.shape), "in");
    const y = k.buffer("out0", to_.dtype, size(to_.shape), "out");
    const channels = shape.at(-1)!;
    const [a, b] = [layoutStrides(shape, from), layoutStrides(shape, to)];
    // Runs of channels that stay within a block of both layouts.
    const run = Math.min(a.block, b.block);
    if (to === "nchw8c" && channels % CHANNEL_BLOCK !== 0) k.fill(y, 0, 0, size(to_.shape));
    loopOver(k, shape.slice(0, -1), (index) => {
      const source = k.let("source", flatIndex(index, a.axes));
      const target = k.let("target", flatIndex(index, b.axes));
      const move = (block: number | ReturnType<typeof i32>, count: number): void => {
        const at = typeof block === "number" ? i32(block) : block;
        const outer = (s: LayoutStrides): number => (s.block === run ? s.outer : run * s.inner);
        k.for("c", 0, count, (c) => {
          const value = k.load(x, affine(source, [at, outer(a)], [c, a.inner]));
          k.store(y, affine(target, [at, outer(b)], [c, b.inner]), value);
        });
      };
      const whole = Math.floor(channels / run);
      k.for("block", 0, whole, (block) => move(block, run));
      if (channels % run !== 0) move(whole, channels % run);
    });
    return k.build();
  },
  samples: [
    {
      ins: [tensorType("f32", [2, 3, 5, 7])],
      attrs: { shape: [2, 3, 5, 7], from: "plain", to: "nchw" },
    },
    {
      ins: [tensorType("f32", [1, 12, 4, 5])],
      attrs: { shape: [1, 4, 5, 12], from: "nchw", to: "plain" },
    },
    {
      ins: [tensorType("f32", [1, 4, 5, 11])],
      attrs: { shape: [1, 4, 5, 11], from: "plain", to: "nchw8c" },
    },
    {
      ins: [tensorType("i8", [1, 2, 6, 8])],
      attrs: { shape: [1, 6, 13], from: "nchw8c", to: "plain" },
    },
    {
      ins: [tensorType("f32", [1, 16, 3, 3])],
      attrs: { shape: [1, 3, 3, 16], from: "nchw", to: "nchw8c" },
    },
    {
      ins: [tensorType("u8", [2, 2, 3, 3, 8])],
      attrs: { shape: [2, 3, 3, 10], from: "nchw8c", to: "nchw" },
    },
  ],
});
