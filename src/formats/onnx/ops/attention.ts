/** @file ONNX attention and its relatives, decomposed into core operators. */
import type { Value } from "../../../graph/graph.ts";
import { type DType, isFloat } from "../../../tensor/dtype.ts";
import { toNumbers } from "../../../tensor/tensor.ts";
import {
  type Importer,
  type ImportTable,
  malformed,
  type OpContext,
  unsupported,
} from "../context.ts";
import { core } from "../core.ts";
import { type Emitter, num } from "../emit.ts";
import { dtypeOf } from "../tensors.ts";

/** [batch, length, heads * size] as [batch, heads, length, size]. */
function splitHeads(e: Emitter, x: Value, heads: number): Value {
  const [batch, length, width] = e.shape(x);
  const wide = e.reshape(x, [batch!, length!, heads, width! / heads]);
  return e.transpose(wide, [0, 2, 1, 3]);
}

/** [batch, heads, length, size] as [batch, length, heads * size]. */
function mergeHeads(e: Emitter, x: Value): Value {
  const [batch, heads, length, size] = e.shape(x);
  return e.reshape(e.transpose(x, [0, 2, 1, 3]), [batch!, length!, heads! * size!]);
}

/** Every head repeated so that there are `heads` of them: [h0, h0, h1, h1, …]. */
function repeatHeads(e: Emitter, x: Value, heads: number): Value {
  const [batch, own, ...rest] = e.shape(x);
  if (own === heads) return x;
  const wide = e.expand(e.unsqueeze(x, [2]), [batch!, own!, heads / own!, ...rest]);
  return e.reshape(wide, [batch!, heads, ...rest]);
}

const iota = (e: Emitter, n: number, column: boolean): Value =>
  e.reshape(
    e.vector(
      "i64",
      Array.from({ length: n }, (_, i) => i),
    ),
    column ? [n, 1] : [1, n],
  );

/** 0 where the condition holds, minus infinity elsewhere. */
const penalty = (e: Emitter, allowed: Value, dtype: DType): Value =>
  e.where(allowed, e.scalar(dtype, 0), e.scalar(dtype, Number.NEGATIVE_INFINITY));

/** A mask of booleans or reals as an additive bias over all keys. */
function maskBias(c: OpContext, keys: number, dtype: DType): Value | undefined {
  const { e } = c;
  const mask = c.optional(3);
  if (mask === undefined) return undefined;
  const isReal = isFloat(e.dtype(mask));
  const bias = isReal ? e.cast(mask, dtype) : penalty(e, e.cast(mask, "bool"), dtype);
  const shape = e.shape(bias);
  const missing = keys - shape.at(-1)!;
  if (missing <= 0) return bias;
  const tail = e.expand(e.scalar(dtype, Number.NEGATIVE_INFINITY), [
    ...shape.slice(0, -1),
    missing,
  ]);
  return e.concat([bias, tail], shape.length - 1);
}

/** Biases for causality and the sliding window; the position of the first query is `offset`. */
function positionBias(
  c: OpContext,
  queries: number,
  keys: number,
  dtype: DType,
  past: number,
): Value[] {
  const { e } = c;
  const lengths = c.optional(6);
  const first =
    lengths !== undefined
      ? e.reshape(e.sub(e.cast(lengths, "i64"), num(queries)), [e.shape(lengths)[0]!, 1, 1, 1])
      : e.scalar("i64", past);
  const at = e.add(iota(e, queries, true), first);
  const key = iota(e, keys, false);
  const left = c.attrs.int("left_window_size", -1);
  const right = c.attrs.int("right_window_size", -1);
  const rules: Value[] = [];
  const within = (lower: Value, upper: Value): Value =>
    penalty(e, e.apply(core.less_equal, [lower, upper], {}), dtype);
  if (c.attrs.flag("is_causal", false)) rules.push(within(key, at));
  if (left >= 0) rules.push(within(e.sub(at, num(left)), key));
  if (right >= 0) rules.push(within(key, e.add(at, num(right))));
  if (lengths !== undefined) {
    const valid = e.reshape(e.cast(lengths, "i64"), [e.shape(lengths)[0]!, 1, 1, 1]);
    rules.push(penalty(e, e.less(key, valid), dtype));
  }
  return rules;
}

/** Softmax over keys; rows whose every key is masked give zeros. */
function maskedSoftmax(c: OpContext, scores: Value, bias: Value | undefined): Value {
  const { e } = c;
  const dtype = e.dtype(scores);
  const code = c.attrs.int("softmax_precision", 0);
  const precise = code === 0 ? dtype : dtypeOf(code, "softmax_precision");
  const soft = e.softmax(e.cast(scores, precise), e.rank(scores) - 1);
  if (bias === undefined) return e.cast(soft, dtype);
  const best = e.reduce(core.reduce_max, bias, [e.rank(bias) - 1], true);
  const masked = e.equal(best, num(Number.NEGATIVE_INFINITY));
  return e.cast(e.where(masked, num(0), soft), dtype);
}

const attention: Importer = (c) => {
  const { e } = c;
  const flat = e.rank(c.in(0)) === 3;
  const heads = (i: number, name: string): Value =>
    flat ? splitHeads(e, c.in(i), c.attrs.int(name, 1)) : c.in(i);
  const q = heads(0, "q_num_heads");
  const withPast = (i: number): Value => {
    const now = heads(i, "kv_num_heads");
    const past = c.optional(i + 3);
    return past === undefined ? now : e.concat([past, now], 2);
  };
  const key = withPast(1);
  const value = withPast(2);
  const [, qHeads, queries, size] = e.shape(q);
  const dtype = e.dtype(q);
  const factor = Math.sqrt(c.attrs.has("scale") ? c.attrs.float("scale", 1) : 1 / Math.sqrt(size!));
  const k = repeatHeads(e, key, qHeads!);
  const raw = e.matmul(e.mul(q, num(factor)), e.swapLast(e.mul(k, num(factor))));
  const cap = c.attrs.float("softcap", 0);
  const capped = cap > 0 ? e.mul(e.unary(core.tanh, e.div(raw, num(cap))), num(cap)) : raw;
  const keys = e.shape(key)[2]!;
  const past = c.has(4) ? e.shape(c.in(4))[2]! : 0;
  const biases = [maskBias(c, keys, dtype), ...positionBias(c, queries!, keys, dtype, past)];
  const given = biases.filter((b) => b !== undefined);
  const bias = given.length === 0 ? undefined : given.reduce((a, b) => e.add(a, b));
  const scores = bias === undefined ? capped : e.add(capped, bias);
  const weights = maskedSoftmax(c, scores, bias);
  const y = e.matmul(weights, repeatHeads(e, value, qHeads!));
  const exposed = [raw, capped, scores, weights][c.attrs.int("qk_matmul_output_mode", 0)];
  if (exposed === undefined) throw malformed("qk_matmul_output_mode is not 0..3");
  return [flat ? mergeHeads(e, y) : y, key, value, exposed];
};

/** Pairs of elements as [first of each pair, second of each pair], each of half the size. */
function pairs(e: Emitter, x: Value, interleaved: boolean): readonly [Value, Value] {
  const axis = e.rank(x) - 1;
  const half = e.shape(x)[axis]! / 2;
  if (!interleaved) return [e.sliceAxis(x, axis, 0, half), e.sliceAxis(x, axis, half, 2 * half)];
  const lead = e.shape(x).slice(0, -1);
  const wide = e.reshape(x, [...lead, half, 2]);
  const part = (i: number): Value =>
    e.reshape(e.sliceAxis(wide, axis + 1, i, i + 1), [...lead, half]);
  return [part(0), part(1)];
}

const rotary: Importer = (c) => {
  const { e } = c;
  const given = c.in(0);
  const dims = e.shape(given);
  const flat = dims.length === 3;
  const heads = c.attrs.int("num_heads", 0);
  if (flat && heads <= 0) throw malformed("num_heads is needed for operands of 3 axes");
  const x = flat
    ? e.reshape(given, [dims[0]!, dims[1]!, heads, dims[2]! / heads])
    : e.transpose(given, [0, 2, 1, 3]);
  const size = e.shape(x)[3]!;
  const turned = c.attrs.int("rotary_embedding_dim", 0) || size;
  const interleaved = c.attrs.flag("interleaved", false);
  const positions = c.optional(3);
  const cache = (i: number): Value => {
    const table = c.in(i);
    const rows =
      positions === undefined ? table : e.apply(core.gather, [table, positions], { axis: 0 });
    return e.unsqueeze(rows, [2]);
  };
  const [cos, sin] = [cache(1), cache(2)];
  const [a, b] = pairs(e, e.sliceAxis(x, 3, 0, turned), interleaved);
  const real = e.sub(e.mul(cos, a), e.mul(sin, b));
  const imaginary = e.add(e.mul(sin, a), e.mul(cos, b));
  const rotated = interleaved
    ? e.reshape(e.concat([e.unsqueeze(real, [4]), e.unsqueeze(imaginary, [4])], 4), [
        ...e.shape(x).slice(0, 3),
        turned,
      ])
    : e.concat([real, imaginary], 3);
  const y = turned === size ? rotated : e.concat([rotated, e.sliceAxis(x, 3, turned, size)], 3);
  return flat ? e.reshape(y, dims) : e.transpose(y, [0, 2, 1, 3]);
};

/** The recurrent form: one step of the state for each position. */
const linearAttention: Importer = (c) => {
  const { e } = c;
  const heads = c.attrs.int("kv_num_heads", 1);
  const qHeads = c.attrs.int("q_num_heads", 1);
  const [batch, length, width] = e.shape(c.in(0));
  const keySize = width! / qHeads;
  const real = (i: number, n: number): Value => splitHeads(e, e.cast(c.in(i), "f32"), n);
  const [q, k, v] = [real(0, qHeads), real(1, heads), real(2, heads)];
  const optionalHeads = (i: number): Value | undefined => {
    const x = c.optional(i);
    const n = x === undefined ? 1 : Math.min(heads, e.shape(x)[2]!);
    return x === undefined ? undefined : real(i, n);
  };
  const [decay, beta] = [optionalHeads(4), optionalHeads(5)];
  const size = e.shape(v)[3]!;
  const past = c.optional(3);
  let state =
    past === undefined
      ? e.expand(e.scalar("f32", 0), [batch!, heads, keySize, size])
      : e.cast(past, "f32");
  const scale = c.attrs.float("scale", 0) || 1 / Math.sqrt(keySize);
  const outputs: Value[] = [];
  for (let t = 0; t < length!; t++) {
    const row = (x: Value): Value => e.sliceAxis(x, 2, t, t + 1);
    const column = (x: Value): Value => e.swapLast(row(x));
    if (decay !== undefined) state = e.mul(state, e.unary(core.exp, column(decay)));
    let write = row(v);
    if (beta !== undefined) write = e.mul(row(beta), e.sub(write, e.matmul(row(k), state)));
    state = e.add(state, e.mul(column(k), write));
    outputs.push(e.mul(e.matmul(row(q), repeatHeads(e, state, qHeads)), num(scale)));
  }
  const y = mergeHeads(e, e.concat(outputs, 2));
  const type = e.dtype(c.in(0));
  return [e.cast(y, type), e.cast(state, past === undefined ? type : e.dtype(past))];
};

/** A depthwise convolution over what came before, the last inputs returned as state. */
const causalConv: Importer = (c) => {
  const { e } = c;
  const x = c.in(0);
  const w = c.in(1);
  const [batch, channels] = e.shape(x);
  const kernel = e.shape(w)[2]!;
  const past = c.optional(3);
  const before = past ?? e.expand(e.scalar(e.dtype(x), 0), [batch!, channels!, kernel - 1]);
  const padded = kernel === 1 ? x : e.concat([before, x], 2);
  const bias = c.optional(2);
  const y = e.apply(core.conv, bias === undefined ? [padded, w] : [padded, w, bias], {
    layout: "nchw",
    groups: channels!,
    stride: [1],
    dilation: [1],
    padBegin: [0],
    padEnd: [0],
  });
  const activation = c.attrs.string("activation", "none");
  if (!["none", "silu", "swish"].includes(activation))
    throw malformed(`activation '${activation}'`);
  const length = e.shape(padded)[2]!;
  return [
    activation === "none" ? y : e.apply(core.swish, [y], { alpha: 1 }),
    e.sliceAxis(padded, 2, length - kernel + 1, length),
  ];
};

const swiglu: Importer = (c) => {
  const gate = c.e.apply(core.swish, [c.in(0)], { alpha: c.attrs.float("alpha", 1) });
  return c.e.mul(gate, c.in(1));
};

/** Samples of a window: the angle runs over size, or size - 1 when the window is symmetric. */
const window =
  (at: (angle: number) => number): Importer =>
  (c) => {
    const size = toNumbers(c.tensor(0))[0]!;
    const span = c.attrs.flag("periodic", true) ? size : size - 1;
    const dtype = dtypeOf(c.attrs.int("output_datatype", 1), "output_datatype");
    if (!isFloat(dtype)) throw unsupported("a window of integers");
    const angles = Array.from({ length: size }, (_, n) => (2 * Math.PI * n) / span);
    return c.e.vector(dtype, angles.map(at));
  };

export const attentionImports: ImportTable = {
  Attention: attention,
  RotaryEmbedding: rotary,
  LinearAttention: linearAttention,
  CausalConvWithState: causalConv,
  SwiGLU: swiglu,
  HannWindow: window((a) => 0.5 - 0.5 * Math.cos(a)),
  HammingWindow: window((a) => 25 / 46 - (21 / 46) * Math.cos(a)),
  BlackmanWindow: window((a) => 0.42 - 0.5 * Math.cos(a) + 0.08 * Math.cos(2 * a)),
};
