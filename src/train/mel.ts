/** @file The numbers of mel filter banks, windows and cosine transforms. */

export type WindowName = "hann" | "hamming" | "none";

/** The periodic window of a length. */
export function windowOf(name: WindowName, length: number): number[] {
  const [a, b] = { hann: [0.5, 0.5], hamming: [0.54, 0.46], none: [1, 0] }[name] as [
    number,
    number,
  ];
  return Array.from({ length }, (_, i) => a - b * Math.cos((2 * Math.PI * i) / length));
}

/** Where the linear part of Slaney's scale (Auditory Toolbox, 1998) ends: 1 kHz, 200/3 Hz a mel. */
const LINEAR_END = 1000;
const LINEAR_STEP = 200 / 3;
const LOG_STEP = Math.log(6.4) / 27;

export type MelScale = "htk" | "slaney";

/** Hertz as mels. */
export function toMel(hz: number, scale: MelScale): number {
  if (scale === "htk") return 2595 * Math.log10(1 + hz / 700);
  if (hz < LINEAR_END) return hz / LINEAR_STEP;
  return LINEAR_END / LINEAR_STEP + Math.log(hz / LINEAR_END) / LOG_STEP;
}

/** Mels as hertz. */
export function fromMel(mel: number, scale: MelScale): number {
  if (scale === "htk") return 700 * (10 ** (mel / 2595) - 1);
  const above = mel - LINEAR_END / LINEAR_STEP;
  return above < 0 ? mel * LINEAR_STEP : LINEAR_END * Math.exp(LOG_STEP * above);
}

export interface MelBank {
  readonly sampleRate: number;
  readonly fft: number;
  readonly bands: number;
  readonly low: number;
  readonly high: number;
  readonly scale: MelScale;
  readonly norm: "peak" | "area";
}

/** Triangles between equally spaced mels, over the bins 0 to fft / 2: [bands][bins]. */
export function melFilters(bank: MelBank): readonly (readonly number[])[] {
  const { sampleRate, fft, bands, low, high, scale, norm } = bank;
  const [from, to] = [toMel(low, scale), toMel(high, scale)];
  const edge = (i: number): number => fromMel(from + ((to - from) * i) / (bands + 1), scale);
  return Array.from({ length: bands }, (_, b) => {
    const [left, peak, right] = [edge(b), edge(b + 1), edge(b + 2)];
    const height = norm === "area" ? 2 / (right - left) : 1;
    return Array.from({ length: Math.floor(fft / 2) + 1 }, (_v, k) => {
      const hz = (k * sampleRate) / fft;
      const slope = Math.min((hz - left) / (peak - left), (right - hz) / (right - peak));
      return height * Math.max(0, slope);
    });
  });
}

/** The first columns of the orthonormal DCT-II of n numbers: [n][columns], flat. */
export function dctMatrix(n: number, columns: number): number[] {
  return Array.from({ length: n * columns }, (_, i) => {
    const [row, k] = [Math.floor(i / columns), i % columns];
    const unit = Math.sqrt((k === 0 ? 1 : 2) / n);
    return unit * Math.cos((Math.PI * k * (row + 0.5)) / n);
  });
}
