/** @file Straight-through estimators: golden values of LSQ, STE inside and outside, any axis, finite differences. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { GraphBuilder, type Value } from "../../graph/graph.ts";
import { interpret } from "../../graph/interpret.ts";
import { ops } from "../../ops/index.ts";
import { fakeQuantize, lsqQuantize, quantize } from "../../ops/quant/index.ts";
import { reduceSum } from "../../ops/reduce/index.ts";
import { dequantizeTensor } from "../../tensor/quant.ts";
import { type Tensor, tensorOf, toNumbers } from "../../tensor/tensor.ts";
import { makeRng } from "../../util/rng.ts";
import { gradients } from "../backward.ts";
import { Calc } from "../calc.ts";
import { STRAIGHT_THROUGH } from "./index.ts";

const close = (got: number, want: number, tolerance: number): void =>
  assert.ok(Math.abs(got - want) <= tolerance, `${got}, expected ${want}`);

function closeAll(got: readonly number[], want: readonly number[], tolerance: number): void {
  assert.equal(got.length, want.length);
  got.forEach((x, i) => {
    close(x, want[i]!, tolerance);
  });
}

const f64 = (shape: readonly number[], values: readonly number[]): Tensor =>
  tensorOf("f64", shape, values);

/** Results of a graph built on inputs. */
function evaluate(
  ins: readonly Tensor[],
  build: (g: GraphBuilder, ins: readonly Value[]) => readonly Value[],
): number[][] {
  const g = new GraphBuilder("quant");
  const values = ins.map((t, i) => g.input(`in${i}`, t.type));
  for (const v of build(g, values)) g.output(v);
  return interpret(g.build(), ins).map(toNumbers);
}

const sumOf = (g: GraphBuilder, v: Value): Value =>
  g.apply(reduceSum, [v], { axes: g.typeOf(v).shape.map((_, i) => i), keepDims: false });

// techniques: Esser et al., with v, s and three signed bits.
const V = [-1.2, -0.3, 0.2, 0.6, 2];
const GAIN = 1 / Math.sqrt(V.length * 3);

test("LSQ: golden values in double precision", () => {
  const attrs = { min: -4, max: 3, axis: null, gain: GAIN };
  const ins = [f64([5], V), f64([], [0.25]), f64([], [0])];
  const [y, dv, ds] = evaluate(ins, (g, [v, s, z]) => {
    const q = g.apply(lsqQuantize, [v!, s!, z!], attrs);
    return [q, ...gradients(g, sumOf(g, q), [v!, s!])];
  });
  closeAll(y!, [-1, -0.25, 0.25, 0.5, 0.75], 1e-12);
  closeAll(dv!, [0, 1, 1, 1, 0], 0);
  close(ds![0]!, -0.2581988897, 1e-9);
});

test("LSQ: each element's share of the scale's gradient", () => {
  const attrs = { min: -4, max: 3, axis: 0, gain: 1 };
  const ins = [
    f64([5], V),
    f64(
      [5],
      V.map(() => 0.25),
    ),
    f64(
      [5],
      V.map(() => 0),
    ),
  ];
  const [ds] = evaluate(ins, (g, [v, s, z]) => {
    const q = g.apply(lsqQuantize, [v!, s!, z!], attrs);
    return gradients(g, sumOf(g, q), [s!]);
  });
  closeAll(ds!, [-4, 0.2, 0.2, -0.4, 3], 1e-12);
});

test("LSQ along any axis is the sum over the others, times the gain", () => {
  const rng = makeRng(8);
  const shape = [3, 4, 2];
  const x = f64(
    shape,
    Array.from({ length: 24 }, () => rng.normal()),
  );
  const ct = f64(
    shape,
    Array.from({ length: 24 }, () => rng.normal()),
  );
  for (const axis of [0, 1, 2]) {
    const n = shape[axis]!;
    const scales = Array.from({ length: n }, (_, i) => 0.2 + 0.1 * i);
    const ins = [x, f64([n], scales), f64([n], new Array<number>(n).fill(0)), ct];
    const [ds] = evaluate(ins, (g, [v, s, z, c]) => {
      const q = g.apply(lsqQuantize, [v!, s!, z!], { min: -2, max: 1, axis, gain: 0.5 });
      return gradients(g, sumOf(g, new Calc(g).mul(q, c!)), [s!]);
    });
    const inner = shape.slice(axis + 1).reduce((a, b) => a * b, 1);
    const want = new Array<number>(n).fill(0);
    toNumbers(x).forEach((v, i) => {
      const c = Math.floor(i / inner) % n;
      const u = v / scales[c]!;
      const slope = u <= -2 ? -2 : u >= 1 ? 1 : Math.round(u) - u;
      want[c]! += 0.5 * slope * toNumbers(ct)[i]!;
    });
    closeAll(ds!, want, 1e-12);
  }
});

test("LSQ: where all is clamped the gradient of the scale is the derivative", () => {
  const at = (scale: number): number[][] =>
    evaluate([f64([4], [-9, 7, 8, 30]), f64([], [scale]), f64([], [0])], (g, [v, s, z]) => {
      const attrs = { min: -4, max: 3, axis: null, gain: 1 };
      const loss = sumOf(g, g.apply(lsqQuantize, [v!, s!, z!], attrs));
      return [loss, ...gradients(g, loss, [s!])];
    });
  const h = 1e-4;
  const difference = (at(0.5 + h)[0]![0]! - at(0.5 - h)[0]![0]!) / (2 * h);
  close(at(0.5)[1]![0]!, difference, 1e-8);
});

test("fake quantisation passes gradients inside the range, none outside, none to the scale", () => {
  const x = f64([6], [-3, -1.04, -0.2, 0.51, 1.52, 1.6]);
  const ct = f64([6], [1, 2, 3, 4, 5, 6]);
  const [y, dx, ds] = evaluate([x, f64([], [0.5]), f64([], [1]), ct], (g, [v, s, z, c]) => {
    const q = g.apply(fakeQuantize, [v!, s!, z!], { min: -1, max: 4, axis: null });
    return [q, ...gradients(g, sumOf(g, new Calc(g).mul(q, c!)), [v!, s!])];
  });
  closeAll(y!, [-1, -1, 0, 0.5, 1.5, 1.5], 1e-12);
  closeAll(dx!, [0, 2, 3, 4, 5, 6], 0);
  closeAll(ds!, [0], 0);
});

test("fake quantisation gives the reals that quantise and dequantise give, to the bit", () => {
  const rng = makeRng(3);
  const x = tensorOf(
    "f32",
    [2000],
    Array.from({ length: 2000 }, (_, i) => (i < 40 ? (i - 20) * 0.0135 : 3 * rng.normal())),
  );
  const scale = Math.fround(0.027);
  const out = { dtype: "i8" as const, scale: [scale], zeroPoint: [-11], axis: null };
  const g = new GraphBuilder("both");
  const v = g.input("x", x.type);
  const params = [scale, -11].map((p) => g.constant(tensorOf("f32", [], [p])));
  g.output(g.apply(fakeQuantize, [v, ...params], { min: -128, max: 127, axis: null }));
  g.output(g.apply(quantize, [v], { out }));
  const [fake, integers] = interpret(g.build(), [x]);
  assert.deepEqual(toNumbers(fake!), toNumbers(dequantizeTensor(integers!)));
});

test("every operator trained straight through is one of these", () => {
  assert.deepEqual([...STRAIGHT_THROUGH].sort(), ["fake_quantize", "lsq_quantize"]);
  for (const name of STRAIGHT_THROUGH) assert.ok(ops[name] !== undefined);
});

test("ranges without 0 or of more than 31 bits are refused", () => {
  const build = (min: number, max: number) => () =>
    evaluate([f64([2], [1, 2]), f64([], [1]), f64([], [0])], (g, [v, s, z]) => [
      g.apply(fakeQuantize, [v!, s!, z!], { min, max, axis: null }),
    ]);
  for (const [min, max] of [
    [1, 5],
    [0, 2 ** 31],
    [-2, 0.5],
  ] as const) {
    assert.throws(build(min, max), { code: "E_MODEL" });
  }
});
