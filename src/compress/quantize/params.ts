/** @file Scales and zero points from ranges and weights. */
import type { OutQuant } from "../../graph/op.ts";
import { MIN_SCALE } from "../../ops/quant/quant-params.ts";
import { DTYPES } from "../../tensor/dtype.ts";
import { quantizeTensor } from "../../tensor/quant.ts";
import { numberReader, type QuantParams, type Tensor, tensorOf } from "../../tensor/tensor.ts";
import { UserError } from "../../util/errors.ts";
import { clamp, roundHalfEven } from "../../util/math.ts";
import type { Range } from "./observer.ts";

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

/** How the weights of a layer become integers. */
export interface WeightOptions {
  /** Default "max". */
  readonly range?: WeightRange;
  /** 2 to 8, default 8: integers between plus and minus 2^(bits - 1) - 1. */
  readonly bits?: number;
}

/** A number of bits that integers can be trained or stored in. */
export function checkBits(bits: number, what: string): void {
  if (Number.isInteger(bits) && bits >= 2 && bits <= 8) return;
  throw new UserError("E_ARGUMENT", `${what}: ${bits} bits, expected a whole number from 2 to 8`);
}

/** The largest integer of symmetric weights. */
export const weightSteps = (bits: number): number => 2 ** (bits - 1) - 1;

/** Weights of one channel, read one by one. */
interface Channel {
  readonly read: (i: number) => number;
  readonly from: number;
  readonly count: number;
}

/** Sum of |q - w|^2.4 of one channel for a scale (the measure of GPTQ's grid search). */
function channelError({ read, from, count }: Channel, steps: number, scale: number): number {
  let sum = 0;
  for (let i = from; i < from + count; i++) {
    const w = read(i);
    const q = clamp(roundHalfEven(w / scale), -steps, steps);
    sum += Math.abs(q * scale - w) ** 2.4;
  }
  return sum;
}

function channelScale(channel: Channel, steps: number, method: WeightRange): number {
  const { read, from, count } = channel;
  let top = 0;
  for (let i = from; i < from + count; i++) top = Math.max(top, Math.abs(read(i)));
  const full = top / steps;
  if (method === "max" || full === 0) return full;
  let best = full;
  let error = channelError(channel, steps, full);
  for (let step = 1; step < 80; step++) {
    const scale = full * (1 - step / 100);
    const e = channelError(channel, steps, scale);
    if (e < error) [best, error] = [scale, e];
  }
  return best;
}

export interface QuantisedLayer {
  readonly weight: Tensor;
  readonly bias: Tensor | null;
}

/** Bias integers stay below this; leaves the accumulator room for the sum itself. */
export const BIAS_LIMIT = 2 ** 30;
/** What the bias of a channel without weights becomes, so that it keeps 20 bits. */
const BIAS_ALONE = 2 ** 20;

/** The integers of weights: a scale for each index of axis 0, and the range within i8. */
export interface WeightGrid {
  readonly scale: readonly number[];
  readonly min: number;
  readonly max: number;
}

/**
 * i8 weights on a grid and i32 bias with scale sx * sw. A channel's scale is enlarged where its bias would not
 * fit otherwise.
 */
export function quantizeLayerTo(
  weight: Tensor,
  bias: readonly number[] | null,
  inputScale: number,
  grid: WeightGrid,
): QuantisedLayer {
  const channels = weight.type.shape[0]!;
  const scale = grid.scale.map((own, c) => {
    const b = Math.abs(bias?.[c] ?? 0);
    const forBias = b / (inputScale * (own === 0 ? BIAS_ALONE : BIAS_LIMIT));
    const s = Math.max(own, forBias);
    return s === 0 ? 1 : Math.fround(Math.max(s, MIN_SCALE));
  });
  const quant: QuantParams = { scale, zeroPoint: scale.map(() => 0), axis: 0 };
  const stored = quantizeTensor(weight, "i8", quant);
  for (let i = 0; i < stored.data.length; i++) {
    stored.data[i] = clamp(Number(stored.data[i]), grid.min, grid.max);
  }
  const integers = (b: number, c: number): number => roundHalfEven(b / (inputScale * scale[c]!));
  return {
    weight: stored,
    bias: bias === null ? null : tensorOf("i32", [channels], bias.map(integers)),
  };
}

/** Symmetric i8 weights per index of axis 0 (8 bits: -127..127) and i32 bias with scale sx * sw. */
export function quantizeLayer(
  weight: Tensor,
  bias: readonly number[] | null,
  inputScale: number,
  { range = "max", bits = 8 }: WeightOptions = {},
): QuantisedLayer {
  checkBits(bits, "weights");
  const channels = weight.type.shape[0]!;
  const count = weight.data.length / channels;
  const read = numberReader(weight);
  const steps = weightSteps(bits);
  const scale = Array.from({ length: channels }, (_, c) =>
    channelScale({ read, from: c * count, count }, steps, range),
  );
  return quantizeLayerTo(weight, bias, inputScale, { scale, min: -steps, max: steps });
}
