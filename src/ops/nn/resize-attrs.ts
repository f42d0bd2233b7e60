/** @file Attributes of resize and the coordinate maps they give. */
import type { OutQuant } from "../../graph/op.ts";
import { type AxisMap, axisMap, type CoordinateMode, type NearestMode } from "./resize-map.ts";
import { type Layout, spatialOf } from "./spatial.ts";

export interface ResizeAttrs {
  readonly layout: Layout;
  /** Output size of each spatial axis. */
  readonly size: readonly number[];
  readonly mode: "nearest" | "linear" | "cubic";
  readonly coordinates: CoordinateMode;
  readonly nearest: NearestMode;
  /** The cubic kernel's coefficient; default -0.75. */
  readonly cubicA?: number;
  /** Neighbours outside get weight 0 and the others are scaled up; default: the border repeats. */
  readonly excludeOutside?: boolean;
  /** Output over input size per spatial axis where the coordinate map is not to use the sizes. */
  readonly scales?: readonly number[];
  /** For tf_crop_and_resize: starts of the spatial axes, then ends, as fractions of the input. */
  readonly roi?: readonly number[];
  /** For tf_crop_and_resize: the value outside the input; default 0. */
  readonly extrapolation?: number;
  readonly out?: OutQuant;
}

/** The coordinate maps of the three axes; axes the tensor lacks map onto themselves. */
export function axisMaps(attrs: ResizeAttrs, shape: readonly number[]): readonly AxisMap[] {
  const sizes = spatialOf(attrs.layout, shape);
  const rank = sizes.length;
  const maps = sizes.map((size, i) => {
    const roi = [attrs.roi?.[i] ?? 0, attrs.roi?.[i + rank] ?? 1] as const;
    return axisMap(attrs.coordinates, size, attrs.size[i]!, attrs.scales?.[i], roi);
  });
  return [...new Array<AxisMap>(3 - rank).fill({ a: 1, b: 0, c: 1, d: 0 }), ...maps];
}
