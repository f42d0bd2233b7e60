/**
 * @file The default loop nest of resize: coordinates in f64, indices and weights computed once per
 * axis position.
 */
import {
  add,
  affine,
  binary,
  cast,
  constant,
  f64,
  i32,
  KernelBuilder,
  max,
  min,
  mul,
  select,
  sub,
  unary,
} from "../../kernel/build.ts";
import { type Expr, type Kernel, scalarTypeOf } from "../../kernel/ir.ts";
import { isFloat } from "../../tensor/dtype.ts";
import type { TensorType } from "../../tensor/tensor.ts";
import { declarePorts, realTypeOf } from "./access.ts";
import { cubicExprs } from "./cubic.ts";
import { axisMaps, type ResizeAttrs } from "./resize-attrs.ts";
import { type AxisMap, coordinate } from "./resize-map.ts";
import { gridOf } from "./spatial.ts";
import { spatialOffset } from "./window.ts";

/** What one output position reads along one axis. */
interface Taps {
  readonly index: readonly Expr[];
  readonly weight: readonly Expr[];
  /** i32 0/1, null where nothing can lie outside. */
  readonly inside: Expr | null;
}

const lit = f64;
const toIndex = (x: Expr): Expr => cast("i32", "trunc_sat_s", x);
const clampIndex = (i: Expr, size: number): Expr => min(max(i, 0), size - 1);

/** Whether every output position reads just the input position of the same number. */
const isIdentity = (map: AxisMap, size: number, out: number): boolean =>
  size === out && Array.from({ length: out }, (_, o) => coordinate(map, o) === o).every(Boolean);

function nearestExpr(mode: ResizeAttrs["nearest"], x: Expr): Expr {
  switch (mode) {
    case "floor":
      return unary("floor", x);
    case "ceil":
      return unary("ceil", x);
    case "round_prefer_floor":
      return unary("ceil", sub(x, lit(0.5)));
    case "round_prefer_ceil":
      return unary("floor", add(x, lit(0.5)));
  }
}

function weightsExpr(
  k: KernelBuilder,
  attrs: ResizeAttrs,
  r: Expr,
  raw: readonly Expr[],
  size: number,
): readonly Expr[] {
  const full =
    attrs.mode === "cubic" ? cubicExprs(k, r, attrs.cubicA ?? -0.75) : [sub(lit(1), r), r];
  if (!attrs.excludeOutside) return full;
  const kept = full.map((w, i) => {
    const at = raw[i]!;
    const within = binary("and", binary("ge", at, 0), binary("lt", at, size));
    return k.let("kept", select(within, w, lit(0)));
  });
  const total = k.let(
    "total",
    kept.reduce((a, b) => add(a, b)),
  );
  return kept.map((w) => binary("div", w, total));
}

function tapsAt(
  k: KernelBuilder,
  attrs: ResizeAttrs,
  map: AxisMap,
  size: number,
  out: number,
  o: Expr,
  real: "f32" | "f64",
): Taps {
  const one = constant(real, 1);
  if (isIdentity(map, size, out)) return { index: [o], weight: [one], inside: null };
  const position = add(mul(cast("f64", "convert_s", o), lit(map.a)), lit(map.b));
  const x = k.let("x", add(binary("div", position, lit(map.c)), lit(map.d)));
  const inside =
    attrs.coordinates === "tf_crop_and_resize"
      ? k.let("inside", binary("and", binary("ge", x, lit(0)), binary("le", x, lit(size - 1))))
      : null;
  if (attrs.mode === "nearest") {
    const index = clampIndex(k.let("i", toIndex(nearestExpr(attrs.nearest, x))), size);
    return { index: [k.let("i", index)], weight: [one], inside };
  }
  const base = k.let("base", unary("floor", x));
  const r = k.let("r", sub(x, base));
  const first = k.let("first", toIndex(base));
  const shifts = attrs.mode === "cubic" ? [-1, 0, 1, 2] : [0, 1];
  const raw = shifts.map((s) => k.let("at", add(first, s)));
  const narrow = (w: Expr): Expr => (real === "f64" ? w : cast("f32", "demote", w));
  return {
    index: raw.map((i) => k.let("i", clampIndex(i, size))),
    weight: weightsExpr(k, attrs, r, raw, size).map((w) => k.let("w", narrow(w))),
    inside,
  };
}

/** Nearest copies elements as stored; everything else computes in reals. */
function copyPort(k: KernelBuilder, ins: readonly TensorType[], outs: readonly TensorType[]) {
  const size = (t: TensorType): number => t.shape.reduce((a, b) => a * b, 1);
  const from = k.buffer("in0", ins[0]!.dtype, size(ins[0]!), "in");
  const to = k.buffer("out0", outs[0]!.dtype, size(outs[0]!), "out");
  return {
    read: (i: Expr): Expr => k.load(from, i),
    write: (i: Expr, v: Expr): void => k.store(to, i, v),
  };
}

export function lowerResize(
  ins: readonly TensorType[],
  attrs: ResizeAttrs,
  outs: readonly TensorType[],
): Kernel {
  const k = new KernelBuilder("resize");
  const [xType, yType] = [ins[0]!, outs[0]!];
  const copies = attrs.mode === "nearest" && xType.quant === undefined && yType.quant === undefined;
  const real = xType.quant === undefined && isFloat(xType.dtype) ? realTypeOf(xType.dtype) : "f32";
  let io: { read(i: Expr): Expr; write(i: Expr, v: Expr): void };
  if (copies) {
    io = copyPort(k, ins, outs);
  } else {
    const ports = declarePorts(k, ins, outs, real);
    const [x, y] = [ports.ins[0]!, ports.outs[0]!];
    io = { read: (i) => x.read(i), write: (i, v) => y.write(i, v) };
  }
  const fill = copies ? extrapolationOf(attrs, xType) : constant(real, attrs.extrapolation ?? 0);
  const gx = gridOf(attrs.layout, xType.shape);
  const gy = gridOf(attrs.layout, yType.shape);
  const maps = axisMaps(attrs, xType.shape);
  const nhwc = attrs.layout === "nhwc";

  const pixel = (n: Expr, c: Expr, at: readonly Expr[], taps: readonly Taps[]): void => {
    const base = k.let("base", affine([n, gx.batchStride], [c, gx.channelStride]));
    let sum: Expr | null = null;
    const [td, th, tw] = taps as [Taps, Taps, Taps];
    for (const [i, d] of td.index.entries()) {
      for (const [j, h] of th.index.entries()) {
        for (const [l, w] of tw.index.entries()) {
          const value = io.read(affine(base, spatialOffset([d, h, w], gx)));
          const weights = [td.weight[i]!, th.weight[j]!, tw.weight[l]!].filter(
            (e) => e.kind !== "const",
          );
          const [first, ...more] = weights;
          const weight = first === undefined ? null : more.reduce<Expr>((a, b) => mul(a, b), first);
          const term = weight === null ? value : mul(value, weight);
          sum = k.let("sum", sum === null ? term : add(sum, term));
        }
      }
    }
    const inside = taps.map((t) => t.inside).filter((e) => e !== null);
    const value =
      inside.length === 0
        ? sum!
        : select(
            inside.reduce((a, b) => binary("and", a, b)),
            sum!,
            fill,
          );
    const index = affine([n, gy.batchStride], [c, gy.channelStride], spatialOffset(at, gy));
    io.write(k.let("at", index), k.let("y", value));
  };
  const channels = (then: (c: Expr) => void): void => k.forParallel("c", 0, gy.channels, then);
  const spatial = (then: (at: readonly Expr[], taps: readonly Taps[]) => void): void => {
    const nest = (axis: number, at: readonly Expr[], taps: readonly Taps[]): void => {
      if (axis === 3) {
        then(at, taps);
        return;
      }
      const [size, out] = [gx.size[axis]!, gy.size[axis]!];
      k.forParallel("o", 0, out, (o) => {
        const next = tapsAt(k, attrs, maps[axis]!, size, out, o, real);
        nest(axis + 1, [...at, o], [...taps, next]);
      });
    };
    nest(0, [], []);
  };
  k.forParallel("n", 0, gy.batch, (n) => {
    if (nhwc) spatial((at, taps) => channels((c) => pixel(n, c, at, taps)));
    else channels((c) => spatial((at, taps) => pixel(n, c, at, taps)));
  });
  return k.build();
}

/** The fill value in the register type of the element. */
function extrapolationOf(attrs: ResizeAttrs, x: TensorType): Expr {
  const value = attrs.extrapolation ?? 0;
  const type = scalarTypeOf(x.dtype);
  if (isFloat(x.dtype)) return constant(type, value);
  return type === "i64" ? constant(type, BigInt(Math.trunc(value))) : i32(Math.trunc(value));
}
