/** @file Operators that move elements. */
import type { Value } from "../../graph/graph.ts";
import { isQuantisedByte, sameQuant } from "../../tensor/tensor.ts";
import { product } from "../../util/math.ts";
import { core } from "../core.ts";
import { emitTable, requantised } from "./byte-tables.ts";
import { activate, cast, expectRank, positive, reshape, transpose } from "./common.ts";
import { type Handlers, malformed, type OpContext, unsupported } from "./context.ts";
import {
  CONCATENATION_OPTIONS,
  DEPTH_TO_SPACE_OPTIONS,
  GATHER_OPTIONS,
  MIRROR_PAD_OPTIONS,
  PACK_OPTIONS,
  RESHAPE_OPTIONS,
  REVERSE_SEQUENCE_OPTIONS,
  SPACE_TO_DEPTH_OPTIONS,
  SQUEEZE_OPTIONS,
  UNPACK_OPTIONS,
} from "./schema.ts";

function reshapeOp(c: OpContext): Value {
  const x = c.in(0);
  const given =
    c.maybe(1) === undefined ? c.options(RESHAPE_OPTIONS).newShape : c.numbers(1, "shape");
  const total = product(c.shape(x));
  const known = product(given.filter((d) => d !== -1));
  const open = given.filter((d) => d === -1).length;
  if (open > 1 || given.some((d) => d < -1)) throw malformed(`[${given}] is not a shape`);
  const rest = known === 0 ? 0 : total / known;
  return reshape(
    c,
    x,
    given.map((d) => (d === -1 ? rest : d)),
  );
}

function squeeze(c: OpContext): Value {
  const shape = c.shape(c.in(0));
  const { squeezeDims } = c.options(SQUEEZE_OPTIONS);
  const axes = squeezeDims.map((a) => c.axis(a, shape.length));
  const drop = (d: number, i: number): boolean => (axes.length === 0 ? d === 1 : axes.includes(i));
  return reshape(
    c,
    c.in(0),
    shape.filter((d, i) => !drop(d, i)),
  );
}

/** The value with an axis of extent 1 inserted. */
function unsqueeze(c: OpContext, v: Value, axis: number): Value {
  const shape = [...c.shape(v)];
  shape.splice(c.axis(axis, shape.length + 1), 0, 1);
  return reshape(c, v, shape);
}

function transposeOp(c: OpContext): Value {
  const perm = c.numbers(1, "permutation");
  const { length } = c.shape(c.in(0));
  const axes = perm.map((p) => c.axis(p, length));
  if (new Set(axes).size !== length) throw malformed(`[${perm}] does not permute ${length} axes`);
  return transpose(c, c.in(0), axes);
}

/** Operands on the parameters of the result: quantised ones that differ are rescaled. */
function aligned(c: OpContext, v: Value): Value {
  const { quant } = c.declared();
  if (quant === undefined || sameQuant(c.type(v).quant, quant)) return v;
  return isQuantisedByte(c.type(v)) ? emitTable(c, v, requantised) : v;
}

function concatenation(c: OpContext): Value {
  const { axis, activation } = c.options(CONCATENATION_OPTIONS);
  const ins = c.all().map((v) => aligned(c, v));
  const at = c.axis(axis, c.shape(ins[0]!).length);
  return activate(
    c,
    ins.length === 1 ? ins[0]! : c.emit(core.concat, ins, { axis: at }),
    activation,
  );
}

function pack(c: OpContext): Value {
  const { axis } = c.options(PACK_OPTIONS);
  const ins = c.all();
  const at = c.axis(axis, c.shape(ins[0]!).length + 1);
  const rows = ins.map((v) => unsqueeze(c, v, at));
  return rows.length === 1 ? rows[0]! : c.emit(core.concat, rows, { axis: at });
}

function splitInto(
  c: OpContext,
  v: Value,
  axis: number,
  sizes: readonly number[],
): readonly Value[] {
  if (sizes.length !== c.op.outputs.length) {
    throw malformed(`${sizes.length} parts for ${c.op.outputs.length} outputs`);
  }
  return sizes.length === 1 ? [v] : c.emitAll(core.split, [v], { axis, sizes });
}

function split(c: OpContext): readonly Value[] {
  const shape = c.shape(c.in(1));
  const axis = c.axis(c.number(0, "axis"), shape.length);
  const parts = c.op.outputs.length;
  const size = shape[axis]! / parts;
  if (!Number.isInteger(size))
    throw malformed(`${shape[axis]} elements do not split into ${parts}`);
  return splitInto(c, c.in(1), axis, new Array<number>(parts).fill(size));
}

function splitV(c: OpContext): readonly Value[] {
  const shape = c.shape(c.in(0));
  const axis = c.axis(c.number(2, "axis"), shape.length);
  const sizes = c.numbers(1, "sizes");
  const known = sizes.filter((s) => s >= 0).reduce((a, b) => a + b, 0);
  return splitInto(
    c,
    c.in(0),
    axis,
    sizes.map((s) => (s === -1 ? shape[axis]! - known : s)),
  );
}

function unpack(c: OpContext): readonly Value[] {
  const shape = c.shape(c.in(0));
  const axis = c.axis(c.options(UNPACK_OPTIONS).axis, shape.length);
  if (shape[axis] !== c.op.outputs.length) {
    throw malformed(`${shape[axis]} elements for ${c.op.outputs.length} outputs`);
  }
  const parts = splitInto(c, c.in(0), axis, new Array<number>(shape[axis]!).fill(1));
  const rest = shape.filter((_, i) => i !== axis);
  return parts.map((v) => reshape(c, v, rest));
}

/** Rows [before, after] of the amounts tensor, one per axis. */
function amounts(c: OpContext): { before: number[]; after: number[] } {
  const flat = c.numbers(1, "paddings");
  const rank = c.shape(c.in(0)).length;
  if (flat.length !== 2 * rank || flat.some((n) => n < 0)) throw malformed(`paddings [${flat}]`);
  return {
    before: flat.filter((_, i) => i % 2 === 0),
    after: flat.filter((_, i) => i % 2 === 1),
  };
}

function pad(c: OpContext): Value {
  const x = c.in(0);
  const { quant } = c.type(x);
  const given = c.maybe(2) === undefined ? 0 : c.number(2, "padding value");
  const stored = c.maybe(2) !== undefined && quant !== undefined;
  const value = stored ? (given - quant.zeroPoint[0]!) * quant.scale[0]! : given;
  return c.emit(core.pad, [x], { ...amounts(c), mode: "constant", value });
}

/** Reflection with the border repeated: mirrored slices are joined on, axis by axis. */
function symmetricPad(c: OpContext): Value {
  const { before, after } = amounts(c);
  return before.reduce<Value>((v, b, axis) => {
    const a = after[axis]!;
    const n = c.shape(v)[axis]!;
    if (b > n || a > n) throw malformed(`padding beyond the ${n} elements of axis ${axis}`);
    const parts = [
      ...(b > 0 ? [run(c, v, axis, b - 1, b, -1)] : []),
      v,
      ...(a > 0 ? [run(c, v, axis, n - 1, a, -1)] : []),
    ];
    return parts.length === 1 ? v : c.emit(core.concat, parts, { axis });
  }, c.in(0));
}

/** `size` elements of one axis from `start` on, in steps of `step`. */
function run(
  c: OpContext,
  v: Value,
  axis: number,
  start: number,
  size: number,
  step: number,
): Value {
  const shape = c.shape(v);
  return c.emit(core.slice, [v], {
    start: shape.map((_, i) => (i === axis ? start : 0)),
    size: shape.map((d, i) => (i === axis ? size : d)),
    step: shape.map((_, i) => (i === axis ? step : 1)),
  });
}

function mirrorPad(c: OpContext): Value {
  if (c.options(MIRROR_PAD_OPTIONS).mode === 1) return symmetricPad(c);
  return c.emit(core.pad, [c.in(0)], { ...amounts(c), mode: "reflect" });
}

function reverse(c: OpContext): Value {
  const rank = c.shape(c.in(0)).length;
  return c.numbers(1, "axes").reduce<Value>((v, a) => {
    const axis = c.axis(a, rank);
    const n = c.shape(v)[axis]!;
    return n <= 1 ? v : run(c, v, axis, n - 1, n, -1);
  }, c.in(0));
}

function gather(c: OpContext): Value {
  const { axis, batchDims } = c.options(GATHER_OPTIONS);
  if (batchDims !== 0) throw unsupported(`gather with ${batchDims} batch dimensions`);
  return c.emit(core.gather, [c.in(0), c.in(1)], { axis: c.axis(axis, c.shape(c.in(0)).length) });
}

function tile(c: OpContext): Value {
  const repeats = c.numbers(1, "repeats");
  return c.emit(core.tile, [c.in(0)], { repeats });
}

/** Spatial blocks moved into the batch. */
function spaceToBatch(c: OpContext): Value {
  const block = c.numbers(1, "block shape").map((b) => positive("block", b));
  const pads = c.numbers(2, "paddings");
  const x = c.in(0);
  const rest = c.shape(x).slice(1 + block.length);
  if (c.shape(x).length < 1 + block.length || pads.length !== 2 * block.length) {
    throw malformed(`block [${block}] and paddings [${pads}] do not fit [${c.shape(x)}]`);
  }
  const zeros = rest.map(() => 0);
  const padded = c.emit(core.pad, [x], {
    before: [0, ...block.map((_, i) => pads[2 * i]!), ...zeros],
    after: [0, ...block.map((_, i) => pads[2 * i + 1]!), ...zeros],
    mode: "constant",
  });
  const [n = 1, ...size] = c.shape(padded);
  const cells = block.map((b, i) => size[i]! / b);
  if (!cells.every(Number.isInteger)) throw malformed(`[${size}] does not split into [${block}]`);
  const split = reshape(c, padded, [n, ...cells.flatMap((s, i) => [s, block[i]!]), ...rest]);
  const perm = [
    ...block.map((_, i) => 2 + 2 * i),
    0,
    ...block.map((_, i) => 1 + 2 * i),
    ...rest.map((_, i) => 1 + 2 * block.length + i),
  ];
  return reshape(c, transpose(c, split, perm), [n * product(block), ...cells, ...rest]);
}

/** The inverse of spaceToBatch: cropped instead of padded. */
function batchToSpace(c: OpContext): Value {
  const block = c.numbers(1, "block shape").map((b) => positive("block", b));
  const crops = c.numbers(2, "crops");
  const m = block.length;
  const [n = 1, ...dims] = c.shape(c.in(0));
  const rest = dims.slice(m);
  const batch = n / product(block);
  if (dims.length < m || crops.length !== 2 * m || !Number.isInteger(batch)) {
    throw malformed(`block [${block}] does not fit [${c.shape(c.in(0))}]`);
  }
  const split = reshape(c, c.in(0), [...block, batch, ...dims]);
  const perm = [
    m,
    ...block.flatMap((_, i) => [m + 1 + i, i]),
    ...rest.map((_, i) => 2 * m + 1 + i),
  ];
  const size = block.map((b, i) => b * dims[i]!);
  const whole = reshape(c, transpose(c, split, perm), [batch, ...size, ...rest]);
  if (crops.every((n) => n === 0)) return whole;
  return c.emit(core.slice, [whole], {
    start: [0, ...block.map((_, i) => crops[2 * i]!), ...rest.map(() => 0)],
    size: [batch, ...size.map((s, i) => s - crops[2 * i]! - crops[2 * i + 1]!), ...rest],
    step: [1, ...block.map(() => 1), ...rest.map(() => 1)],
  });
}

function reverseSequence(c: OpContext): Value {
  const { seqDim, batchDim } = c.options(REVERSE_SEQUENCE_OPTIONS);
  const rank = c.shape(c.in(0)).length;
  return c.emit(core.reverse_sequence, [c.in(0), c.in(1)], {
    batchAxis: c.axis(batchDim, rank),
    timeAxis: c.axis(seqDim, rank),
  });
}

export const shapeHandlers: Handlers = {
  RESHAPE: reshapeOp,
  SQUEEZE: squeeze,
  EXPAND_DIMS: (c) => unsqueeze(c, c.in(0), c.number(1, "axis")),
  TRANSPOSE: transposeOp,
  CONCATENATION: concatenation,
  PACK: pack,
  UNPACK: unpack,
  SPLIT: split,
  SPLIT_V: splitV,
  PAD: pad,
  PADV2: pad,
  MIRROR_PAD: mirrorPad,
  REVERSE_V2: reverse,
  REVERSE_SEQUENCE: reverseSequence,
  GATHER: gather,
  GATHER_ND: (c) => c.emit(core.gather_nd, [c.in(0), c.in(1)], { batchDims: 0 }),
  EMBEDDING_LOOKUP: (c) => c.emit(core.gather, [c.in(1), c.in(0)], { axis: 0 }),
  TILE: tile,
  BROADCAST_TO: (c) => c.emit(core.expand, [c.in(0)], { shape: c.numbers(1, "shape") }),
  SPACE_TO_DEPTH: (c) => {
    expectRank(c, c.in(0), 4, "input");
    const block = positive("block", c.options(SPACE_TO_DEPTH_OPTIONS).blockSize);
    return c.emit(core.space_to_depth, [c.in(0)], { block, layout: "nhwc" });
  },
  DEPTH_TO_SPACE: (c) => {
    expectRank(c, c.in(0), 4, "input");
    const block = positive("block", c.options(DEPTH_TO_SPACE_OPTIONS).blockSize);
    return c.emit(core.depth_to_space, [c.in(0)], { block, mode: "dcr", layout: "nhwc" });
  },
  SPACE_TO_BATCH_ND: spaceToBatch,
  BATCH_TO_SPACE_ND: batchToSpace,
  TOPK_V2: (c) => {
    const x = c.in(0);
    const attrs = { axis: c.shape(x).length - 1, k: c.number(1, "k"), largest: true, sorted: true };
    const [values, indices] = c.emitAll(core.top_k, [x], attrs);
    return [values!, cast(c, indices!, c.declared(1).dtype)];
  },
};
