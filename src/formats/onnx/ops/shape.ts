/** @file ONNX operators that move elements or compute shapes. */
import type { Value } from "../../../graph/graph.ts";
import { dequantizeValue } from "../../../tensor/quant.ts";
import { elementCount, scalarOf, tensorOf, tensorType, toNumbers } from "../../../tensor/tensor.ts";
import { clamp, product } from "../../../util/math.ts";
import { checkShape } from "../../limits.ts";
import {
  type Importer,
  type ImportTable,
  malformed,
  type OpContext,
  unsupported,
} from "../context.ts";
import { core } from "../core.ts";
import { dtypeOf } from "../tensors.ts";

const iota = (n: number): number[] => Array.from({ length: n }, (_, i) => i);

const constant: Importer = (c) => {
  const { attrs, e } = c;
  const tensor = attrs.tensor("value") ?? attrs.tensor("sparse_value");
  if (tensor !== undefined) return e.constant(tensor);
  if (attrs.has("value_float")) return e.constant(scalarOf("f32", attrs.float("value_float", 0)));
  if (attrs.has("value_int")) return e.constant(scalarOf("i64", attrs.int("value_int", 0)));
  const floats = attrs.floats("value_floats");
  if (attrs.has("value_floats") && floats) return e.vector("f32", floats);
  const ints = attrs.ints("value_ints");
  if (attrs.has("value_ints") && ints) return e.vector("i64", ints);
  throw unsupported("a constant of text");
};

const shape: Importer = (c) => {
  const dims = c.e.shape(c.in(0));
  const bound = (name: string, absent: number): number => {
    const v = c.attrs.int(name, absent);
    return clamp(v < 0 ? v + dims.length : v, 0, dims.length);
  };
  return c.e.vector("i64", dims.slice(bound("start", 0), bound("end", dims.length)));
};

const reshape: Importer = (c) => {
  const x = c.moving(0);
  const from = c.e.shape(x);
  const wanted = c.list("shape", 1) ?? [];
  const keepZero = c.attrs.flag("allowzero", false);
  const dims = wanted.map((n, i) => (n === 0 && !keepZero ? (from[i] ?? 0) : n));
  const rest = product(dims.filter((n) => n !== -1));
  const total = elementCount(from);
  return c.e.reshape(
    x,
    dims.map((n) => (n === -1 ? (rest === 0 ? 0 : total / rest) : n)),
  );
};

const flatten: Importer = (c) => {
  const x = c.moving(0);
  const dims = c.e.shape(x);
  const given = c.attrs.int("axis", 1);
  const axis = given < 0 ? given + dims.length : given;
  return c.e.reshape(x, [product(dims.slice(0, axis)), product(dims.slice(axis))]);
};

const squeeze: Importer = (c) => {
  const x = c.moving(0);
  const dims = c.e.shape(x);
  const given = c.list("axes", 1);
  const axes =
    given === undefined
      ? iota(dims.length).filter((i) => dims[i] === 1)
      : c.axes(given, dims.length);
  if (axes.some((a) => dims[a] !== 1)) throw malformed(`axes ${axes} of [${dims}] are not all 1`);
  return c.e.reshape(
    x,
    dims.filter((_, i) => !axes.includes(i)),
  );
};

const unsqueeze: Importer = (c) => {
  const x = c.moving(0);
  const given = c.list("axes", 1) ?? [];
  return c.e.unsqueeze(x, c.axes(given, c.e.rank(x) + given.length));
};

const transpose: Importer = (c) => {
  const x = c.moving(0);
  const perm = c.attrs.ints("perm") ?? iota(c.e.rank(x)).reverse();
  return c.e.transpose(x, perm);
};

/** Operands of one quantisation, or all as plain integers. */
function alike(c: OpContext): readonly Value[] {
  const moving = c.operands.map((_, i) => c.moving(i));
  const same = moving.every(
    (v) => JSON.stringify(c.e.type(v).quant) === JSON.stringify(c.e.type(moving[0]!).quant),
  );
  return same && moving.length > 0 ? moving : c.all();
}

const concat: Importer = (c) => {
  const xs = alike(c);
  return c.e.concat(xs, c.axis(c.attrs.int("axis", 1), c.e.rank(xs[0]!)));
};

const split: Importer = (c) => {
  const x = c.moving(0);
  const axis = c.axis(c.attrs.int("axis", 0), c.e.rank(x));
  const n = c.e.shape(x)[axis]!;
  const given = c.list("split", 1);
  const count = c.attrs.int("num_outputs", c.node.output.length);
  if (count !== c.node.output.length) {
    throw malformed(`num_outputs is ${count}, the node has ${c.node.output.length} outputs`);
  }
  const chunk = Math.ceil(n / count);
  const sizes = given ?? iota(count).map((i) => clamp(n - i * chunk, 0, chunk));
  return c.e.split(x, axis, sizes);
};

/** First index and count of a slice of an axis, as the ONNX specification clamps them. */
function sliceRange(
  n: number,
  start: number,
  end: number,
  step: number,
): readonly [number, number] {
  const from = start < 0 ? start + n : start;
  const to = end < 0 ? end + n : end;
  const first = step > 0 ? clamp(from, 0, n) : clamp(from, 0, n - 1);
  const last = step > 0 ? clamp(to, 0, n) : clamp(to, -1, n - 1);
  return [first, Math.max(0, Math.ceil((last - first) / step))];
}

const slice: Importer = (c) => {
  const x = c.moving(0);
  const dims = c.e.shape(x);
  const starts = c.list("starts", 1) ?? [];
  const ends = c.list("ends", 2) ?? [];
  const axes = c.axes(c.list("axes", 3) ?? iota(starts.length), dims.length);
  const steps = c.numbers(4) ?? starts.map(() => 1);
  const start = dims.map(() => 0);
  const size = [...dims];
  const step = dims.map(() => 1);
  axes.forEach((a, i) => {
    if (steps[i] === 0) throw malformed("a slice has step 0");
    const [first, count] = sliceRange(dims[a]!, starts[i]!, ends[i]!, steps[i]!);
    start[a] = count === 0 ? 0 : first;
    size[a] = count;
    step[a] = steps[i]!;
  });
  return c.e.apply(core.slice, [x], { start, size, step });
};

const PAD_MODES = ["constant", "reflect", "edge", "wrap"] as const;

/** What is padded with: a real; for quantised operands the real that the given integer stands for. */
function padValue(c: OpContext, x: Value): number {
  const given = c.opset < 11 ? c.attrs.float("value", 0) : c.number(2, 0);
  const { quant } = c.e.type(x);
  return quant === undefined ? given : dequantizeValue(given, quant.scale[0]!, quant.zeroPoint[0]!);
}

const pad: Importer = (c) => {
  const x = c.moving(0);
  const rank = c.e.rank(x);
  const pads = c.list("pads", 1) ?? [];
  const mode = PAD_MODES.find((m) => m === c.attrs.string("mode", "constant"));
  if (mode === undefined) throw malformed(`padding mode '${c.attrs.string("mode", "")}'`);
  const axes = c.axes(c.numbers(3) ?? iota(rank), rank);
  const before = iota(rank).map(() => 0);
  const after = iota(rank).map(() => 0);
  axes.forEach((a, i) => {
    before[a] = pads[i]!;
    after[a] = pads[i + axes.length]!;
  });
  const value = mode === "constant" ? padValue(c, x) : 0;
  const attrs = value !== 0 ? { value } : {};
  return c.e.apply(core.pad, [x], { before, after, mode, ...attrs });
};

const expand: Importer = (c) => {
  const x = c.moving(0);
  const wanted = c.numbers(1) ?? [];
  const dims = c.e.shape(x);
  const rank = Math.max(wanted.length, dims.length);
  const full = iota(rank).map((i) => {
    const have = dims[i - rank + dims.length] ?? 1;
    const want = wanted[i - rank + wanted.length] ?? 1;
    return have === 1 ? want : have;
  });
  return c.e.expand(x, full);
};

const tile: Importer = (c) => {
  if (c.opset < 6) throw unsupported("Tile before opset 6");
  return c.e.apply(core.tile, [c.moving(0)], { repeats: [...(c.numbers(1) ?? [])] });
};

const constantOfShape: Importer = (c) => {
  const dims = c.numbers(0) ?? [];
  const value = c.attrs.tensor("value") ?? scalarOf("f32", 0);
  if (value.data.length !== 1) throw malformed("the value of ConstantOfShape is not one element");
  checkShape(dims, "the shape of a constant");
  return c.e.expand(
    c.e.constant({ type: tensorType(value.type.dtype, []), data: value.data }),
    dims,
  );
};

const range: Importer = (c) => {
  const [start, limit, delta] = [c.tensor(0), c.tensor(1), c.tensor(2)].map(
    (t) => toNumbers(t)[0]!,
  );
  const n = Math.max(0, Math.ceil((limit! - start!) / delta!));
  checkShape([n], "the result of Range");
  const values = iota(n).map((i) => start! + i * delta!);
  return c.e.vector(c.e.dtype(c.in(0)), values);
};

const eyeLike: Importer = (c) => {
  const [rows, columns] = c.e.shape(c.in(0));
  if (rows === undefined || columns === undefined) throw malformed("EyeLike takes a matrix");
  const dtype = c.attrs.has("dtype")
    ? dtypeOf(c.attrs.int("dtype", 1), "attribute 'dtype'")
    : c.e.dtype(c.in(0));
  const k = c.attrs.int("k", 0);
  const at = (i: number): number => (Math.floor(i / columns) + k === i % columns ? 1 : 0);
  return c.e.constant(tensorOf(dtype, [rows, columns], iota(rows * columns).map(at)));
};

/** Indices of the elements that are not zero: [rank, count]. */
const nonZero: Importer = (c) => {
  const t = c.tensor(0);
  const dims = t.type.shape;
  const hits = toNumbers(t).flatMap((x, i) => (x !== 0 ? [i] : []));
  const out = dims.map((n, axis) => {
    const inner = elementCount(dims.slice(axis + 1));
    return hits.map((i) => Math.floor(i / inner) % n);
  });
  return c.e.constant(tensorOf("i64", [dims.length, hits.length], out.flat()));
};

/** Takes the slices along an axis for which the condition holds. */
const compress: Importer = (c) => {
  const flags = c.numbers(1) ?? [];
  const given = c.attrs.has("axis");
  const x = given ? c.moving(0) : c.e.reshape(c.moving(0), [elementCount(c.e.shape(c.moving(0)))]);
  const axis = given ? c.axis(c.attrs.int("axis", 0), c.e.rank(x)) : 0;
  const indices = flags.flatMap((f, i) => (f !== 0 ? [i] : []));
  return c.e.apply(core.gather, [x, c.e.vector("i64", indices)], { axis });
};

const trilu: Importer = (c) =>
  c.e.apply(core.trilu, [c.in(0)], { upper: c.attrs.flag("upper", true), k: c.number(1, 0) });

const DEPTH_MODES = { DCR: "dcr", CRD: "crd" } as const;

const depthToSpace: Importer = (c) => {
  const mode = c.attrs.string("mode", "DCR");
  if (mode !== "DCR" && mode !== "CRD") throw malformed(`mode '${mode}' is neither DCR nor CRD`);
  const block = c.attrs.int("blocksize", 1);
  return c.e.apply(core.depth_to_space, [c.moving(0)], {
    block,
    mode: DEPTH_MODES[mode],
    layout: "nchw",
  });
};

/** Crops or pads the centre of the axes to the given extents. */
const centerCropPad: Importer = (c) => {
  const x = c.in(0);
  const dims = c.e.shape(x);
  const wanted = c.numbers(1) ?? [];
  const axes = c.axes(c.attrs.ints("axes") ?? iota(dims.length), dims.length);
  const before = dims.map(() => 0);
  const after = dims.map(() => 0);
  axes.forEach((a, i) => {
    const extra = wanted[i]! - dims[a]!;
    before[a] = extra >= 0 ? Math.floor(extra / 2) : -Math.floor(-extra / 2);
    after[a] = extra - before[a];
  });
  return c.e.apply(core.pad, [x], { before, after, mode: "constant" });
};

/** Distinct elements (or slices) of a constant: values, first indices, inverse, counts. */
const unique: Importer = (c) => {
  const t = c.tensor(0);
  const sorted = c.attrs.flag("sorted", true);
  const axisGiven = c.attrs.has("axis");
  const dims = axisGiven ? t.type.shape : [t.data.length];
  const axis = axisGiven ? c.axis(c.attrs.int("axis", 0), dims.length) : 0;
  const n = dims[axis] ?? 0;
  const inner = elementCount(dims.slice(axis + 1));
  const outer = elementCount(dims.slice(0, axis));
  const values = toNumbers(t);
  const keys = iota(n).map((i) =>
    iota(outer * inner).map((j) => values[(Math.floor(j / inner) * n + i) * inner + (j % inner)]!),
  );
  const groups = new Map<string, number[]>();
  keys.forEach((key, i) => {
    const text = key.join(" ");
    groups.set(text, [...(groups.get(text) ?? []), i]);
  });
  const compare = (a: readonly number[], b: readonly number[]): number => {
    const at = a.findIndex((x, i) => x !== b[i]);
    return at < 0 ? 0 : a[at]! - b[at]!;
  };
  const order = [...groups.values()];
  if (sorted) order.sort((a, b) => compare(keys[a[0]!]!, keys[b[0]!]!));
  const first = order.map((g) => g[0]!);
  const inverse = iota(n).map((i) => order.findIndex((g) => g.includes(i)));
  const data = c.e.constant({ type: tensorType(t.type.dtype, dims), data: t.data });
  return [
    c.e.apply(core.gather, [data, c.e.vector("i64", first)], { axis }),
    c.e.vector("i64", first),
    c.e.vector("i64", inverse),
    c.e.vector(
      "i64",
      order.map((g) => g.length),
    ),
  ];
};

const size: Importer = (c) => c.e.constant(scalarOf("i64", elementCount(c.e.shape(c.in(0)))));

export const shapeImports: ImportTable = {
  Constant: constant,
  Shape: shape,
  Size: size,
  Reshape: reshape,
  Flatten: flatten,
  Squeeze: squeeze,
  Unsqueeze: unsqueeze,
  Transpose: transpose,
  Concat: concat,
  Split: split,
  Slice: slice,
  Pad: pad,
  Expand: expand,
  Tile: tile,
  ConstantOfShape: constantOfShape,
  Range: range,
  EyeLike: eyeLike,
  NonZero: nonZero,
  Compress: compress,
  Trilu: trilu,
  DepthToSpace: depthToSpace,
  SpaceToDepth: (c) =>
    c.e.apply(core.space_to_depth, [c.moving(0)], {
      block: c.attrs.int("blocksize", 1),
      layout: "nchw",
    }),
  CenterCropPad: centerCropPad,
  Unique: unique,
};
