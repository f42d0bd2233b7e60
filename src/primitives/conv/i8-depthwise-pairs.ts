/**
 * @file 8-bit depthwise convolution on pairs of rows (NHWC, one output channel per input channel, at least
 * eight). Two input rows are interleaved once, channel by channel, as dot16 reads them; a ring of such pairs
 * serves all output rows of a band. With stride 1 two output rows are made at a time, the second of them from
 * pairs whose taps are shifted by one.
 */
import { conv } from "../../ops/nn/conv.ts";
import { ceilDiv } from "../../util/math.ts";
import { DepthwiseKernel, planPairs } from "../depthwise/i8-pairs.ts";
import { type ConvGeometry, convGeometry } from "../gemm/geometry.ts";
import { quantisedNode } from "../gemm/quantised.ts";
import { definePrimitive } from "../primitive.ts";
import { takesWide } from "./i8-depthwise-wide.ts";

const suits = (g: ConvGeometry): boolean =>
  g.groups === g.c && g.n === g.c && g.c >= 8 && g.dh === 1 && g.dw === 1 && g.sh <= 2 && g.kh > 1;

export const convI8DepthwisePairs = definePrimitive({
  name: "i8_conv_depthwise_pairs",
  op: conv,
  candidates: ({ ins, outs, attrs, constants, caps }) => {
    const node = quantisedNode(ins, outs[0]!, constants, attrs);
    if (node === null || node.rule.vectorTables === null) return [];
    const g = convGeometry(ins[0]!, ins[1]!.shape.slice(1, -1), outs[0]!, attrs, attrs.groups);
    if (g === null || !suits(g) || takesWide(node, g, caps)) return [];
    const plan = planPairs(g);
    const outputs = g.batch * g.oh * g.ow * g.c;
    const interleaved = g.batch * (g.h + ceilDiv(plan.groups, plan.band) * g.kh) * g.span * g.c * 2;
    return [
      {
        name: `i8_conv_depthwise_pairs_${g.kh}x${g.kw}`,
        family: "depthwise_pairs",
        work: { macs: outputs * g.kw * plan.pairs * 2, bytes: interleaved + outputs },
        implement: () => ({ inPlace: false, steps: [new DepthwiseKernel(g, node, plan).step()] }),
      },
    ];
  },
});
