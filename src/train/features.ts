/**
 * @file Features of sound as graph, so that they are exported with the model: frames, windows and the discrete
 * Fourier transform are one strided convolution, the filter bank and the cosine transform products with constants.
 * Frame t holds the samples from t * hop on; there is no padding. Constants are named `features.*`, and are never
 * trained.
 */
import { Calc, num } from "../autodiff/calc.ts";
import { FIXED_PREFIX } from "../graph/fixed.ts";
import type { GraphBuilder, Value } from "../graph/graph.ts";
import { log } from "../ops/elementwise/log.ts";
import { conv } from "../ops/nn/conv.ts";
import { matmul } from "../ops/nn/matmul.ts";
import { reshape } from "../ops/shape/reshape.ts";
import { tensorType } from "../tensor/tensor.ts";
import { UserError } from "../util/errors.ts";
import { dctMatrix, melFilters, type WindowName, windowOf } from "./mel.ts";

export interface LogMelOptions {
  /** Samples a second. */
  readonly sampleRate: number;
  /** Samples of a frame. */
  readonly frame: number;
  /** Samples from one frame to the next. */
  readonly hop: number;
  /** Points of the transform, at least `frame`; frames are followed by zeros. Default: the next power of two. */
  readonly fft?: number;
  /** Default "hann". Both windows are periodic. */
  readonly window?: WindowName;
  /** Bands of the filter bank. */
  readonly bands: number;
  /** Lower and upper edge of the bank, in Hz; default 0 and half the sample rate. */
  readonly low?: number;
  readonly high?: number;
  /** "htk": mel = 2595 log10(1 + f / 700); "slaney": linear below 1 kHz. Default "htk". */
  readonly scale?: "htk" | "slaney";
  /** "peak": triangles of height 1; "area": each divided by half its width in Hz (librosa). Default "peak". */
  readonly norm?: "peak" | "area";
  /** Added to energies before the natural logarithm; default 1e-6. */
  readonly offset?: number;
}

export interface MfccOptions extends LogMelOptions {
  /** Cosine coefficients kept, from the first. */
  readonly coefficients: number;
}

/** Settings with nothing left open. */
type Settings = Required<LogMelOptions>;

function settled(options: LogMelOptions): Settings {
  const s = {
    fft: 2 ** Math.ceil(Math.log2(options.frame)),
    window: "hann",
    low: 0,
    high: options.sampleRate / 2,
    scale: "htk",
    norm: "peak",
    offset: 1e-6,
    ...options,
  } as const;
  const problems = [
    [Number.isInteger(s.frame) && s.frame > 0, `frame ${s.frame} is no number of samples`],
    [Number.isInteger(s.hop) && s.hop > 0, `hop ${s.hop} is no number of samples`],
    [Number.isInteger(s.fft) && s.fft >= s.frame, `fft ${s.fft} is shorter than the frame`],
    [Number.isInteger(s.bands) && s.bands > 0, `${s.bands} bands`],
    [s.low >= 0 && s.low < s.high, `low ${s.low} Hz is not below high ${s.high} Hz`],
    [s.high <= s.sampleRate / 2, `high ${s.high} Hz is above half the sample rate`],
    [s.offset >= 0, `offset ${s.offset} is negative`],
  ] as const;
  const wrong = problems.filter(([ok]) => !ok).map(([, text]) => text);
  if (wrong.length > 0) throw new UserError("E_ARGUMENT", `features: ${wrong.join("; ")}`);
  return s;
}

/** Frames of that many samples. Throws UserError when there is none. */
export function frameCount(samples: number, { frame, hop }: Pick<LogMelOptions, "frame" | "hop">) {
  const count = Math.floor((samples - frame) / hop) + 1;
  if (count >= 1) return count;
  throw new UserError("E_SHAPE", `${samples} samples are shorter than a frame of ${frame}`, {
    hint: "give longer sounds or a shorter frame",
  });
}

/** The logarithm of the energies of mel bands: x [batch, samples] gives [batch, frames, bands]. */
export function logMel(g: GraphBuilder, x: Value, options: LogMelOptions): Value {
  const s = settled(options);
  const { shape } = g.typeOf(x);
  const [batch, samples] = shape as [number, number];
  if (shape.length !== 2) {
    throw new UserError("E_SHAPE", `features take sounds [batch, samples], got [${shape}]`);
  }
  frameCount(samples, s);
  const bank = melFilters(s);
  // Bins that no band looks at are not computed.
  const bins = bank[0]!.flatMap((_, k) => (bank.some((band) => band[k] !== 0) ? [k] : []));
  const signal = g.apply(reshape, [x], { shape: [batch, samples, 1] }, "features.signal");
  const attrs = {
    layout: "nhwc" as const,
    stride: [s.hop],
    padBegin: [0],
    padEnd: [0],
    dilation: [1],
    groups: 1,
  };
  const dft = constant(g, "dft", [2 * bins.length, s.frame, 1], dftRows(s, bins));
  const spectrum = g.apply(conv, [signal, dft], attrs, "features.spectrum");
  const c = new Calc(g);
  // Real and imaginary parts go to the same band, so that no sum of both is needed.
  const both = [...bins, ...bins].flatMap((k) => bank.map((band) => band[k]!));
  const filters = constant(g, "mel", [2 * bins.length, s.bands], both);
  const energy = g.apply(matmul, [c.mul(spectrum, spectrum), filters], {}, "features.energy");
  return g.apply(log, [c.add(energy, num(s.offset))], {}, "features.log");
}

/** Mel-frequency cepstral coefficients: the orthonormal DCT-II of logMel: [batch, frames, coefficients]. */
export function mfcc(g: GraphBuilder, x: Value, options: MfccOptions): Value {
  const { coefficients, bands } = options;
  if (!Number.isInteger(coefficients) || coefficients < 1 || coefficients > bands) {
    throw new UserError("E_ARGUMENT", `${coefficients} coefficients of ${bands} bands`, {
      hint: "there are at most as many coefficients as bands",
    });
  }
  const y = logMel(g, x, options);
  const dct = constant(g, "dct", [bands, coefficients], dctMatrix(bands, coefficients));
  return g.apply(matmul, [y, dct], {}, "features.cepstrum");
}

function constant(
  g: GraphBuilder,
  name: string,
  shape: readonly number[],
  values: readonly number[],
): Value {
  const type = tensorType("f32", shape);
  return g.constant({ type, data: Float32Array.from(values) }, `${FIXED_PREFIX}${name}`);
}

/** The windowed cosines, then sines, of the bins: rows of `frame` numbers. */
function dftRows({ frame, fft, window }: Settings, bins: readonly number[]): number[] {
  const w = windowOf(window, frame);
  const rows = (f: (angle: number) => number): number[] =>
    bins.flatMap((k) => w.map((v, i) => v * f((2 * Math.PI * ((k * i) % fft)) / fft)));
  return [...rows(Math.cos), ...rows(Math.sin)];
}
