/** @file ONNX Fourier transforms and other operators with constant matrices. */
import type { Value } from "../../../graph/graph.ts";
import { elementCount, tensorOf } from "../../../tensor/tensor.ts";
import {
  type Importer,
  type ImportTable,
  malformed,
  type OpContext,
  unsupported,
} from "../context.ts";
import { core } from "../core.ts";
import { num } from "../emit.ts";
import { dtypeOf } from "../tensors.ts";

const iota = (n: number): number[] => Array.from({ length: n }, (_, i) => i);

/** A constant [rows, columns] matrix in the operand's dtype. */
function matrix(
  c: OpContext,
  like: Value,
  rows: number,
  columns: number,
  at: (row: number, column: number) => number,
): Value {
  const values = iota(rows * columns).map((i) => at(Math.floor(i / columns), i % columns));
  return c.e.constant(tensorOf(c.e.dtype(like), [rows, columns], values));
}

interface Transform {
  /** Points of the transform. */
  readonly n: number;
  /** Frequencies computed. */
  readonly bins: number;
  readonly inverse: boolean;
}

/** The discrete Fourier transform along the last axis; shorter signals count as padded with zeros. */
function fourier(
  c: OpContext,
  re: Value,
  im: Value | null,
  { n, bins, inverse }: Transform,
): readonly [Value, Value] {
  const { e } = c;
  const last = e.rank(re) - 1;
  const length = Math.min(e.shape(re)[last]!, n);
  const scale = inverse ? 1 / n : 1;
  const angle = (t: number, k: number): number => (2 * Math.PI * ((t * k) % n)) / n;
  const cos = matrix(c, re, length, bins, (t, k) => Math.cos(angle(t, k)) * scale);
  const sign = inverse ? scale : -scale;
  const sin = matrix(c, re, length, bins, (t, k) => Math.sin(angle(t, k)) * sign);
  const x = e.sliceAxis(re, last, 0, length);
  if (im === null) return [e.matmul(x, cos), e.matmul(x, sin)];
  const y = e.sliceAxis(im, last, 0, length);
  return [e.sub(e.matmul(x, cos), e.matmul(y, sin)), e.add(e.matmul(x, sin), e.matmul(y, cos))];
}

/** The real signal of n points whose first frequencies are given. */
function realInverse(c: OpContext, re: Value, im: Value, n: number): Value {
  const { e } = c;
  const last = e.rank(re) - 1;
  const bins = Math.min(e.shape(re)[last]!, Math.floor(n / 2) + 1);
  const share = (k: number): number => (k === 0 || 2 * k === n ? 1 : 2) / n;
  const angle = (k: number, t: number): number => (2 * Math.PI * ((t * k) % n)) / n;
  const cos = matrix(c, re, bins, n, (k, t) => Math.cos(angle(k, t)) * share(k));
  const sin = matrix(c, re, bins, n, (k, t) => Math.sin(angle(k, t)) * share(k));
  const part = (v: Value): Value => e.sliceAxis(v, last, 0, bins);
  return e.sub(e.matmul(part(re), cos), e.matmul(part(im), sin));
}

/** Real and imaginary part of [..., 1 or 2]; the imaginary part is null when absent. */
function parts(c: OpContext, x: Value): readonly [Value, Value | null] {
  const { e } = c;
  const dims = e.shape(x);
  const last = dims.length - 1;
  const part = (i: number): Value => e.reshape(e.sliceAxis(x, last, i, i + 1), dims.slice(0, -1));
  if (dims[last] !== 1 && dims[last] !== 2)
    throw malformed(`the last axis of [${dims}] is not 1 or 2`);
  return [part(0), dims[last] === 2 ? part(1) : null];
}

const complex = (c: OpContext, re: Value, im: Value): Value => {
  const axis = c.e.rank(re);
  return c.e.concat([c.e.unsqueeze(re, [axis]), c.e.unsqueeze(im, [axis])], axis);
};

/** Exchanges an axis with the last one. */
function toLast(c: OpContext, x: Value, axis: number): Value {
  const perm = iota(c.e.rank(x));
  perm[axis] = perm.length - 1;
  perm[perm.length - 1] = axis;
  return c.e.transpose(x, perm);
}

const dft: Importer = (c) => {
  const { e } = c;
  const x = c.in(0);
  const dims = e.shape(x);
  const axis = c.axis(c.opset < 20 ? c.attrs.int("axis", 1) : c.number(2, -2), dims.length);
  const inverse = c.attrs.flag("inverse", false);
  const onesided = c.attrs.flag("onesided", false);
  const [real, imaginary] = parts(c, x);
  const re = toLast(c, real, axis);
  const im = imaginary === null ? null : toLast(c, imaginary, axis);
  if (inverse && onesided) {
    const n = c.number(1, 2 * (dims[axis]! - 1));
    const zeros = im ?? e.mul(re, num(0));
    const y = toLast(c, realInverse(c, re, zeros, n), axis);
    return e.unsqueeze(y, [dims.length - 1]);
  }
  const n = c.number(1, dims[axis]!);
  const bins = onesided ? Math.floor(n / 2) + 1 : n;
  const [a, b] = fourier(c, re, im, { n, bins, inverse });
  return complex(c, toLast(c, a, axis), toLast(c, b, axis));
};

const stft: Importer = (c) => {
  const { e } = c;
  const x = c.in(0);
  const step = c.number(1, 1);
  const window = c.optional(2);
  const n = c.number(3, window === undefined ? 0 : e.shape(window)[0]!);
  if (!(n > 0) || !(step > 0)) throw malformed("frame_length or frame_step is missing");
  const [, length] = e.shape(x);
  const frames = Math.floor((length! - n) / step) + 1;
  const at = iota(frames * n).map((i) => Math.floor(i / n) * step + (i % n));
  const indices = e.reshape(e.vector("i64", at), [frames, n]);
  const framed = (v: Value): Value => {
    const cut = e.apply(core.gather, [v, indices], { axis: 1 });
    return window === undefined ? cut : e.mul(cut, window);
  };
  const [re, im] = parts(c, x);
  const bins = c.attrs.flag("onesided", true) ? Math.floor(n / 2) + 1 : n;
  const [a, b] = fourier(c, framed(re), im === null ? null : framed(im), {
    n,
    bins,
    inverse: false,
  });
  return complex(c, a, b);
};

/** Triangular filters on the mel scale, [dft bins, mel bins]. */
const melWeights: Importer = (c) => {
  const [bins, length, rate, low, high] = iota(5).map((i) => c.number(i, 0)) as [
    number,
    number,
    number,
    number,
    number,
  ];
  const mel = (hertz: number): number => 2595 * Math.log10(1 + hertz / 700);
  const step = (mel(high) - mel(low)) / (bins + 2);
  const edges = iota(bins + 2).map((i) => {
    const hertz = 700 * (10 ** ((i * step + mel(low)) / 2595) - 1);
    return Math.floor(((length + 1) * hertz) / rate);
  });
  const rows = Math.floor(length / 2) + 1;
  const dtype = dtypeOf(c.attrs.int("output_datatype", 1), "output_datatype");
  const values = new Array<number>(rows * bins).fill(0);
  for (let i = 0; i < bins; i++) {
    const [left, centre, right] = [edges[i]!, edges[i + 1]!, edges[i + 2]!];
    if (left === centre) values[centre * bins + i] = 1;
    else for (let j = left; j <= centre; j++) values[j * bins + i] = (j - left) / (centre - left);
    for (let j = centre; j < right; j++) values[j * bins + i] = (right - j) / (right - centre);
  }
  return c.e.constant(tensorOf(dtype, [rows, bins], values));
};

/** Sampling positions in [-1, 1] of every output pixel under an affine map. */
const affineGrid: Importer = (c) => {
  const { e } = c;
  const theta = c.in(0);
  const spatial = (c.numbers(1) ?? []).slice(2);
  const rank = spatial.length;
  const corners = c.attrs.flag("align_corners", false);
  const position = (i: number, n: number): number => {
    if (corners) return n === 1 ? 0 : -1 + (2 * i) / (n - 1);
    return (2 * i + 1) / n - 1;
  };
  const count = elementCount(spatial);
  const base = matrix(c, theta, count, rank + 1, (flat, k) => {
    if (k === rank) return 1;
    const d = rank - 1 - k;
    const inner = elementCount(spatial.slice(d + 1));
    return position(Math.floor(flat / inner) % spatial[d]!, spatial[d]!);
  });
  const grid = e.matmul(base, e.swapLast(theta));
  return e.reshape(grid, [e.shape(theta)[0]!, ...spatial, rank]);
};

/** Adds columns of blocks into an image: where blocks overlap, they sum. */
const col2im: Importer = (c) => {
  const { e } = c;
  const x = c.in(0);
  const image = c.numbers(1) ?? [];
  const block = c.numbers(2) ?? [];
  const n = image.length;
  const stride = c.attrs.ints("strides") ?? image.map(() => 1);
  const dilation = c.attrs.ints("dilations") ?? image.map(() => 1);
  const pads = c.attrs.ints("pads") ?? new Array<number>(2 * n).fill(0);
  const padded = image.map((d, i) => d + pads[i]! + pads[i + n]!);
  const places = padded.map(
    (d, i) => Math.floor((d - (block[i]! - 1) * dilation[i]! - 1) / stride[i]!) + 1,
  );
  const digit = (flat: number, dims: readonly number[], i: number): number =>
    Math.floor(flat / elementCount(dims.slice(i + 1))) % dims[i]!;
  const [inBlock, count] = [elementCount(block), elementCount(places)];
  const at = iota(inBlock * count).map((flat) => {
    const [b, p] = [Math.floor(flat / count), flat % count];
    return padded.reduce((sum, d, i) => {
      const index = digit(p, places, i) * stride[i]! + digit(b, block, i) * dilation[i]!;
      return sum * d + index;
    }, 0);
  });
  const [batch, width] = e.shape(x);
  const channels = width! / inBlock;
  const lead = [batch!, channels];
  const updates = e.reshape(x, [...lead, inBlock * count]);
  const zeros = e.expand(e.scalar(e.dtype(x), 0), [...lead, elementCount(padded)]);
  const indices = e.expand(e.vector("i64", at), [...lead, at.length]);
  const sums = e.apply(core.scatter_elements, [zeros, indices, updates], {
    axis: 2,
    reduction: "add",
  });
  let y = e.reshape(sums, [...lead, ...padded]);
  image.forEach((d, i) => {
    y = e.sliceAxis(y, i + 2, pads[i]!, pads[i]! + d);
  });
  return y;
};

/** Reinterprets bits: integers of one width; other types when constant. */
const bitCast: Importer = (c) => {
  const { e } = c;
  const x = c.in(0);
  const to = dtypeOf(c.attrs.int("to", 0), "attribute 'to'");
  const same =
    tensorOf(to, [], [0]).data.byteLength === tensorOf(e.dtype(x), [], [0]).data.byteLength;
  if (!same) throw unsupported("reinterpreting elements as a type of another width");
  if (!e.isReal(x) && to !== "bool" && e.isReal(e.scalar(to, 0)) === false) return e.cast(x, to);
  const { data, type } = c.tensor(0);
  const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength).slice();
  const out = tensorOf(to, type.shape, new Array<number>(data.length).fill(0));
  new Uint8Array(out.data.buffer).set(bytes);
  return e.constant(out);
};

export const signalImports: ImportTable = {
  DFT: dft,
  STFT: stft,
  MelWeightMatrix: melWeights,
  AffineGrid: affineGrid,
  Col2Im: col2im,
  BitCast: bitCast,
};
