/**
 * @file Resizing in NHWC (1-D and 2-D): what each output row and column reads is in tables made at compile time,
 * channels are moved or weighed in vectors.
 */
import { add, fma, KernelBuilder, mul, sub } from "../../kernel/build.ts";
import type { Buffer, Expr, Kernel, KType } from "../../kernel/ir.ts";
import { resize } from "../../ops/nn/resize.ts";
import { axisMaps, type ResizeAttrs } from "../../ops/nn/resize-attrs.ts";
import { type AxisMap, coordinate, nearestIndex } from "../../ops/nn/resize-map.ts";
import { emitRun, rawDType } from "../../ops/shape/strided.ts";
import { type TensorType, tensorOf } from "../../tensor/tensor.ts";
import { clamp, product } from "../../util/math.ts";
import { definePrimitive, type Operand, operandBytes, type PrimitiveInput } from "../primitive.ts";

/** What the output positions of one axis read: one index, or two with the weight of the second. */
interface AxisTable {
  readonly first: readonly number[];
  readonly second: readonly number[];
  readonly weight: readonly number[];
}

function axisTable(attrs: ResizeAttrs, map: AxisMap, size: number, out: number): AxisTable {
  const at = Array.from({ length: out }, (_, o) => coordinate(map, o));
  const inside = (i: number): number => clamp(i, 0, size - 1);
  if (attrs.mode === "nearest") {
    const first = at.map((x) => inside(nearestIndex(attrs.nearest, x)));
    return { first, second: first, weight: at.map(() => 0) };
  }
  return {
    first: at.map((x) => inside(Math.floor(x))),
    second: at.map((x) => inside(Math.floor(x) + 1)),
    weight: at.map((x) => x - Math.floor(x)),
  };
}

interface Geometry {
  readonly x: TensorType;
  readonly y: TensorType;
  readonly batch: number;
  readonly h: number;
  readonly w: number;
  readonly oh: number;
  readonly ow: number;
  readonly c: number;
}

function geometryOf({ ins, outs }: PrimitiveInput): Geometry {
  const [x, y] = [ins[0]!, outs[0]!];
  const [w, ow] = [x.shape.at(-2)!, y.shape.at(-2)!];
  const flat = x.shape.length === 3;
  const [h, oh] = flat ? [1, 1] : [x.shape[1]!, y.shape[1]!];
  return { x, y, batch: x.shape[0]!, h, w, oh, ow, c: x.shape.at(-1)! };
}

const indices = (name: string, values: readonly number[]): Operand => ({
  kind: "const",
  name,
  tensor: tensorOf("i32", [values.length], values),
});

/** Buffers of element offsets: of rows in an image, of pixels in a row. */
const tables = (k: KernelBuilder, g: Geometry, count: number): Buffer[] =>
  [g.oh, g.ow].flatMap((n, axis) =>
    Array.from({ length: count }, () =>
      k.buffer(axis === 0 ? "rows" : "columns", "i32", n, "const"),
    ),
  );

/** Calls `body` for each output pixel: its row, column and first element, and the image's first element. */
function forEachPixel(
  k: KernelBuilder,
  g: Geometry,
  row: (oy: Expr, image: Expr) => (ox: Expr, to: Expr) => void,
): void {
  k.forParallel("image", 0, g.batch, (n) => {
    const image = k.let("image", mul(n, g.h * g.w * g.c));
    k.forParallel(
      "oy",
      0,
      g.oh,
      (oy) => {
        const to = k.let("to", mul(add(mul(n, g.oh), oy), g.ow * g.c));
        const pixel = row(oy, image);
        k.for("ox", 0, g.ow, (ox) => pixel(ox, k.let("at", add(to, mul(ox, g.c)))));
      },
      { tag: "outline" },
    );
  });
}

function nearestKernel(g: Geometry): Kernel {
  const k = new KernelBuilder("resize_nearest");
  const dtype = rawDType(g.x.dtype);
  const x = k.buffer("x", dtype, product(g.x.shape), "in");
  const [rows, columns] = tables(k, g, 1) as [Buffer, Buffer];
  const y = k.buffer("y", dtype, product(g.y.shape), "out");
  forEachPixel(k, g, (oy, image) => {
    const from = k.let("from", add(image, k.load(rows, oy)));
    return (ox, to) => emitRun(k, y, to, x, k.let("source", add(from, k.load(columns, ox))), g.c);
  });
  return k.build();
}

function linearKernel(g: Geometry): Kernel {
  const k = new KernelBuilder("resize_linear");
  const x = k.buffer("x", "f32", product(g.x.shape), "in");
  const [top, bottom, left, right] = tables(k, g, 2) as [Buffer, Buffer, Buffer, Buffer];
  const down = k.buffer("down", "f32", g.oh, "const");
  const across = k.buffer("across", "f32", g.ow, "const");
  const y = k.buffer("y", "f32", product(g.y.shape), "out");
  forEachPixel(k, g, (oy, image) => {
    const rows = [top, bottom].map((t) => k.let("row", add(image, k.load(t, oy))));
    return (ox, to) => {
      const columns = [left, right].map((t) => k.let("column", k.load(t, ox)));
      const corners = rows.map((r) => columns.map((c) => k.let("corner", add(r, c))));
      const block = (type: KType) => {
        const spread = (b: Buffer, at: Expr): Expr =>
          type === "f32" ? k.load(b, at) : k.loadGroup(b, at, type);
        const v = k.let("v", spread(down, oy));
        const u = k.let("u", spread(across, ox));
        const between = (a: Expr, b: Expr, t: Expr): Expr => {
          const from = k.let("p", a);
          return k.let("q", fma(t, sub(b, from), from));
        };
        return (c: Expr): void => {
          const sides = corners.map(([a, b]) =>
            between(k.load(x, add(a!, c), type), k.load(x, add(b!, c), type), u),
          );
          k.store(y, add(to, c), between(sides[0]!, sides[1]!, v));
        };
      };
      const whole = g.c - (g.c % 4);
      if (whole > 0) k.for("c", 0, whole, block("f32x4"), { step: 4 });
      if (whole < g.c) k.for("c", whole, g.c, block("f32"));
    };
  });
  return k.build();
}

export const resizeNhwc = definePrimitive({
  name: "resize_nhwc",
  op: resize,
  candidates: (input) => {
    const { attrs } = input;
    const g = geometryOf(input);
    const rank = g.x.shape.length;
    const plain = g.x.quant === undefined && g.y.quant === undefined;
    if (attrs.layout !== "nhwc" || rank < 3 || rank > 4 || !plain) return [];
    if (attrs.coordinates === "tf_crop_and_resize" || attrs.excludeOutside === true) return [];
    if (attrs.mode === "cubic" || (attrs.mode === "linear" && g.x.dtype !== "f32")) return [];
    const linear = attrs.mode === "linear";
    const implement = () => {
      const [, mh, mw] = axisMaps(attrs, g.x.shape) as [AxisMap, AxisMap, AxisMap];
      const rows = axisTable(attrs, mh, g.h, g.oh);
      const columns = axisTable(attrs, mw, g.w, g.ow);
      const offsets = (axis: AxisTable, step: number, name: string): Operand[] =>
        (linear ? [axis.first, axis.second] : [axis.first]).map((xs) =>
          indices(
            name,
            xs.map((i) => i * step),
          ),
        );
      const weights = (axis: AxisTable, name: string): Operand => ({
        kind: "const",
        name,
        tensor: tensorOf("f32", [axis.weight.length], axis.weight),
      });
      const operands: Operand[] = [
        { kind: "in", index: 0 },
        ...offsets(rows, g.w * g.c, "rows"),
        ...offsets(columns, g.c, "columns"),
        ...(linear ? [weights(rows, "down"), weights(columns, "across")] : []),
        { kind: "out", index: 0 },
      ];
      const kernel = linear ? linearKernel(g) : nearestKernel(g);
      return { inPlace: false, steps: [{ kernel, operands, args: [] }] };
    };
    const name = `${g.x.dtype}_resize_${attrs.mode}_nhwc`;
    return [{ name, family: attrs.mode, work: { macs: 0, bytes: operandBytes(input) }, implement }];
  },
});
