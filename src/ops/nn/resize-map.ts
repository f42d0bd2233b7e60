/**
 * @file Which input coordinate each output position of a resize reads: x = (o * a + b) / c + d in
 * f64, for every coordinate mode of ONNX Resize and TensorFlow Lite's RESIZE_*; and the weights at
 * a coordinate.
 */

export type CoordinateMode =
  | "half_pixel"
  | "asymmetric"
  | "align_corners"
  | "pytorch_half_pixel"
  | "tf_crop_and_resize"
  | "half_pixel_symmetric";
export type NearestMode = "floor" | "ceil" | "round_prefer_floor" | "round_prefer_ceil";

/**
 * The affine map of one axis. Eval and kernels compute it in the same order, so they agree exactly.
 */
export interface AxisMap {
  readonly a: number;
  readonly b: number;
  readonly c: number;
  readonly d: number;
}

export const coordinate = (m: AxisMap, o: number): number => (o * m.a + m.b) / m.c + m.d;

const fixed = (d: number): AxisMap => ({ a: 0, b: 0, c: 1, d });

/** Integer products are divided last, so that coordinates that are whole numbers come out exact. */
export function axisMap(
  mode: CoordinateMode,
  size: number,
  out: number,
  given: number | undefined,
  roi: readonly [start: number, end: number],
): AxisMap {
  // A scale that is out / size but for its rounding means the sizes.
  const scale =
    given === undefined || Math.abs(given * size - out) <= 1e-6 * out ? undefined : given;
  const halfPixel = (shift: number): AxisMap =>
    scale === undefined
      ? { a: 2 * size, b: size, c: 2 * out, d: shift - 0.5 }
      : { a: 1, b: 0.5, c: scale, d: shift - 0.5 };
  switch (mode) {
    case "half_pixel":
      return halfPixel(0);
    case "pytorch_half_pixel":
      return out > 1 ? halfPixel(0) : fixed(0);
    case "half_pixel_symmetric":
      return halfPixel((size / 2) * (1 - out / (scale === undefined ? out : scale * size)));
    case "asymmetric":
      return scale === undefined ? { a: size, b: 0, c: out, d: 0 } : { a: 1, b: 0, c: scale, d: 0 };
    case "align_corners":
      return out === 1 ? fixed(0) : { a: size - 1, b: 0, c: out - 1, d: 0 };
    case "tf_crop_and_resize": {
      const [start, end] = roi;
      return out === 1
        ? fixed(0.5 * (start + end) * (size - 1))
        : { a: (end - start) * (size - 1), b: 0, c: out - 1, d: start * (size - 1) };
    }
  }
}

/** The input index nearest to a coordinate, not yet clamped. */
export function nearestIndex(mode: NearestMode, x: number): number {
  switch (mode) {
    case "floor":
      return Math.floor(x);
    case "ceil":
      return Math.ceil(x);
    case "round_prefer_floor":
      return Math.ceil(x - 0.5);
    case "round_prefer_ceil":
      return Math.floor(x + 0.5);
  }
}

/** Weights of the four neighbours floor(x) - 1 ... floor(x) + 2 at fraction r (Keys' kernel). */
export function cubicWeights(r: number, a: number): readonly [number, number, number, number] {
  const far = (t: number): number => ((a * t - 5 * a) * t + 8 * a) * t - 4 * a;
  const near = (t: number): number => ((a + 2) * t - (a + 3)) * t * t + 1;
  return [far(r + 1), near(r), near(1 - r), far(2 - r)];
}
