/**
 * @file How fast this machine is beside the one whose times the cost model was fitted to: a few small networks
 * are timed and compared with what the model says of them. Predicted times are brought to this machine by that.
 */
import { GraphBuilder } from "../graph/graph.ts";
import { add } from "../ops/elementwise/add.ts";
import { conv } from "../ops/nn/conv.ts";
import { compile } from "../pipeline.ts";
import { createSession } from "../runtime/session.ts";
import type { Explanation, PricedCandidate } from "../select/select.ts";
import { type Tensor, tensorOf, tensorType } from "../tensor/tensor.ts";
import { median, product } from "../util/math.ts";
import { makeRng } from "../util/rng.ts";

const SHAPE = [1, 16, 16, 32] as const;
const FILTER = [32, 3, 3, 32] as const;
const CONV_ATTRS = {
  layout: "nhwc",
  stride: [1, 1],
  padBegin: [1, 1],
  padEnd: [1, 1],
  dilation: [1, 1],
  groups: 1,
} as const;

const RUNS = 200;

/** Measured over predicted time of a network. */
async function ratioOf(build: (g: GraphBuilder) => void): Promise<number> {
  const g = new GraphBuilder("probe");
  build(g);
  const compiled = compile(g.build());
  const session = await createSession(compiled.program);
  session.warmUp();
  const ms = median(session.time(RUNS));
  session.close();
  return (1e6 * ms) / compiled.predictedNs;
}

function random(shape: readonly number[], dtype: "f32" | "i8"): Tensor {
  const rng = makeRng(7);
  const value = dtype === "f32" ? () => rng.normal() : () => rng.int(255) - 127;
  return tensorOf(dtype, shape, Array.from({ length: product(shape) }, value));
}

/** Factor from the cost model's times to those of this engine; takes a few hundred milliseconds. */
export async function measureSpeed(): Promise<number> {
  const f32 = await ratioOf((g) => {
    const x = g.input("x", tensorType("f32", SHAPE));
    g.output(g.apply(conv, [x, g.constant(random(FILTER, "f32"))], CONV_ATTRS), "y");
  });
  const i8 = await ratioOf((g) => {
    const quant = (scale: number) => ({ scale: [Math.fround(scale)], zeroPoint: [0], axis: null });
    const x = g.input("x", tensorType("i8", SHAPE, quant(0.05)));
    const w = random(FILTER, "i8");
    const weights = g.constant({ type: { ...w.type, quant: quant(0.01) }, data: w.data });
    const out = { dtype: "i8" as const, ...quant(0.3) };
    g.output(g.apply(conv, [x, weights], { ...CONV_ATTRS, out }), "y");
  });
  const wide = await ratioOf((g) => {
    const type = tensorType("f32", [1 << 16]);
    g.output(g.apply(add, [g.input("x", type), g.input("y", type)]), "z");
  });
  return Math.cbrt(f32 * i8 * wide);
}

/** An explanation with all times multiplied by a factor. */
export function scaleExplanation(e: Explanation, factor: number): Explanation {
  const scaled = <T extends { readonly ns: number }>(t: T): T => ({ ...t, ns: factor * t.ns });
  const runnerUp = (r: { readonly candidate: PricedCandidate; readonly gapNs: number }) => ({
    candidate: scaled(r.candidate),
    gapNs: factor * r.gapNs,
  });
  return {
    layers: e.layers.map((l) => ({
      ...l,
      chosen: scaled(l.chosen),
      others: l.others.map(scaled),
      runnerUp: l.runnerUp && runnerUp(l.runnerUp),
    })),
    conversions: e.conversions.map(scaled),
    predictedNs: factor * e.predictedNs,
    gapNs: factor * e.gapNs,
  };
}
