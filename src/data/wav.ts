/** @file WAV audio: PCM of 8, 16, 24 or 32 bits and 32-bit float; channels are averaged. */
import { UserError } from "../util/errors.ts";
import type { AudioData } from "./source.ts";

/** Decodes a RIFF/WAVE file. Throws UserError E_DATA naming `where`. */
export function decodeWav(bytes: Uint8Array, where: string): AudioData {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const tag = (at: number): string =>
    at + 4 <= bytes.length ? String.fromCharCode(...bytes.subarray(at, at + 4)) : "";
  if (tag(0) !== "RIFF" || tag(8) !== "WAVE") {
    throw new UserError("E_DATA", "not a WAV file", { where });
  }
  let format: { code: number; channels: number; rate: number; bits: number } | null = null;
  for (let at = 12; at + 8 <= bytes.length; ) {
    const size = view.getUint32(at + 4, true);
    const body = at + 8;
    if (tag(at) === "fmt " && size >= 16 && body + 16 <= bytes.length) {
      const extensible = view.getUint16(body, true) === 0xfffe && body + 26 <= bytes.length;
      format = {
        code: view.getUint16(extensible ? body + 24 : body, true),
        channels: view.getUint16(body + 2, true),
        rate: view.getUint32(body + 4, true),
        bits: view.getUint16(body + 14, true),
      };
    }
    if (tag(at) === "data" && format !== null) {
      const end = Math.min(body + size, bytes.length);
      return {
        kind: "audio",
        sampleRate: format.rate,
        samples: samplesOf(view, body, end, format, where),
      };
    }
    at = body + size + (size & 1);
  }
  throw new UserError("E_DATA", "the WAV file has no sound data", { where });
}

function samplesOf(
  view: DataView,
  start: number,
  end: number,
  format: { readonly code: number; readonly channels: number; readonly bits: number },
  where: string,
): Float32Array {
  const { code, channels, bits } = format;
  const readers: Readonly<Record<string, (at: number) => number>> = {
    "1:8": (at) => (view.getUint8(at) - 128) / 128,
    "1:16": (at) => view.getInt16(at, true) / 32768,
    "1:24": (at) => (view.getUint16(at, true) | (view.getInt8(at + 2) << 16)) / 8388608,
    "1:32": (at) => view.getInt32(at, true) / 2147483648,
    "3:32": (at) => view.getFloat32(at, true),
  };
  const read = readers[`${code}:${bits}`];
  if (read === undefined || channels === 0) {
    throw new UserError("E_DATA", `WAV encoding ${code} with ${bits} bits is not supported`, {
      where,
      hint: "convert it to 16-bit PCM",
    });
  }
  const step = bits / 8;
  const frames = Math.floor((end - start) / (step * channels));
  return Float32Array.from({ length: frames }, (_, i) => {
    let sum = 0;
    for (let c = 0; c < channels; c++) sum += read(start + (i * channels + c) * step);
    return sum / channels;
  });
}
