/**
 * @file Sampling at positions given by a second tensor: grid[n, ..., j] is the coordinate along
 * spatial axis r - 1 - j, -1 to 1 across the input. 1 to 3 spatial axes. Source: ONNX GridSample.
 */
import { defineOp, type OutQuant, type Sample } from "../../graph/op.ts";
import {
  add,
  affine,
  binary,
  cast,
  constant,
  f64,
  i32,
  KernelBuilder,
  mul,
  select,
  sub,
  unary,
} from "../../kernel/build.ts";
import type { Expr, Kernel } from "../../kernel/ir.ts";
import {
  numberWriter,
  type Tensor,
  type TensorType,
  tensorType,
  zeros,
} from "../../tensor/tensor.ts";
import { UserError } from "../../util/errors.ts";
import { roundHalfEven } from "../../util/math.ts";
import {
  checkCount,
  checkFloat,
  declarePorts,
  numbersOf,
  type RealType,
  realTypeOf,
} from "./access.ts";
import { cubicExprs } from "./cubic.ts";
import {
  coordinateExpr,
  type GridAxis,
  type GridPadding,
  gridAxis,
  gridCoordinate,
  padCoordinate,
  padExpr,
  padIndex,
  type TapExpr,
  tapExpr,
} from "./grid-map.ts";
import { cubicWeights } from "./resize-map.ts";
import { f32t, typed } from "./samples.ts";
import {
  channelAxis,
  checkSpatialRank,
  gridOf,
  type Layout,
  spatialOf,
  spatialShape,
} from "./spatial.ts";
import { forEachPosition, spatialOffset } from "./window.ts";

export interface GridSampleAttrs {
  readonly layout: Layout;
  readonly mode: "linear" | "nearest" | "cubic";
  readonly padding: GridPadding;
  /** -1 and 1 are the centres of the corner elements; otherwise their outer edges. */
  readonly alignCorners: boolean;
  readonly out?: OutQuant;
}

/** The cubic kernel's coefficient. */
const CUBIC_A = -0.75;

function inferGridSample(
  ins: readonly TensorType[],
  { layout }: GridSampleAttrs,
): readonly TensorType[] {
  checkCount(ins, 2, 2);
  checkFloat(...ins);
  const [x, grid] = ins as [TensorType, TensorType];
  const rank = checkSpatialRank(x);
  const batch = x.shape[0]!;
  if (grid.shape.length !== rank + 2 || grid.shape[0] !== batch || grid.shape.at(-1) !== rank) {
    throw new UserError(
      "E_SHAPE",
      `expected a grid [${batch}, sizes, ${rank}] for input [${x.shape}], got [${grid.shape}]`,
    );
  }
  const channels = x.shape[channelAxis(layout, rank + 2)]!;
  return [tensorType(x.dtype, spatialShape(layout, batch, channels, grid.shape.slice(1, -1)))];
}

/** The axes of x, three of them; leading ones the tensor lacks are null. */
function axesOf(x: TensorType, attrs: GridSampleAttrs): readonly (GridAxis | null)[] {
  const axes = spatialOf(attrs.layout, x.shape).map((n) => gridAxis(n, attrs.alignCorners));
  return [...new Array<null>(3 - axes.length).fill(null), ...axes];
}

interface Taps {
  readonly index: readonly (number | null)[];
  readonly weight: readonly number[];
}

function tapsAt(attrs: GridSampleAttrs, axis: GridAxis | null, g: number): Taps {
  if (axis === null) return { index: [0], weight: [1] };
  const { mode, padding } = attrs;
  const exact = gridCoordinate(axis, g);
  const x = padCoordinate(axis, padding, mode === "nearest" ? roundHalfEven(exact) : exact);
  if (mode === "nearest")
    return { index: [padIndex(axis, padding, roundHalfEven(x))], weight: [1] };
  const base = Math.floor(x);
  const r = x - base;
  const shifts = mode === "linear" ? [0, 1] : [-1, 0, 1, 2];
  return {
    index: shifts.map((s) => padIndex(axis, padding, base + s)),
    weight: mode === "linear" ? [1 - r, r] : cubicWeights(r, CUBIC_A),
  };
}

function evalGridSample(
  ins: readonly Tensor[],
  attrs: GridSampleAttrs,
  outs: readonly TensorType[],
): readonly Tensor[] {
  const [x, grid] = ins as [Tensor, Tensor];
  const [xs, gs] = [numbersOf(x), numbersOf(grid)];
  const out = zeros(outs[0]!);
  const write = numberWriter(out);
  const gx = gridOf(attrs.layout, x.type.shape);
  const gy = gridOf(attrs.layout, outs[0]!.shape);
  const axes = axesOf(x.type, attrs);
  const rank = grid.type.shape.at(-1)!;
  let at = 0;
  for (let n = 0; n < gy.batch; n++) {
    forEachPosition(gy.size, (d, h, w) => {
      const taps = axes.map((axis, i) => tapsAt(attrs, axis, gs[at * rank + 2 - i]!));
      at++;
      for (let c = 0; c < gy.channels; c++) {
        const base = n * gx.batchStride + c * gx.channelStride;
        let sum = 0;
        const [td, th, tw] = taps as [Taps, Taps, Taps];
        td.index.forEach((i, a) => {
          th.index.forEach((j, b) => {
            tw.index.forEach((l, e) => {
              if (i === null || j === null || l === null) return;
              const from = base + i * gx.stride[0] + j * gx.stride[1] + l * gx.stride[2];
              sum += td.weight[a]! * th.weight[b]! * tw.weight[e]! * xs[from]!;
            });
          });
        });
        const to = n * gy.batchStride + c * gy.channelStride;
        write(to + d * gy.stride[0] + h * gy.stride[1] + w * gy.stride[2], sum);
      }
    });
  }
  return [out];
}

interface WeightedTap extends TapExpr {
  /** Null: 1. */
  readonly weight: Expr | null;
}

/** The taps of one axis at grid value `g` (f64). */
function tapExprs(
  k: KernelBuilder,
  attrs: GridSampleAttrs,
  axis: GridAxis | null,
  g: () => Expr,
  real: RealType,
): readonly WeightedTap[] {
  if (axis === null) return [{ index: i32(0), inside: null, weight: null }];
  const { mode, padding } = attrs;
  const coordinate = coordinateExpr(axis, g());
  if (mode === "nearest") {
    const near = k.let("near", unary("nearest", coordinate));
    const inside = padExpr(k, axis, padding, near);
    const at = k.let("at", unary("nearest", inside));
    return [{ ...tapExpr(k, axis, padding, at), weight: null }];
  }
  const x = padExpr(k, axis, padding, k.let("x", coordinate));
  const base = k.let("base", unary("floor", x));
  const r = k.let("r", sub(x, base));
  const weights = mode === "linear" ? [sub(f64(1), r), r] : cubicExprs(k, r, CUBIC_A);
  const shifts = mode === "linear" ? [0, 1] : [-1, 0, 1, 2];
  return shifts.map((s, i) => {
    const weight = weights[i]!;
    return {
      ...tapExpr(k, axis, padding, k.let("tap", add(base, f64(s)))),
      weight: k.let("w", real === "f64" ? weight : cast("f32", "demote", weight)),
    };
  });
}

/** Product of the weights of a combination of taps times the value, 0 where a tap lies outside. */
function term(value: Expr, taps: readonly WeightedTap[]): Expr {
  const weighted = taps.reduce((v, t) => (t.weight === null ? v : mul(v, t.weight)), value);
  const inside = taps.flatMap((t) => (t.inside === null ? [] : [t.inside]));
  const [first, ...more] = inside;
  if (first === undefined) return weighted;
  const all = more.reduce((a, b) => binary("and", a, b), first);
  return select(all, weighted, constant(value.type, 0));
}

function lowerGridSample(
  ins: readonly TensorType[],
  attrs: GridSampleAttrs,
  outs: readonly TensorType[],
): Kernel {
  const k = new KernelBuilder("grid_sample");
  const real = ins[0]!.quant === undefined ? realTypeOf(ins[0]!.dtype) : "f32";
  const gridReal = ins[1]!.quant === undefined ? realTypeOf(ins[1]!.dtype) : "f32";
  const { x, grid, y } = gridPorts(k, ins, outs, real, gridReal);
  const gx = gridOf(attrs.layout, ins[0]!.shape);
  const gy = gridOf(attrs.layout, outs[0]!.shape);
  const axes = axesOf(ins[0]!, attrs);
  const rank = ins[1]!.shape.at(-1)!;
  const [sd, sh, sw] = gy.size;
  const point = (n: Expr, at: readonly Expr[]): void => {
    const where = affine([n, sd * sh * sw], [at[0]!, sh * sw], [at[1]!, sw], at[2]!);
    const row = k.let("row", mul(where, rank));
    const value = (i: number) => (): Expr => grid(add(row, 2 - i));
    const taps = axes.map((axis, i) => tapExprs(k, attrs, axis, value(i), real));
    k.forParallel("c", 0, gy.channels, (c) => {
      const base = k.let("base", affine([n, gx.batchStride], [c, gx.channelStride]));
      const sum = k.reg("sum", constant(real, 0));
      for (const d of taps[0]!) {
        for (const h of taps[1]!) {
          for (const w of taps[2]!) {
            const offset = spatialOffset([d.index, h.index, w.index], gx);
            k.set(sum, add(sum, term(x(affine(base, offset)), [d, h, w])));
          }
        }
      }
      const to = affine([n, gy.batchStride], [c, gy.channelStride], spatialOffset(at, gy));
      y(to, sum);
    });
  };
  k.forParallel("n", 0, gy.batch, (n) =>
    k.forParallel("d", 0, sd, (d) =>
      k.forParallel("h", 0, sh, (h) => k.forParallel("w", 0, sw, (w) => point(n, [d, h, w]))),
    ),
  );
  return k.build();
}

/** x and y in `real`; grid values as f64. */
function gridPorts(
  k: KernelBuilder,
  ins: readonly TensorType[],
  outs: readonly TensorType[],
  real: RealType,
  gridReal: RealType,
) {
  const wide = real === "f64" || gridReal === "f64";
  const ports = declarePorts(k, ins, outs, wide ? "f64" : "f32");
  const [x, grid] = ports.ins;
  const widen = (e: Expr): Expr => (e.type === "f64" ? e : cast("f64", "promote", e));
  const fit = (e: Expr, to: RealType): Expr =>
    e.type === to ? e : cast(to, to === "f64" ? "promote" : "demote", e);
  return {
    x: (i: Expr): Expr => fit(x!.read(i), real),
    grid: (i: Expr): Expr => k.let("g", widen(grid!.read(i))),
    y: (i: Expr, v: Expr): void => ports.outs[0]!.write(i, fit(v, wide ? "f64" : "f32")),
  };
}

const plain: GridSampleAttrs = {
  layout: "nchw",
  mode: "linear",
  padding: "zeros",
  alignCorners: false,
};
const range = [-1.6, 1.6] as const;
const modes = ["linear", "nearest", "cubic"] as const;
const paddings = ["zeros", "border", "reflection"] as const;
const samples: readonly Sample<GridSampleAttrs>[] = [
  ...modes.flatMap((mode) =>
    paddings.map((padding, i) => ({
      ins: [f32t(2, 2, 4, 5), f32t(2, 3, 3, 2)],
      attrs: { ...plain, mode, padding, alignCorners: i === 1 },
      range,
    })),
  ),
  { ins: [f32t(1, 4, 5, 3), f32t(1, 2, 3, 2)], attrs: { ...plain, layout: "nhwc" }, range },
  {
    ins: [f32t(1, 2, 3, 4, 3), f32t(1, 2, 2, 2, 3)],
    attrs: { ...plain, padding: "border", alignCorners: true },
    range,
  },
  { ins: [f32t(1, 2, 5), f32t(1, 4, 1)], attrs: { ...plain, padding: "reflection" }, range },
  { ins: [typed("f64", 1, 2, 4, 5), typed("f64", 1, 3, 2, 2)], attrs: plain, range },
  { ins: [typed("f16", 1, 2, 4, 5), typed("f16", 1, 3, 2, 2)], attrs: plain, range },
  { ins: [typed("bf16", 1, 2, 4, 5), f32t(1, 3, 2, 2)], attrs: plain, range },
];

export const gridSample = defineOp<GridSampleAttrs>({
  name: "grid_sample",
  quant: "float",
  infer: inferGridSample,
  eval: evalGridSample,
  lower: lowerGridSample,
  samples,
});
