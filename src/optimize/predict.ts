/**
 * @file Predicted layer times: multiply-accumulates over the rate this engine reaches on a convolution of
 * middling size, plus bytes moved over the rate of an element-wise layer, plus a fixed cost per call. The three
 * rates are measured when asked for; docs/architecture.md says what the model leaves out.
 */
import { GraphBuilder } from "../graph/graph.ts";
import { add } from "../ops/elementwise/add.ts";
import { relu } from "../ops/elementwise/relu.ts";
import { conv } from "../ops/nn/conv.ts";
import { compile } from "../pipeline.ts";
import { createSession } from "../runtime/session.ts";
import { type Tensor, tensorOf, tensorType } from "../tensor/tensor.ts";
import { median, product } from "../util/math.ts";
import { makeRng } from "../util/rng.ts";

/** What one engine does per millisecond. */
export interface Rates {
  readonly macsPerMsF32: number;
  readonly macsPerMsI8: number;
  readonly bytesPerMs: number;
  readonly callMs: number;
}

const SHAPE = [1, 16, 16, 32] as const;
const FILTER = [32, 3, 3, 32] as const;
const CONV_MACS = 16 * 16 * 32 * 9 * 32;
const CONV_ATTRS = {
  layout: "nhwc",
  stride: [1, 1],
  padBegin: [1, 1],
  padEnd: [1, 1],
  dilation: [1, 1],
  groups: 1,
} as const;

async function timeOf(build: (g: GraphBuilder) => void): Promise<number> {
  const g = new GraphBuilder("probe");
  build(g);
  const session = await createSession(compile(g.build()).program);
  session.warmUp();
  const ms = median(session.time(200));
  session.close();
  return ms;
}

function random(shape: readonly number[], dtype: "f32" | "i8"): Tensor {
  const rng = makeRng(7);
  const value = dtype === "f32" ? () => rng.normal() : () => rng.int(255) - 127;
  return tensorOf(dtype, shape, Array.from({ length: product(shape) }, value));
}

/** Measures the rates of the engine this runs in; a few hundred milliseconds. */
export async function measureRates(): Promise<Rates> {
  const f32 = await timeOf((g) => {
    const x = g.input("x", tensorType("f32", SHAPE));
    g.output(g.apply(conv, [x, g.constant(random(FILTER, "f32"))], CONV_ATTRS), "y");
  });
  const i8 = await timeOf((g) => {
    const quant = (scale: number) => ({ scale: [Math.fround(scale)], zeroPoint: [0], axis: null });
    const x = g.input("x", tensorType("i8", SHAPE, quant(0.05)));
    const w = random(FILTER, "i8");
    const weights = g.constant({ type: { ...w.type, quant: quant(0.01) }, data: w.data });
    const out = { dtype: "i8" as const, ...quant(0.3) };
    g.output(g.apply(conv, [x, weights], { ...CONV_ATTRS, out }), "y");
  });
  const elements = 1 << 16;
  const wide = await timeOf((g) => {
    const x = g.input("x", tensorType("f32", [elements]));
    const y = g.input("y", tensorType("f32", [elements]));
    g.output(g.apply(add, [x, y]), "z");
  });
  const call = await timeOf((g) => {
    g.output(g.apply(relu, [g.input("x", tensorType("f32", [4]))]), "y");
  });
  return {
    macsPerMsF32: CONV_MACS / f32,
    macsPerMsI8: CONV_MACS / i8,
    bytesPerMs: (12 * elements) / wide,
    callMs: call,
  };
}

/** Time of a layer by the model above, in milliseconds. */
export const predictMs = (
  rates: Rates,
  macs: number,
  movedBytes: number,
  quantised: boolean,
): number =>
  macs / (quantised ? rates.macsPerMsI8 : rates.macsPerMsF32) +
  movedBytes / rates.bytesPerMs +
  rates.callMs;
