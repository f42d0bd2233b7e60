/** @file Scales and zero points from ranges and weights. */
import type { OutQuant } from "../../graph/op.ts";
import { DTYPES } from "../../tensor/dtype.ts";
import { quantizeTensor } from "../../tensor/quant.ts";
import { numberReader, type QuantParams, type Tensor, tensorOf } from "../../tensor/tensor.ts";
import { UserError } from "../../util/errors.ts";
import { clamp, roundHalfEven } from "../../util/math.ts";
import type { Range } from "./observer.ts";

/** Smallest scale used: keeps products of two scales normal f32 numbers. */
const MIN_SCALE = 1e-18;

/** Asymmetric 8-bit parameters of a range, widened to contain 0, which is represented exactly. */
export function activationParams(range: Range, dtype: "i8" | "u8" = "i8"): OutQuant {
  const lo = Math.min(0, range.min);
  const hi = Math.max(0, range.max);
  if (!Number.isFinite(hi - lo)) {
    throw new UserError("E_DATA", `a value ranges from ${lo} to ${hi}: it cannot be quantised`);
  }
  const { min, max } = DTYPES[dtype];
  const scale = hi === lo ? 1 : Math.fround(Math.max((hi - lo) / (max - min), MIN_SCALE));
  const zeroPoint = clamp(roundHalfEven(min - lo / scale), min, max);
  return { dtype, scale: [scale], zeroPoint: [zeroPoint], axis: null };
}

/** How a weight's scale is chosen: the largest magnitude, or least error over shrunk ranges. */
export type WeightRange = "max" | "mse";

const WEIGHT_MAX = 127;

/** Sum of |q - w|^2.4 of one channel for a scale (the measure of GPTQ's grid search). */
function channelError(read: (i: number) => number, from: number, n: number, scale: number): number {
  let sum = 0;
  for (let i = from; i < from + n; i++) {
    const w = read(i);
    const q = clamp(roundHalfEven(w / scale), -WEIGHT_MAX, WEIGHT_MAX);
    sum += Math.abs(q * scale - w) ** 2.4;
  }
  return sum;
}

function channelScale(
  read: (i: number) => number,
  from: number,
  n: number,
  method: WeightRange,
): number {
  let top = 0;
  for (let i = from; i < from + n; i++) top = Math.max(top, Math.abs(read(i)));
  const full = top / WEIGHT_MAX;
  if (method === "max" || full === 0) return full;
  let best = full;
  let error = channelError(read, from, n, full);
  for (let step = 1; step < 80; step++) {
    const scale = full * (1 - step / 100);
    const e = channelError(read, from, n, scale);
    if (e < error) [best, error] = [scale, e];
  }
  return best;
}

export interface QuantisedLayer {
  readonly weight: Tensor;
  readonly bias: Tensor | null;
}

/** Bias integers stay below this; leaves the accumulator room for the sum itself. */
const BIAS_LIMIT = 2 ** 30;
/** What the bias of a channel without weights becomes, so that it keeps 20 bits. */
const BIAS_ALONE = 2 ** 20;

/**
 * Symmetric i8 weights per index of axis 0 (range -127..127) and i32 bias with scale sx * sw. A channel's
 * scale is enlarged where its bias would not fit otherwise.
 */
export function quantizeLayer(
  weight: Tensor,
  bias: readonly number[] | null,
  inputScale: number,
  method: WeightRange = "max",
): QuantisedLayer {
  const channels = weight.type.shape[0]!;
  const n = weight.data.length / channels;
  const read = numberReader(weight);
  const scale = Array.from({ length: channels }, (_, c) => {
    const own = channelScale(read, c * n, n, method);
    const b = Math.abs(bias?.[c] ?? 0);
    const forBias = b / (inputScale * (own === 0 ? BIAS_ALONE : BIAS_LIMIT));
    const s = Math.max(own, forBias);
    return s === 0 ? 1 : Math.fround(Math.max(s, MIN_SCALE));
  });
  const quant: QuantParams = { scale, zeroPoint: scale.map(() => 0), axis: 0 };
  const stored = quantizeTensor(weight, "i8", quant);
  for (let i = 0; i < stored.data.length; i++) {
    if (stored.data[i] === -128) stored.data[i] = -WEIGHT_MAX;
  }
  return {
    weight: stored,
    bias:
      bias === null
        ? null
        : tensorOf(
            "i32",
            [channels],
            bias.map((b, c) => roundHalfEven(b / (inputScale * scale[c]!))),
          ),
  };
}
