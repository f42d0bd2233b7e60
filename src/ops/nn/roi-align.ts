/**
 * @file Regions of a feature map cut out and resampled to one size, by averages or maxima of
 * bilinear samples. Source: ONNX RoiAlign; its mode "max" takes the largest weighted neighbour.
 */
import { defineOp, type Sample } from "../../graph/op.ts";
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
import type { Expr, Kernel } from "../../kernel/ir.ts";
import {
  numberWriter,
  type Tensor,
  type TensorType,
  tensorType,
  zeros,
} from "../../tensor/tensor.ts";
import { UserError } from "../../util/errors.ts";
import { checkCount, checkFloat, checkShape, declarePorts, numbersOf } from "./access.ts";
import { f32t, typed } from "./samples.ts";

export interface RoiAlignAttrs {
  readonly mode: "avg" | "max";
  /**
   * "half_pixel" moves regions by half an element; "output_half_pixel" makes them at least 1 wide.
   */
  readonly coordinates: "half_pixel" | "output_half_pixel";
  readonly height: number;
  readonly width: number;
  /**
   * Samples per output element and axis; 0: as many as the region has elements there, rounded up.
   */
  readonly samplingRatio: number;
  /** Region coordinates times this are elements of x. */
  readonly spatialScale: number;
}

/** x [N, C, H, W], regions [R, 4] as (x1, y1, x2, y2), batch index of each region [R]. */
function inferRoiAlign(ins: readonly TensorType[], attrs: RoiAlignAttrs): readonly TensorType[] {
  checkCount(ins, 3, 3);
  const [x, rois, batch] = ins as [TensorType, TensorType, TensorType];
  checkFloat(x, rois);
  if (x.shape.length !== 4) {
    throw new UserError("E_SHAPE", `expected an input [N, C, H, W], got [${x.shape}]`);
  }
  const count = rois.shape[0] ?? 0;
  checkShape("rois", rois, [count, 4]);
  checkShape("batch indices", batch, [count]);
  if (batch.dtype !== "i32" && batch.dtype !== "i64") {
    throw new UserError("E_DTYPE", `batch indices must be i32 or i64, got ${batch.dtype}`);
  }
  return [tensorType(x.dtype, [count, x.shape[1]!, attrs.height, attrs.width])];
}

/** One axis of a region: where it starts, the size of an output element, samples per element. */
interface Span {
  readonly start: number;
  readonly bin: number;
  readonly samples: number;
}

function spanOf(attrs: RoiAlignAttrs, from: number, to: number, count: number): Span {
  const half = attrs.coordinates === "half_pixel";
  const start = from * attrs.spatialScale - (half ? 0.5 : 0);
  const size = to * attrs.spatialScale - (half ? 0.5 : 0) - start;
  const extent = half ? size : Math.max(size, 1);
  const samples = attrs.samplingRatio > 0 ? attrs.samplingRatio : Math.ceil(extent / count);
  return { start, bin: extent / count, samples };
}

/** The two elements around a coordinate and the weight of the second; null beyond the border. */
function neighbours(x: number, size: number): readonly [number, number, number] | null {
  if (!(x >= -1 && x <= size)) return null;
  const at = Math.max(x, 0);
  const low = Math.min(Math.floor(at), size - 1);
  return [low, Math.min(low + 1, size - 1), low >= size - 1 ? 0 : at - low];
}

function evalRoiAlign(
  ins: readonly Tensor[],
  attrs: RoiAlignAttrs,
  outs: readonly TensorType[],
): readonly Tensor[] {
  const [x, rois, batch] = ins.map(numbersOf) as ArrayLike<number>[] as [
    ArrayLike<number>,
    ArrayLike<number>,
    ArrayLike<number>,
  ];
  const [batches, channels, height, width] = ins[0]!.type.shape as [number, number, number, number];
  const out = zeros(outs[0]!);
  const write = numberWriter(out);
  const cell = (plane: number, v: Span, u: Span, i: number, j: number): number => {
    let sum = 0;
    let best = Number.NEGATIVE_INFINITY;
    for (let a = 0; a < v.samples; a++) {
      const rows = neighbours(v.start + i * v.bin + ((a + 0.5) * v.bin) / v.samples, height);
      for (let b = 0; b < u.samples; b++) {
        const columns = neighbours(u.start + j * u.bin + ((b + 0.5) * u.bin) / u.samples, width);
        const parts = [0, 0, 0, 0].map((_, q) => {
          if (rows === null || columns === null) return 0;
          const [down, right] = [q >> 1, q & 1];
          const weight = (down ? rows[2] : 1 - rows[2]) * (right ? columns[2] : 1 - columns[2]);
          return weight * x[plane + rows[down]! * width + columns[right]!]!;
        });
        sum += parts.reduce((p, q) => p + q);
        best = Math.max(best, ...parts);
      }
    }
    const count = Math.max(0, v.samples) * Math.max(0, u.samples);
    if (attrs.mode === "avg") return sum / Math.max(count, 1);
    return count === 0 ? 0 : best;
  };
  let at = 0;
  for (let r = 0; r < outs[0]!.shape[0]!; r++) {
    const n = batch[r]!;
    if (n < 0 || n >= batches) {
      throw new UserError("E_DATA", `batch index ${n} of region ${r} is outside 0..${batches - 1}`);
    }
    const u = spanOf(attrs, rois[4 * r]!, rois[4 * r + 2]!, attrs.width);
    const v = spanOf(attrs, rois[4 * r + 1]!, rois[4 * r + 3]!, attrs.height);
    for (let c = 0; c < channels; c++) {
      const plane = (n * channels + c) * height * width;
      for (let i = 0; i < attrs.height; i++) {
        for (let j = 0; j < attrs.width; j++) write(at++, cell(plane, v, u, i, j));
      }
    }
  }
  return [out];
}

interface SpanExpr {
  readonly start: Expr;
  readonly bin: Expr;
  readonly samples: Expr;
}

/** spanOf in f64. */
function spanExpr(
  k: KernelBuilder,
  attrs: RoiAlignAttrs,
  from: Expr,
  to: Expr,
  count: number,
): SpanExpr {
  const half = attrs.coordinates === "half_pixel";
  const place = (e: Expr): Expr => {
    const scaled = mul(e, f64(attrs.spatialScale));
    return half ? sub(scaled, f64(0.5)) : scaled;
  };
  const start = k.let("start", place(from));
  const size = sub(place(to), start);
  const extent = k.let("extent", half ? size : max(size, f64(1)));
  const bin = k.let("bin", binary("div", extent, f64(count)));
  const samples =
    attrs.samplingRatio > 0
      ? i32(attrs.samplingRatio)
      : k.let("samples", cast("i32", "trunc_sat_s", unary("ceil", bin)));
  return { start, bin, samples };
}

interface NeighbourExpr {
  readonly inside: Expr;
  readonly at: readonly Expr[];
  readonly weight: readonly Expr[];
}

/** neighbours() of sample `a` of output element `i`; the indices are safe to read. */
function neighbourExpr(
  k: KernelBuilder,
  s: SpanExpr,
  i: Expr,
  a: Expr,
  size: number,
): NeighbourExpr {
  const real = (e: Expr): Expr => cast("f64", "convert_s", e);
  const step = binary("div", mul(add(real(a), f64(0.5)), s.bin), real(s.samples));
  const x = k.let("x", add(add(s.start, mul(real(i), s.bin)), step));
  const inside = binary("and", binary("ge", x, f64(-1)), binary("le", x, f64(size)));
  const at = k.let("at", max(x, f64(0)));
  const low = k.let("low", min(max(cast("i32", "trunc_sat_s", at), 0), size - 1));
  const beyond = binary("ge", low, size - 1);
  const w = k.let("w", select(beyond, f64(0), sub(at, real(low))));
  return {
    inside: k.let("inside", inside),
    at: [low, k.let("high", min(add(low, 1), size - 1))],
    weight: [k.let("rest", sub(f64(1), w)), w],
  };
}

function lowerRoiAlign(
  ins: readonly TensorType[],
  attrs: RoiAlignAttrs,
  outs: readonly TensorType[],
): Kernel {
  const k = new KernelBuilder("roi_align");
  const ports = declarePorts(k, ins, outs, "f64");
  const [x, rois, batch] = ports.ins.map((p) => p.read);
  const [batches, channels, height, width] = ins[0]!.shape as [number, number, number, number];
  const sample = (plane: Expr, rows: NeighbourExpr, columns: NeighbourExpr): readonly Expr[] =>
    [0, 1, 2, 3].map((q) => {
      const [down, right] = [q >> 1, q & 1];
      const value = x!(affine(plane, [rows.at[down]!, width], columns.at[right]!));
      const weighted = mul(mul(rows.weight[down]!, columns.weight[right]!), value);
      const inside = binary("and", rows.inside, columns.inside);
      return k.let("part", select(inside, weighted, f64(0)));
    });
  k.forParallel("r", 0, outs[0]!.shape[0]!, (r) => {
    const corner = (i: number): Expr => k.let("corner", rois!(affine([r, 4], i)));
    const u = spanExpr(k, attrs, corner(0), corner(2), attrs.width);
    const v = spanExpr(k, attrs, corner(1), corner(3), attrs.height);
    const given = cast("i32", "trunc_sat_s", batch!(r));
    const n = k.let("n", min(max(given, 0), batches - 1));
    k.forParallel("c", 0, channels, (c) => {
      const plane = k.let("plane", mul(affine([n, channels], c), height * width));
      k.forParallel("i", 0, attrs.height, (i) => {
        k.forParallel("j", 0, attrs.width, (j) => {
          const maximum = attrs.mode === "max";
          const start = maximum ? Number.NEGATIVE_INFINITY : 0;
          const result = k.reg("result", constant("f64", start));
          k.for("a", 0, v.samples, (a) => {
            const rows = neighbourExpr(k, v, i, a, height);
            k.for("b", 0, u.samples, (b) => {
              const parts = sample(plane, rows, neighbourExpr(k, u, j, b, width));
              const all = maximum
                ? parts.reduce((p, q) => max(p, q))
                : parts.reduce((p, q) => add(p, q));
              k.set(result, maximum ? max(result, all) : add(result, all));
            });
          });
          const count = k.let("count", mul(max(v.samples, 0), max(u.samples, 0)));
          const index = affine(
            [r, channels * attrs.height * attrs.width],
            [c, attrs.height * attrs.width],
            [i, attrs.width],
            j,
          );
          const value = maximum
            ? select(binary("eq", count, 0), f64(0), result)
            : binary("div", result, cast("f64", "convert_s", max(count, 1)));
          ports.outs[0]!.write(index, k.let("y", value));
        });
      });
    });
  });
  return k.build();
}

const plain: RoiAlignAttrs = {
  mode: "avg",
  coordinates: "half_pixel",
  height: 3,
  width: 2,
  samplingRatio: 2,
  spatialScale: 0.5,
};
const regions = [1, 2, 9, 11, -4, 0, 5, 30, 2.5, 3.5, 3, 4];
const values = { 1: regions, 2: [0, 1, 1] };
const ins = [f32t(2, 3, 6, 7), f32t(3, 4), typed("i64", 3)];
const samples: readonly Sample<RoiAlignAttrs>[] = [
  { ins, attrs: plain, values },
  { ins, attrs: { ...plain, samplingRatio: 0 }, values },
  { ins, attrs: { ...plain, mode: "max", coordinates: "output_half_pixel" }, values },
  {
    ins: [typed("f16", 2, 1, 6, 7), typed("f16", 3, 4), typed("i32", 3)],
    attrs: { ...plain, spatialScale: 1 },
    values,
  },
  { ins: [typed("f64", 2, 1, 6, 7), typed("f64", 3, 4), typed("i64", 3)], attrs: plain, values },
];

export const roiAlign = defineOp<RoiAlignAttrs>({
  name: "roi_align",
  quant: "float",
  infer: inferRoiAlign,
  eval: evalRoiAlign,
  lower: lowerRoiAlign,
  samples,
});
