/** @file What the pooling operators share: attributes, result shape, axis mapping, permutation. */
import type { TensorType } from "../../tensor/tensor.ts";
import { checkCount } from "./access.ts";
import {
  axisLetters,
  channelAxis,
  checkPerAxis,
  checkSpatialRank,
  type Grid,
  gridOf,
  permuteWindow,
  spatialOf,
  spatialShape,
  type Window,
  type WindowAttrs,
  windowCount,
  windowOf,
} from "./spatial.ts";

export interface PoolAttrs extends WindowAttrs {
  readonly kernel: readonly number[];
  readonly dilation?: readonly number[];
  /** Round the number of windows up; a window may still not start in the end padding. */
  readonly ceil?: boolean;
}

/** Shape of the result. */
export function poolShape(ins: readonly TensorType[], attrs: PoolAttrs): number[] {
  checkCount(ins, 1, 1);
  const x = ins[0]!;
  const { layout, kernel, stride, padBegin, padEnd } = attrs;
  const rank = checkSpatialRank(x);
  const dilation = attrs.dilation ?? kernel.map(() => 1);
  checkPerAxis("kernel", kernel, rank, 1);
  checkPerAxis("stride", stride, rank, 1);
  checkPerAxis("dilation", dilation, rank, 1);
  checkPerAxis("padBegin", padBegin, rank, 0);
  checkPerAxis("padEnd", padEnd, rank, 0);
  const spatial = spatialOf(layout, x.shape).map((size, i) =>
    windowCount(size, kernel[i]!, stride[i]!, dilation[i]!, padBegin[i]!, padEnd[i]!, attrs.ceil),
  );
  return spatialShape(layout, x.shape[0]!, x.shape[channelAxis(layout, rank + 2)]!, spatial);
}

/** Input and output walked by strides, and the window between them. */
export interface PoolPlan {
  readonly x: Grid;
  readonly y: Grid;
  readonly window: Window;
}

export const poolPlan = (x: TensorType, y: TensorType, attrs: PoolAttrs): PoolPlan => ({
  x: gridOf(attrs.layout, x.shape),
  y: gridOf(attrs.layout, y.shape),
  window: windowOf(attrs.kernel, attrs, attrs.dilation),
});

/** Batch and channels are carried. */
export const poolAxes = (ins: readonly TensorType[], attrs: PoolAttrs): string => {
  const rank = ins[0]!.shape.length - 2;
  const side = (letters: string): string =>
    axisLetters(attrs.layout, "n", "c", letters.slice(0, rank));
  return `${side("hwd")}->${side("xyz")}`;
};

export const permutePool = <A extends PoolAttrs>(attrs: A, perm: readonly number[]): A | null =>
  permuteWindow(attrs, perm, ["kernel", "stride", "padBegin", "padEnd", "dilation"]);

/** Calls `visit` for every output element: flat index, batch and channel offset of x, position. */
export function forEachPooled(
  { x, y }: PoolPlan,
  visit: (at: number, base: number, d: number, h: number, w: number) => void,
): void {
  for (let n = 0; n < y.batch; n++) {
    for (let c = 0; c < y.channels; c++) {
      const base = n * x.batchStride + c * x.channelStride;
      const out = n * y.batchStride + c * y.channelStride;
      for (let d = 0; d < y.size[0]; d++) {
        for (let h = 0; h < y.size[1]; h++) {
          for (let w = 0; w < y.size[2]; w++) {
            const at = out + d * y.stride[0] + h * y.stride[1] + w * y.stride[2];
            visit(at, base, d, h, w);
          }
        }
      }
    }
  }
}
