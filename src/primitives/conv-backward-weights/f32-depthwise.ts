/**
 * @file f32 weight gradient of a depthwise convolution (NHWC): images are cut into parts; each walks its pixels with
 * the sums of some filter rows in registers, input rows going through a padded workspace, and leaves its own sums,
 * which are added in the order of the parts, so that any number of threads gives the same bytes.
 */
import { add, affine, constant, fma, KernelBuilder, min, mul, sub } from "../../kernel/build.ts";
import type { Buffer, Expr, KType } from "../../kernel/ir.ts";
import { convBackwardWeights } from "../../ops/nn/conv-backward-weights.ts";
import { ceilDiv } from "../../util/math.ts";
import { forEachChannels } from "../batch-norm-training/chunks.ts";
import type { Capabilities } from "../capabilities.ts";
import { type ConvGeometry, convGeometry } from "../gemm/geometry.ts";
import { definePrimitive, type Step } from "../primitive.ts";
import { bringRows, partStart } from "./rows.ts";

/** Floats of a workspace, as far as one output row allows. */
const WORKSPACE = 6144;
/** Most parts of the images. */
const PARTS = 16;

interface Plan {
  readonly g: ConvGeometry;
  readonly lanes: number;
  /** Filter rows whose sums are in registers together. */
  readonly taps: number;
  /** Output rows taken together, and the input rows they read. */
  readonly rows: number;
  readonly inputRows: number;
  readonly parts: number;
}

/** Null: a row of the filter does not fit the registers. */
function planOf(g: ConvGeometry, caps: Capabilities): Plan | null {
  const taps = Math.min(g.kh, Math.floor((caps.registers - 2) / g.kw));
  if (taps < 1) return null;
  const fit = Math.floor((WORKSPACE / (g.span * g.c) - ((g.kh - 1) * g.dh + 1)) / g.sh) + 1;
  const rows = Math.max(1, Math.min(g.oh, fit));
  const inputRows = (rows - 1) * g.sh + (g.kh - 1) * g.dh + 1;
  return { g, lanes: caps.vectorBytes / 4, taps, rows, inputRows, parts: Math.min(PARTS, g.batch) };
}

export const convBackwardWeightsF32Depthwise = definePrimitive({
  name: "f32_conv_backward_weights_depthwise",
  op: convBackwardWeights,
  candidates: ({ ins, attrs, caps }) => {
    const [x, dy] = ins;
    if (x?.dtype !== "f32" || dy === undefined) return [];
    const g = convGeometry(x, attrs.kernel, dy, attrs, attrs.groups);
    if (g === null || g.groups !== g.c || g.n !== g.c) return [];
    const plan = planOf(g, caps);
    if (plan === null) return [];
    const count = g.c * g.kh * g.kw;
    const packed = g.batch * ceilDiv(g.oh, plan.rows) * plan.inputRows * g.span * g.c;
    return [
      {
        name: `f32_conv_backward_weights_depthwise_${g.kh}x${g.kw}`,
        family: "depthwise",
        work: {
          macs: g.batch * g.oh * g.ow * count,
          bytes: 4 * (packed + g.batch * (g.h * g.w + g.oh * g.ow) * g.c + plan.parts * count),
        },
        implement: () => ({ inPlace: false, steps: [sumParts(plan), addParts(plan)] }),
      },
    ];
  },
});

const rowsSize = ({ g, inputRows }: Plan): number => inputRows * g.span * g.c;

const partial = ({ g, parts }: Plan) =>
  ({ kind: "work", id: "partial", bytes: 4 * parts * g.c * g.kh * g.kw }) as const;

/** [part][tap][channel]: the gradients of each part's images. */
function sumParts(p: Plan): Step {
  const { g, parts } = p;
  const k = new KernelBuilder(`f32_backward_depthwise_${g.kh}x${g.kw}`);
  const count = g.c * g.kh * g.kw;
  const x = k.buffer("x", "f32", g.batch * g.h * g.w * g.c, "in");
  const dy = k.buffer("dy", "f32", g.batch * g.oh * g.ow * g.c, "in");
  const sums = k.buffer("sums", "f32", parts * count, "out");
  const rows = k.buffer("rows", "f32", rowsSize(p), "work");
  k.fill(rows, 0, 0, rowsSize(p));
  const part = (index: Expr): void => {
    const from = k.let("from", partStart(index, g.batch, parts));
    const to = k.let("to", partStart(add(index, 1), g.batch, parts));
    const base = k.let("base", mul(index, count));
    k.fill(sums, base, 0, count);
    k.for("image", from, to, (image) => {
      k.for("block", 0, ceilDiv(g.oh, p.rows), (block) => {
        const oy = k.let("oy", mul(block, p.rows));
        bringRows(k, { ...p, groups: 1 }, x, rows, image, oy, constant("i32", 0));
        const n =
          g.oh % p.rows === 0 ? constant("i32", p.rows) : k.let("n", min(sub(g.oh, oy), p.rows));
        const dy0 = k.let("dy0", affine([image, g.oh * g.ow * g.c], [oy, g.ow * g.c]));
        for (let ky = 0; ky < g.kh; ky += p.taps) {
          const height = Math.min(p.taps, g.kh - ky);
          addBlock(k, p, { dy, rows, sums }, { dy0, base, n, ky, height });
        }
      });
    });
  };
  k.for("part", 0, parts, part, { tag: "outline", parallel: true });
  return {
    kernel: k.build(),
    operands: [
      { kind: "in", index: 0 },
      { kind: "in", index: 1 },
      partial(p),
      { kind: "work", id: "rows", bytes: 4 * rowsSize(p) },
    ],
    args: [],
  };
}

interface Buffers {
  readonly dy: Buffer;
  readonly rows: Buffer;
  readonly sums: Buffer;
}

interface Block {
  readonly dy0: Expr;
  readonly base: Expr;
  /** Output rows. */
  readonly n: Expr;
  /** First filter row and count of filter rows. */
  readonly ky: number;
  readonly height: number;
}

/** Adds a block of output rows to the sums of some filter rows. */
function addBlock(k: KernelBuilder, p: Plan, b: Buffers, at: Block): void {
  const { g } = p;
  forEachChannels(k, { channels: g.c, lanes: p.lanes }, (c, type: KType) => {
    const taps = Array.from({ length: at.height * g.kw }, (_, i) => ({
      place: k.let("place", affine(at.base, c, (at.ky * g.kw + i) * g.c)),
      offset: ((at.ky + Math.floor(i / g.kw)) * g.dh * g.span + (i % g.kw) * g.dw) * g.c,
    }));
    const sums = taps.map(({ place }) => k.reg("acc", k.load(b.sums, place, type)));
    k.for("r", 0, at.n, (r) => {
      const xRow = k.let("x_row", affine(c, [r, g.sh * g.span * g.c]));
      const dyRow = k.let("dy_row", affine(at.dy0, c, [r, g.ow * g.c]));
      k.for("ox", 0, g.ow, (ox) => {
        const d = k.let("d", k.load(b.dy, affine(dyRow, [ox, g.c]), type));
        const x0 = k.let("x0", affine(xRow, [ox, g.sw * g.c]));
        taps.forEach(({ offset }, i) => {
          k.set(sums[i]!, fma(k.load(b.rows, add(x0, offset), type), d, sums[i]!));
        });
      });
    });
    taps.forEach(({ place }, i) => k.store(b.sums, place, sums[i]!));
  });
}

/** The sums of all parts, as [channel][tap]. */
function addParts(p: Plan): Step {
  const { g, parts } = p;
  const taps = g.kh * g.kw;
  const k = new KernelBuilder("f32_backward_depthwise_sum");
  const from = k.buffer("partial", "f32", parts * g.c * taps, "in");
  const dw = k.buffer("dw", "f32", g.c * taps, "out");
  k.for("tap", 0, taps, (tap) => {
    k.for("c", 0, g.c, (c) => {
      const sum = k.reg("sum", constant("f32", 0));
      k.for("part", 0, parts, (part) => {
        k.set(sum, add(sum, k.load(from, affine(c, [tap, g.c], [part, g.c * taps]))));
      });
      k.store(dw, affine(tap, [c, taps]), sum);
    });
  });
  return { kernel: k.build(), operands: [partial(p), { kind: "out", index: 0 }], args: [] };
}
