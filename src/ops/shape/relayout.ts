/**
 * @file relayout: one physical layout of a value to another (src/tensor/layout.ts). Shapes are those of the
 * memory; `shape` is the value's own. Put in by primitive selection, never by an importer.
 */

import { defineOp } from "../../graph/op.ts";
import {
  CHANNEL_BLOCK,
  hasLayouts,
  LAYOUTS,
  type Layout,
  physicalShape,
} from "../../tensor/layout.ts";
import { forEachIndex, offsetOf, strides } from "../../tensor/shape.ts";
import { type Shape, sameShape, tensorType, zeros } from "../../tensor/tensor.ts";
import { ceilDiv, product } from "../../util/math.ts";
import { expectInputs, mover, refuse } from "./check.ts";
import { type CopyAxis, emitFill, emitStrided, movementKernel, nestParallel } from "./strided.ts";

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

/** Element strides with all pixels of an image as one axis, the channel as block and channel within it. */
interface FlatStrides {
  readonly image: number;
  readonly pixel: number;
  readonly block: number;
  readonly channel: number;
}

function flatStrides(layout: Layout, channels: number, pixels: number): FlatStrides {
  const block = CHANNEL_BLOCK;
  if (layout === "plain") return { image: pixels * channels, pixel: channels, block, channel: 1 };
  if (layout === "nchw") {
    return { image: pixels * channels, pixel: 1, block: block * pixels, channel: pixels };
  }
  const image = ceilDiv(channels, block) * block * pixels;
  return { image, pixel: block, block: block * pixels, channel: 1 };
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
  lower(types, { shape, from, to }, outTypes) {
    const { k, ins, outs } = movementKernel("relayout", types, outTypes);
    const channels = shape.at(-1)!;
    const pixels = product(shape.slice(1, -1));
    const [a, b] = [flatStrides(from, channels, pixels), flatStrides(to, channels, pixels)];
    const blocked = from === "nchw8c" || to === "nchw8c";
    const whole = blocked ? Math.floor(channels / CHANNEL_BLOCK) : 0;
    const tail = channels - whole * CHANNEL_BLOCK;
    const axis = (n: number, key: keyof FlatStrides): CopyAxis => ({ n, dst: b[key], src: a[key] });
    const move = (block: number, axes: readonly CopyAxis[]): void => {
      const box = [axis(shape[0]!, "image"), axis(pixels, "pixel"), ...axes];
      box.sort((p, q) => q.dst - p.dst);
      emitStrided(k, outs[0]!, block * b.block, ins[0]!, block * a.block, box);
    };
    if (whole > 0) move(0, [axis(whole, "block"), axis(CHANNEL_BLOCK, "channel")]);
    if (tail === 0) return k.build();
    if (to === "nchw8c") {
      const slots = [axis(shape[0]!, "image"), axis(pixels, "pixel")];
      nestParallel(k, slots, whole * b.block + tail, 0, (d) =>
        emitFill(k, outs[0]!, d, 0, CHANNEL_BLOCK - tail),
      );
    }
    move(whole, [axis(tail, "channel")]);
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
