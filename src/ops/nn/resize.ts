/**
 * @file Resampling of the spatial axes: nearest, linear or cubic, separably. Source: ONNX Resize
 * (opsets 10 to 19, without antialiasing), TensorFlow Lite RESIZE_BILINEAR and
 * RESIZE_NEAREST_NEIGHBOR.
 */
import { defineOp } from "../../graph/op.ts";
import { isFloat } from "../../tensor/dtype.ts";
import {
  numberReader,
  numberWriter,
  type Tensor,
  type TensorType,
  tensorType,
  zeros,
} from "../../tensor/tensor.ts";
import { UserError } from "../../util/errors.ts";
import { clamp } from "../../util/math.ts";
import { checkCount } from "./access.ts";
import { axisMaps, type ResizeAttrs } from "./resize-attrs.ts";
import { lowerResize } from "./resize-lower.ts";
import { type AxisMap, coordinate, cubicWeights, nearestIndex } from "./resize-map.ts";
import { resizeSamples } from "./resize-samples.ts";
import {
  channelAxis,
  checkPerAxis,
  checkSpatialRank,
  gridOf,
  permuteLayout,
  spatialShape,
} from "./spatial.ts";

function inferResize(ins: readonly TensorType[], attrs: ResizeAttrs): readonly TensorType[] {
  checkCount(ins, 1, 1);
  const x = ins[0]!;
  const rank = checkSpatialRank(x);
  checkPerAxis("size", attrs.size, rank, 1);
  const { scales, roi, layout } = attrs;
  if (scales !== undefined && (scales.length !== rank || scales.some((s) => !(s > 0)))) {
    throw new UserError("E_MODEL", `scales must hold ${rank} positive numbers, got [${scales}]`);
  }
  if (attrs.coordinates === "tf_crop_and_resize" && roi?.length !== 2 * rank) {
    throw new UserError("E_MODEL", `roi must hold ${2 * rank} numbers, got [${roi ?? []}]`);
  }
  if (x.dtype === "bool" || (attrs.mode !== "nearest" && !isFloat(x.dtype))) {
    throw new UserError("E_DTYPE", `resize in mode ${attrs.mode} does not take ${x.dtype}`);
  }
  const axis = channelAxis(layout, rank + 2);
  if (x.shape.some((n, i) => n === 0 && i !== 0 && i !== axis)) {
    throw new UserError("E_SHAPE", `cannot resize what has no pixels: shape [${x.shape}]`);
  }
  const channels = x.shape[axis]!;
  return [tensorType(x.dtype, spatialShape(layout, x.shape[0]!, channels, attrs.size))];
}

/** Input positions and weights one output position reads along one axis. */
interface Taps {
  readonly index: readonly number[];
  readonly weight: readonly number[];
  readonly outside: boolean;
}

function tapsAt(attrs: ResizeAttrs, map: AxisMap, size: number, o: number): Taps {
  const x = coordinate(map, o);
  const outside = attrs.coordinates === "tf_crop_and_resize" && (x < 0 || x > size - 1);
  if (attrs.mode === "nearest") {
    const index = [clamp(nearestIndex(attrs.nearest, x), 0, size - 1)];
    return { index, weight: [1], outside };
  }
  const base = Math.floor(x);
  const r = x - base;
  const cubic = attrs.mode === "cubic";
  const raw = cubic ? [base - 1, base, base + 1, base + 2] : [base, base + 1];
  const full = cubic ? cubicWeights(r, attrs.cubicA ?? -0.75) : [1 - r, r];
  const exclude = attrs.excludeOutside === true;
  const kept = full.map((w, i) => (exclude && (raw[i]! < 0 || raw[i]! >= size) ? 0 : w));
  const total = exclude ? kept.reduce((a, b) => a + b, 0) : 1;
  return {
    index: raw.map((i) => clamp(i, 0, size - 1)),
    weight: kept.map((w) => w / total),
    outside,
  };
}

function evalResize(
  ins: readonly Tensor[],
  attrs: ResizeAttrs,
  outs: readonly TensorType[],
): readonly Tensor[] {
  const x = ins[0]!;
  const out = zeros(outs[0]!);
  const gx = gridOf(attrs.layout, x.type.shape);
  const gy = gridOf(attrs.layout, outs[0]!.shape);
  const maps = axisMaps(attrs, x.type.shape);
  const rank = attrs.size.length;
  const still = (o: number): Taps => ({ index: [o], weight: [1], outside: false });
  const taps = maps.map((map, axis) =>
    Array.from({ length: gy.size[axis]! }, (_, o) =>
      axis < 3 - rank ? still(o) : tapsAt(attrs, map, gx.size[axis]!, o),
    ),
  );
  const [read, write] = [numberReader(x), numberWriter(out)];
  const copy = attrs.mode === "nearest";
  const [from, to] = [x.data as Float64Array, out.data as Float64Array];
  const pixel = (base: number, at: number, t: readonly [Taps, Taps, Taps]): void => {
    const offset = (i: number, j: number, l: number): number =>
      base +
      t[0].index[i]! * gx.stride[0] +
      t[1].index[j]! * gx.stride[1] +
      t[2].index[l]! * gx.stride[2];
    if (t.some((axis) => axis.outside)) {
      write(at, attrs.extrapolation ?? 0);
    } else if (copy) {
      to[at] = from[offset(0, 0, 0)]!;
    } else {
      let sum = 0;
      t[0].weight.forEach((a, i) => {
        t[1].weight.forEach((b, j) => {
          t[2].weight.forEach((c, l) => {
            if (a * b * c !== 0) sum += a * b * c * read(offset(i, j, l));
          });
        });
      });
      write(at, sum);
    }
  };
  for (let n = 0; n < gy.batch; n++) {
    for (let c = 0; c < gy.channels; c++) {
      const base = n * gx.batchStride + c * gx.channelStride;
      const start = n * gy.batchStride + c * gy.channelStride;
      taps[0]!.forEach((td, d) => {
        taps[1]!.forEach((th, h) => {
          taps[2]!.forEach((tw, w) => {
            const at = start + d * gy.stride[0] + h * gy.stride[1] + w * gy.stride[2];
            pixel(base, at, [td, th, tw]);
          });
        });
      });
    }
  }
  return [out];
}

export const resize = defineOp<ResizeAttrs>({
  name: "resize",
  quant: "float",
  infer: inferResize,
  axes: (ins, { layout }) => {
    const rank = ins[0]!.shape.length - 2;
    const side = (letters: string): string => {
      const spatial = letters.slice(0, rank);
      return layout === "nchw" ? `nc${spatial}` : `n${spatial}c`;
    };
    return `${side("hwd")}->${side("xyz")}`;
  },
  eval: evalResize,
  lower: lowerResize,
  moves: ({ mode, coordinates }) => mode === "nearest" && coordinates !== "tf_crop_and_resize",
  permute: (attrs, perm) => {
    const p = permuteLayout(attrs.layout, perm);
    if (p === null) return null;
    const order = (list: readonly number[]): number[] => p.order.map((i) => list[i]!);
    const { scales, roi } = attrs;
    const rank = p.order.length;
    return {
      ...attrs,
      layout: p.layout,
      size: order(attrs.size),
      ...(scales === undefined ? {} : { scales: order(scales) }),
      ...(roi === undefined
        ? {}
        : { roi: [...order(roi.slice(0, rank)), ...order(roi.slice(rank))] }),
    };
  },
  samples: resizeSamples,
});
