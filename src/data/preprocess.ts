/** @file From an example as stored to the tensor a model's input takes. Every setting is recorded in reports. */
import { DTYPES, type DType, isDType } from "../tensor/dtype.ts";
import { quantizeTensor } from "../tensor/quant.ts";
import {
  elementCount,
  numberReader,
  numberWriter,
  type Tensor,
  type TensorType,
  tensorType,
  zeros,
} from "../tensor/tensor.ts";
import { UserError } from "../util/errors.ts";
import { fitHeight, resizeImage, toChannels } from "./image.ts";
import type { Example, ImageData8 } from "./source.ts";

/** How values become what the model expects: x = ((value * scale) - mean[c]) / std[c]. */
export interface Preprocess {
  /** Images: "stretch" to the input size, or "fit-height" keeping the aspect and padding on the right. */
  readonly resize?: "stretch" | "fit-height";
  /** Images: order of the colour channels the model wants. Default "rgb". */
  readonly channelOrder?: "rgb" | "bgr";
  /** Images: where the channels are in the model's input. Default: by the shape, NHWC when both fit. */
  readonly layout?: "nchw" | "nhwc";
  /** Multiplies every value first; for example 1/255. Default 1. */
  readonly scale?: number;
  /** Per channel or one for all, after `scale`. Default 0. */
  readonly mean?: number | readonly number[];
  /** Per channel or one for all. Default 1. */
  readonly std?: number | readonly number[];
  /** Raw bytes: their element type. Default u8. */
  readonly dtype?: string;
  /** Raw bytes: real = (q - zeroPoint) * quantScale. Default: the plain number. */
  readonly quantScale?: number;
  readonly zeroPoint?: number;
}

const fail = (example: Example, message: string, hint?: string): never => {
  throw new UserError("E_DATA", message, {
    where: example.id,
    ...(hint === undefined ? {} : { hint }),
  });
};

/** The example as one item of `input` (whose first axis is the batch; it must be 1). */
export function preprocess(example: Example, input: TensorType, options: Preprocess): Tensor {
  const { data } = example;
  switch (data.kind) {
    case "image":
      return toInput(imageValues(data, input, options), input);
    case "audio":
      return toInput(fitLength(normalise(data.samples, 1, options), input), input);
    case "array":
      return toInput(arrayValues(example, data.tensor, input, options), input);
    case "bytes":
      return toInput(
        arrayValues(example, typedBytes(example, data.data, options), input, options),
        input,
      );
  }
}

/** The input's channel count and layout for images. */
function imageShape(
  input: TensorType,
  options: Preprocess,
): { readonly layout: "nchw" | "nhwc"; readonly h: number; readonly w: number; readonly c: 1 | 3 } {
  const shape = input.shape.length === 3 ? [1, ...input.shape] : input.shape;
  const [, a, b, c] = shape as [number, number, number, number];
  const isChannels = (n: number): n is 1 | 3 => n === 1 || n === 3;
  const layout = options.layout ?? (isChannels(c) ? "nhwc" : "nchw");
  const channels = layout === "nhwc" ? c : a;
  if (shape.length !== 4 || !isChannels(channels)) {
    throw new UserError("E_DATA", `the model's input [${input.shape}] does not take images`, {
      hint: "an image input has 1 or 3 channels; set layout in the configuration if it is ambiguous",
    });
  }
  return layout === "nhwc"
    ? { layout, h: a, w: b, c: channels }
    : { layout, h: b, w: c, c: channels };
}

function imageValues(image: ImageData8, input: TensorType, options: Preprocess): Float32Array {
  const { layout, h, w, c } = imageShape(input, options);
  const fit = options.resize === "fit-height" ? fitHeight : resizeImage;
  const { data } = fit(toChannels(image, c), h, w);
  const swap = options.channelOrder === "bgr" && c === 3;
  const ordered = new Float32Array(data.length);
  for (let i = 0; i < data.length; i++) {
    ordered[i] = data[swap ? i - (i % 3) + (2 - (i % 3)) : i]!;
  }
  const values = normalise(ordered, c, options);
  if (layout === "nhwc") return values;
  const out = new Float32Array(values.length);
  for (let p = 0; p < h * w; p++) {
    for (let k = 0; k < c; k++) out[k * h * w + p] = values[p * c + k]!;
  }
  return out;
}

/** Applies scale, mean and std to values whose innermost axis has `channels` entries. */
function normalise(values: Float32Array, channels: number, options: Preprocess): Float32Array {
  const { scale = 1, mean = 0, std = 1 } = options;
  if (scale === 1 && mean === 0 && std === 1) return values;
  const at = (v: number | readonly number[], c: number): number =>
    typeof v === "number" ? v : (v[c % v.length] ?? 0);
  return Float32Array.from(
    values,
    (v, i) => (v * scale - at(mean, i % channels)) / at(std, i % channels),
  );
}

/** Cuts or zero-pads a signal to the input's length. */
function fitLength(values: Float32Array, input: TensorType): Float32Array {
  const n = elementCount(input.shape);
  if (values.length === n) return values;
  const out = new Float32Array(n);
  out.set(values.subarray(0, n));
  return out;
}

function typedBytes(example: Example, bytes: Uint8Array, options: Preprocess): Tensor {
  const name = options.dtype ?? "u8";
  if (!isDType(name)) return fail(example, `unknown element type '${name}'`);
  const dtype: DType = name;
  const { sizeBytes } = DTYPES[dtype];
  if (bytes.length % sizeBytes !== 0) {
    return fail(example, `${bytes.length} bytes are not a whole number of ${dtype} values`);
  }
  const count = bytes.length / sizeBytes;
  const copy = new Uint8Array(bytes);
  return { type: tensorType(dtype, [count]), data: DTYPES[dtype].view(copy.buffer, 0, count) };
}

function arrayValues(
  example: Example,
  t: Tensor,
  input: TensorType,
  options: Preprocess,
): Float32Array {
  const n = elementCount(input.shape);
  if (t.data.length !== n) {
    const hint = "check the column, the input's shape, or bind it with --shape";
    return fail(
      example,
      `${t.data.length} values, but the input [${input.shape}] takes ${n}`,
      hint,
    );
  }
  const read = numberReader(t);
  const { quantScale = 1, zeroPoint = 0 } = options;
  const reals = Float32Array.from({ length: n }, (_, i) => (read(i) - zeroPoint) * quantScale);
  return normalise(reals, input.shape.at(-1) ?? 1, options);
}

/** Reals in the input's dtype: quantised inputs get their integers, integer inputs rounded numbers. */
function toInput(values: Float32Array, input: TensorType): Tensor {
  if (input.quant !== undefined) {
    const real = { type: tensorType("f32", input.shape), data: values };
    return quantizeTensor(real, input.dtype, input.quant);
  }
  if (input.dtype === "f32") return { type: input, data: values };
  const out = zeros(input);
  const write = numberWriter(out);
  const whole = DTYPES[input.dtype].kind !== "float";
  values.forEach((v, i) => write(i, whole ? Math.round(v) : v));
  return out;
}
