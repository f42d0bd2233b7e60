/** @file ONNX operators that gather, scatter, search and order elements. */
import { elementCount } from "../../../tensor/tensor.ts";
import { type Importer, type ImportTable, malformed } from "../context.ts";
import { core } from "../core.ts";

const REDUCTIONS = ["none", "add", "mul", "min", "max"] as const;

function reduction(name: string): (typeof REDUCTIONS)[number] {
  const found = REDUCTIONS.find((r) => r === name);
  if (found === undefined) throw malformed(`reduction '${name}'`);
  return found;
}

const gather: Importer = (c) => {
  const x = c.moving(0);
  return c.e.apply(core.gather, [x, c.in(1)], {
    axis: c.axis(c.attrs.int("axis", 0), c.e.rank(x)),
  });
};

const gatherElements: Importer = (c) => {
  const x = c.moving(0);
  return c.e.apply(core.gather_elements, [x, c.in(1)], {
    axis: c.axis(c.attrs.int("axis", 0), c.e.rank(x)),
  });
};

const scatterElements: Importer = (c) => {
  const x = c.in(0);
  return c.e.apply(core.scatter_elements, [x, c.in(1), c.in(2)], {
    axis: c.axis(c.attrs.int("axis", 0), c.e.rank(x)),
    reduction: reduction(c.attrs.string("reduction", "none")),
  });
};

const scatterNd: Importer = (c) =>
  c.e.apply(core.scatter_nd, [c.in(0), c.in(1), c.in(2)], {
    reduction: reduction(c.attrs.string("reduction", "none")),
  });

const oneHot: Importer = (c) => {
  const indices = c.in(0);
  const type = c.e.dtype(indices);
  const whole = type === "i32" || type === "i64" ? indices : c.e.cast(indices, "i64");
  const depth = c.number(1, 0);
  const axis = c.axis(c.attrs.int("axis", -1), c.e.rank(indices) + 1);
  return c.e.apply(core.one_hot, [whole, c.in(2)], { axis, depth });
};

const topK: Importer = (c) => {
  const x = c.in(0);
  const axis = c.axis(c.attrs.int("axis", -1), c.e.rank(x));
  return c.e.applyAll(core.top_k, [x], {
    axis,
    k: c.opset < 10 ? c.attrs.int("k", 1) : c.number(1, 1),
    largest: c.attrs.flag("largest", true),
    sorted: c.attrs.flag("sorted", true),
  });
};

const cumulative =
  (op: typeof core.cum_sum | typeof core.cum_prod): Importer =>
  (c) => {
    const x = c.in(0);
    return c.e.apply(op, [x], {
      axis: c.axis(c.number(1, 0), c.e.rank(x)),
      exclusive: c.attrs.flag("exclusive", false),
      reverse: c.attrs.flag("reverse", false),
    });
  };

const reverseSequence: Importer = (c) =>
  c.e.apply(core.reverse_sequence, [c.in(0), c.in(1)], {
    batchAxis: c.attrs.int("batch_axis", 1),
    timeAxis: c.attrs.int("time_axis", 0),
  });

/** Writes updates into a cache at constant or run-time positions of one axis, one per batch. */
const tensorScatter: Importer = (c) => {
  const { e } = c;
  const cache = c.in(0);
  const update = c.in(1);
  const dims = e.shape(cache);
  const axis = c.axis(c.attrs.int("axis", -2), dims.length);
  const part = e.shape(update);
  if (part.length !== dims.length) throw malformed(`updates [${part}] do not fit [${dims}]`);
  const length = part[axis]!;
  const steps = e.constant({
    type: { dtype: "i64", shape: part.map((_, i) => (i === axis ? length : 1)) },
    data: BigInt64Array.from({ length }, (_, i) => BigInt(i)),
  });
  const first = c.optional(2);
  let at = steps;
  if (first !== undefined) {
    const start = e.reshape(
      e.cast(first, "i64"),
      part.map((_, i) => (i === 0 ? part[0]! : 1)),
    );
    at = e.add(steps, start);
  }
  if (c.attrs.string("mode", "linear") === "circular") {
    at = e.apply(core.mod, [at, e.scalar("i64", dims[axis]!)], { fmod: false });
  }
  return e.apply(core.scatter_elements, [cache, e.expand(at, part), update], {
    axis,
    reduction: "none",
  });
};

/** Ones where the first greatest element of the axis is, zeros elsewhere. */
const hardmax: Importer = (c) => {
  const { e } = c;
  const x = c.in(0);
  const dims = e.shape(x);
  const axis = c.axis(c.attrs.int("axis", c.opset < 13 ? 1 : -1), dims.length);
  const flat =
    c.opset < 13
      ? e.reshape(x, [elementCount(dims.slice(0, axis)), elementCount(dims.slice(axis))])
      : x;
  const at = c.opset < 13 ? 1 : axis;
  const best = e.apply(core.arg_max, [flat], { axis: at, keepDims: false, selectLast: false });
  const values = e.vector(e.dtype(x), [0, 1]);
  const hot = e.apply(core.one_hot, [best, values], { axis: at, depth: e.shape(flat)[at]! });
  return e.reshape(hot, dims);
};

export const indexImports: ImportTable = {
  Gather: gather,
  GatherElements: gatherElements,
  GatherND: (c) =>
    c.e.apply(core.gather_nd, [c.moving(0), c.in(1)], { batchDims: c.attrs.int("batch_dims", 0) }),
  Scatter: scatterElements,
  ScatterElements: scatterElements,
  ScatterND: scatterNd,
  OneHot: oneHot,
  TopK: topK,
  CumSum: cumulative(core.cum_sum),
  CumProd: cumulative(core.cum_prod),
  ReverseSequence: reverseSequence,
  TensorScatter: tensorScatter,
  Hardmax: hardmax,
};
