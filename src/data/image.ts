/** @file Image decoding (PNG, JPEG) and resizing. Decoders: fast-png, jpeg-js. */
import { decode as decodePng } from "fast-png";
import jpeg from "jpeg-js";
import { UserError } from "../util/errors.ts";
import type { ImageData8 } from "./source.ts";

/** Larger images are refused: a small file can claim a huge one. */
const MAX_PIXELS = 64 * 1024 * 1024;

const isPng = (b: Uint8Array): boolean => b[0] === 0x89 && b[1] === 0x50 && b[2] === 0x4e;
const isJpeg = (b: Uint8Array): boolean => b[0] === 0xff && b[1] === 0xd8;

/** Decodes PNG or JPEG bytes. Throws UserError E_DATA naming `where`. */
export function decodeImage(bytes: Uint8Array, where: string): ImageData8 {
  try {
    if (isPng(bytes)) return fromPng(bytes);
    if (isJpeg(bytes)) {
      const options = { useTArray: true, formatAsRGBA: false, maxMemoryUsageInMB: 512 } as const;
      const { width, height, data } = jpeg.decode(bytes, options);
      return { kind: "image", width, height, channels: 3, data };
    }
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw new UserError("E_DATA", `cannot decode the image: ${reason}`, { where });
  }
  throw new UserError("E_DATA", "not a PNG or JPEG image", {
    where,
    hint: "convert it to PNG or JPEG",
  });
}

function fromPng(bytes: Uint8Array): ImageData8 {
  const header = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (header.getUint32(16) * header.getUint32(20) > MAX_PIXELS) {
    throw new UserError("E_LIMIT", `image larger than ${MAX_PIXELS} pixels`);
  }
  const png = decodePng(bytes);
  const { width, height } = png;
  const n = width * height;
  const data8 =
    png.depth === 16
      ? Uint8Array.from(png.data as Uint16Array, (v) => v >> 8)
      : Uint8Array.from(png.data as Uint8Array);
  if (png.palette !== undefined) {
    const rgb = new Uint8Array(3 * n);
    for (let i = 0; i < n; i++) {
      const entry = png.palette[data8[i]!] ?? [0, 0, 0];
      for (let c = 0; c < 3; c++) rgb[3 * i + c] = entry[c]!;
    }
    return { kind: "image", width, height, channels: 3, data: rgb };
  }
  if (png.channels === 2) {
    const grey = Uint8Array.from({ length: n }, (_, i) => data8[2 * i]!);
    return { kind: "image", width, height, channels: 1, data: grey };
  }
  return { kind: "image", width, height, channels: png.channels as 1 | 3 | 4, data: data8 };
}

/** Converts to 1 (luma, BT.601) or 3 channels; alpha is dropped. */
export function toChannels(image: ImageData8, channels: 1 | 3): ImageData8 {
  if (image.channels === channels) return image;
  const n = image.width * image.height;
  const data = new Uint8Array(n * channels);
  const from = image.channels;
  for (let i = 0; i < n; i++) {
    const r = image.data[i * from]!;
    const g = from === 1 ? r : image.data[i * from + 1]!;
    const b = from === 1 ? r : image.data[i * from + 2]!;
    if (channels === 1) data[i] = Math.round(0.299 * r + 0.587 * g + 0.114 * b);
    else data.set([r, g, b], 3 * i);
  }
  return { ...image, channels, data };
}

/** Bilinear resize with half-pixel centres, no antialiasing, rounded to 8 bits. */
export function resizeImage(image: ImageData8, height: number, width: number): ImageData8 {
  if (image.width === width && image.height === height) return image;
  const { channels } = image;
  const data = new Uint8Array(height * width * channels);
  const at = (out: number, size: number, outSize: number): readonly [number, number, number] => {
    const x = Math.min(Math.max(((out + 0.5) * size) / outSize - 0.5, 0), size - 1);
    const low = Math.floor(x);
    return [low, Math.min(low + 1, size - 1), x - low];
  };
  for (let y = 0; y < height; y++) {
    const [y0, y1, fy] = at(y, image.height, height);
    for (let x = 0; x < width; x++) {
      const [x0, x1, fx] = at(x, image.width, width);
      for (let c = 0; c < channels; c++) {
        const p = (row: number, column: number): number =>
          image.data[(row * image.width + column) * channels + c]!;
        const top = p(y0, x0) + (p(y0, x1) - p(y0, x0)) * fx;
        const bottom = p(y1, x0) + (p(y1, x1) - p(y1, x0)) * fx;
        data[(y * width + x) * channels + c] = Math.round(top + (bottom - top) * fy);
      }
    }
  }
  return { ...image, width, height, data };
}

/**
 * Resizes to the height with the aspect kept, and pads on the right with black up to the width (or
 * squeezes when the result is wider): how text-line models are fed.
 */
export function fitHeight(image: ImageData8, height: number, width: number): ImageData8 {
  const scaled = Math.min(width, Math.max(1, Math.ceil((image.width * height) / image.height)));
  const resized = resizeImage(image, height, scaled);
  if (scaled === width) return resized;
  const { channels } = image;
  const data = new Uint8Array(height * width * channels);
  for (let y = 0; y < height; y++) {
    const row = resized.data.subarray(y * scaled * channels, (y + 1) * scaled * channels);
    data.set(row, y * width * channels);
  }
  return { ...resized, width, data };
}
