/**
 * @file f32 weight gradient of a convolution (NHWC): sums of mr output channels by vectors along a
 * row of the filter stay in registers while pixels are walked. Input rows go through a padded workspace, some
 * output rows at a time, so that what is summed lies in the L1 cache; nothing is unfolded. Each part of the
 * output channels, or of the groups, adds its rows in the same order, however many threads share them.
 */
import { add, affine, constant, fma, KernelBuilder, min, mul, sub } from "../../kernel/build.ts";
import type { Buffer, Expr, Kernel, KType } from "../../kernel/ir.ts";
import { convBackwardWeights } from "../../ops/nn/conv-backward-weights.ts";
import { ceilDiv } from "../../util/math.ts";
import type { Capabilities } from "../capabilities.ts";
import { type ConvGeometry, convGeometry } from "../gemm/geometry.ts";
import { type Candidate, definePrimitive, type Operand } from "../primitive.ts";
import { bringRows, partStart } from "./rows.ts";

/** Pixels summed before the sums go back to memory, if there are as many, and floats of a workspace. */
const PIXELS = 192;
const WORKSPACE = 6144;
/** Parts of the output channels (of the groups, where there are several), each of which brings the input rows in for itself. */
const MOST_PARTS = 4;

interface Plan {
  /** Of one group. */
  readonly g: ConvGeometry;
  readonly groups: number;
  /** Output channels and vectors of a tile. */
  readonly mr: number;
  readonly nv: number;
  readonly lanes: number;
  /** Output rows taken together, and the input rows they read. */
  readonly rows: number;
  readonly inputRows: number;
  /** Elements of a filter row. */
  readonly run: number;
  readonly parts: number;
}

/** The tallest tile that divides the channels and leaves room for the operands. */
function tileHeight(n: number, caps: Capabilities, nv: number): number {
  const most = Math.floor((caps.registers - nv - 1) / nv);
  for (let mr = Math.min(most, 8); mr > 1; mr--) if (n % mr === 0) return mr;
  return 1;
}

function planOf(g: ConvGeometry, groups: number, caps: Capabilities): Plan {
  const run = g.kw * g.c;
  let lanes = caps.vectorBytes / 4;
  while (lanes > 4 && lanes > run) lanes /= 2;
  const nv = run > lanes ? 2 : 1;
  const mr = tileHeight(g.n, caps, nv);
  const rowElements = g.span * g.c;
  const wanted = Math.max(1, Math.min(g.oh, Math.ceil(PIXELS / g.ow)));
  const fit = Math.floor((WORKSPACE / rowElements - ((g.kh - 1) * g.dh + 1)) / g.sh) + 1;
  const rows = Math.max(1, Math.min(wanted, fit));
  const inputRows = (rows - 1) * g.sh + (g.kh - 1) * g.dh + 1;
  const parts = Math.min(MOST_PARTS, groups > 1 ? groups : g.n / mr);
  return { g, groups, mr, nv, lanes, rows, inputRows, run, parts };
}

/** A product of pixels: rows of one long image, which nothing pads. */
function flattened(g: ConvGeometry): ConvGeometry {
  if (g.kh * g.kw !== 1 || g.sh * g.sw !== 1 || g.padded) return g;
  const pixels = g.batch * g.h * g.w;
  const ow = largestDivisor(pixels, Math.max(1, Math.floor(WORKSPACE / g.c)));
  const oh = pixels / ow;
  return { ...g, batch: 1, h: oh, w: ow, oh, ow, span: ow };
}

const oneGroup = (g: ConvGeometry): ConvGeometry => ({
  ...g,
  c: g.c / g.groups,
  n: g.n / g.groups,
});

function largestDivisor(n: number, most: number): number {
  for (let d = Math.min(n, most); d > 1; d--) if (n % d === 0) return d;
  return 1;
}

export const convBackwardWeightsF32 = definePrimitive({
  name: "f32_conv_backward_weights",
  op: convBackwardWeights,
  candidates: ({ ins, attrs, caps }): readonly Candidate[] => {
    const [x, dy] = ins;
    const { groups } = attrs;
    if (x?.dtype !== "f32" || dy === undefined) return [];
    const found = convGeometry(x, attrs.kernel, dy, attrs, groups);
    if (found === null || found.padLeft < 0 || (found.dw !== 1 && found.kw !== 1)) return [];
    const g = groups === 1 ? flattened(found) : oneGroup(found);
    const plan = planOf(g, groups, caps);
    const vectors = ceilDiv(plan.run, plan.lanes * plan.nv) * plan.nv * plan.lanes;
    const pixels = g.batch * g.oh * g.ow;
    const times = groups === 1 ? plan.parts : groups;
    const packed = times * g.batch * ceilDiv(g.oh, plan.rows) * plan.inputRows * g.span * g.c;
    return [
      {
        name: `f32_conv_backward_weights_${plan.mr}x${plan.nv * plan.lanes}`,
        family: "pixels",
        work: {
          macs: groups * pixels * g.n * g.kh * vectors,
          bytes: 4 * (packed + groups * g.batch * (g.h * g.w * g.c + g.oh * g.ow * g.n)),
        },
        implement: () => {
          const operands: Operand[] = [
            { kind: "in", index: 0 },
            { kind: "in", index: 1 },
            { kind: "out", index: 0 },
            { kind: "work", id: "rows", bytes: 4 * workspaceSize(plan) },
          ];
          return { inPlace: false, steps: [{ kernel: kernelOf(plan), operands, args: [] }] };
        },
      },
    ];
  },
});

/** The last vectors of a row may be read past it. */
const workspaceSize = ({ g, inputRows, lanes, nv }: Plan): number =>
  inputRows * g.span * g.c + lanes * nv;

interface Buffers {
  readonly x: Buffer;
  readonly dy: Buffer;
  readonly dw: Buffer;
  readonly rows: Buffer;
}

function kernelOf(p: Plan): Kernel {
  const { g, groups, mr, parts, run } = p;
  const k = new KernelBuilder(`f32_backward_weights_${mr}x${p.nv * p.lanes}`);
  const b: Buffers = {
    x: k.buffer("x", "f32", g.batch * g.h * g.w * g.c * groups, "in"),
    dy: k.buffer("dy", "f32", g.batch * g.oh * g.ow * g.n * groups, "in"),
    dw: k.buffer("dw", "f32", groups * g.n * g.kh * run, "out"),
    rows: k.buffer("rows", "f32", workspaceSize(p), "work"),
  };
  const tiles = g.n / mr;
  const depth = g.kh * run;
  // What is parted: groups, or the tiles of the only one.
  const [count, size] = groups > 1 ? [groups, g.n] : [tiles, mr];
  k.fill(b.rows, 0, 0, workspaceSize(p));
  const walk = (group: Expr, from: Expr, to: Expr): void =>
    k.for("image", 0, g.batch, (image) => {
      k.for("block", 0, ceilDiv(g.oh, p.rows), (block) => {
        const oy = k.let("oy", mul(block, p.rows));
        bringRows(k, p, b.x, b.rows, image, oy, group);
        const n =
          g.oh % p.rows === 0 ? constant("i32", p.rows) : k.let("n", min(sub(g.oh, oy), p.rows));
        k.for("tile", from, to, (tile) => addBlock(k, p, b, image, oy, n, tile, group), {
          tag: "outline",
        });
      });
    });
  const part = (index: Expr): void => {
    const from = k.let("from", partStart(index, count, parts));
    const to = k.let("to", partStart(add(index, 1), count, parts));
    k.fill(b.dw, mul(from, size * depth), 0, mul(sub(to, from), size * depth));
    if (groups === 1) walk(constant("i32", 0), from, to);
    else {
      const [first, end] = [constant("i32", 0), constant("i32", tiles)];
      k.for("group", from, to, (group) => walk(group, first, end));
    }
  };
  k.for("part", 0, parts, part, { tag: "outline", parallel: true });
  return k.build();
}

/** Adds a block of output rows to the gradients of a tile of output channels. */
function addBlock(
  k: KernelBuilder,
  p: Plan,
  b: Buffers,
  image: Expr,
  oy: Expr,
  count: Expr,
  tile: Expr,
  group: Expr,
): void {
  const { g, mr, nv, lanes, run } = p;
  const width = nv * lanes;
  const pixel = g.n * p.groups;
  const o = k.let("o", affine([tile, mr], [group, g.n]));
  const dy0 = k.let("dy0", affine([image, g.oh * g.ow * pixel], [oy, g.ow * pixel], o));
  k.for("ky", 0, g.kh, (ky) => {
    const rows0 = k.let("rows0", mul(ky, g.dh * g.span * g.c));
    const panel = (at: Expr, vectors: number, last: number): void => {
      const type: KType = `f32x${lanes}`;
      const acc = Array.from({ length: mr }, () =>
        Array.from({ length: vectors }, () => k.reg("acc", constant(type, 0))),
      );
      const start = k.let("start", add(rows0, at));
      k.for("r", 0, count, (r) => {
        const xRow = k.let("x_row", affine(start, [r, g.sh * g.span * g.c]));
        const dyRow = k.let("dy_row", affine(dy0, [r, g.ow * pixel]));
        k.for("ox", 0, g.ow, (ox) => {
          const xAt = affine(xRow, [ox, g.sw * g.c]);
          const xs = Array.from({ length: vectors }, (_, j) =>
            k.let("xv", k.load(b.rows, add(xAt, j * lanes), type)),
          );
          acc.forEach((sums, i) => {
            const d = k.let("d", k.loadGroup(b.dy, affine(dyRow, [ox, pixel], i), type));
            sums.forEach((sum, j) => k.set(sum, fma(d, xs[j]!, sum)));
          });
        });
      });
      acc.forEach((sums, i) => {
        const to = k.let("dw0", affine([add(o, i), g.kh * run], [ky, run], at));
        sums.forEach((sum, j) => {
          const valid = j === vectors - 1 ? last : lanes;
          addTo(k, b.dw, add(to, j * lanes), sum, lanes, valid);
        });
      });
    };
    const whole = run - (run % width);
    k.for("at", 0, whole, (at) => panel(at, nv, lanes), { step: width });
    const rest = run - whole;
    if (rest > 0) {
      const vectors = ceilDiv(rest, lanes);
      panel(constant("i32", whole), vectors, rest - (vectors - 1) * lanes);
    }
  });
}

/** Adds the first `valid` lanes of a vector to memory. */
function addTo(
  k: KernelBuilder,
  buffer: Buffer,
  at: Expr,
  value: Expr,
  lanes: number,
  valid: number,
): void {
  if (valid === lanes) {
    k.store(buffer, at, add(k.load(buffer, at, value.type), value));
    return;
  }
  const v = k.let("v", value);
  for (let lane = 0; lane < valid; lane++) {
    const to = add(at, lane);
    const part: Expr = { kind: "extract", type: "f32", a: v, lane };
    k.store(buffer, to, add(k.load(buffer, to), part));
  }
}
