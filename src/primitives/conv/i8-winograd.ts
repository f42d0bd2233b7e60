/**
 * @file 8-bit 3x3 convolution with stride 1 by Winograd F(4x4, 3x3) in integers: the same integers as the
 * direct sum with a quarter of the products. Inputs and weights are transformed in i16 lanes, products summed by
 * dot16, results divided exactly (winograd/exact.ts). Weights are transformed when the model is loaded.
 */
import { conv } from "../../ops/nn/conv.ts";
import { alignUp } from "../../util/math.ts";
import { type ConvGeometry, convGeometry } from "../gemm/geometry.ts";
import { type QuantisedNode, quantisedNode, sumRange } from "../gemm/quantised.ts";
import { type Candidate, definePrimitive, operandBytes } from "../primitive.ts";
import { POINTS, SUM_BITS, TILE } from "../winograd/exact.ts";
import { winogradStep } from "../winograd/i8-step.ts";

/** Fewest channels on either side for which the transforms can pay. */
const FEWEST_CHANNELS = 8;

function suits(g: ConvGeometry): boolean {
  const square = g.kh === 3 && g.kw === 3 && g.sh === 1 && g.sw === 1 && g.dh === 1 && g.dw === 1;
  return (
    square &&
    g.groups === 1 &&
    Math.min(g.c, g.n) >= FEWEST_CHANNELS &&
    Math.min(g.oh, g.ow) >= TILE
  );
}

/** Whether every sum of products is small enough to be divided exactly. */
function sumsFit(node: QuantisedNode, n: number): boolean {
  const { low, high } = sumRange(node, n);
  return low.every((least, o) => Math.max(-least, high[o]!) < 2 ** SUM_BITS);
}

export const convI8Winograd = definePrimitive({
  name: "i8_conv_winograd",
  op: conv,
  candidates: ({ ins, outs, attrs, constants }) => {
    const node = quantisedNode(ins, outs[0]!, constants, attrs);
    if (node === null || node.rule.vectorTables === null) return [];
    const g = convGeometry(ins[0]!, ins[1]!.shape.slice(1, -1), outs[0]!, attrs, attrs.groups);
    if (g === null || !suits(g) || !sumsFit(node, g.n)) return [];
    const tiles = g.batch * Math.ceil(g.oh / TILE) * Math.ceil(g.ow / TILE);
    const [c, n] = [alignUp(g.c, 8), alignUp(g.n, 8)];
    const moved = POINTS * (tiles * (2 * c + 4 * n) * 2 + 2 * c * n);
    const candidate: Candidate = {
      name: "i8_conv_winograd_4x4",
      family: "winograd",
      work: { macs: POINTS * tiles * c * n, bytes: operandBytes({ ins, outs }) + moved },
      implement: () => ({ inPlace: false, steps: [winogradStep(g, node)] }),
    };
    return [candidate];
  },
});
