/** @file Distillation and attention transfer against the golden values of their papers' code, digit for digit. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { gradients } from "../autodiff/backward.ts";
import { GraphBuilder, type Value } from "../graph/graph.ts";
import { interpret } from "../graph/interpret.ts";
import { add } from "../ops/elementwise/add.ts";
import { mul } from "../ops/elementwise/mul.ts";
import { scalarOf, type Tensor, tensorOf, toNumbers } from "../tensor/tensor.ts";
import { makeRng } from "../util/rng.ts";
import { attentionMap, attentionTransfer, crossEntropy, distillation } from "./losses.ts";

const close = (got: number, want: number, tolerance: number): void =>
  assert.ok(Math.abs(got - want) <= tolerance, `${got}, expected ${want}`);

function evaluate(
  ins: readonly Tensor[],
  build: (g: GraphBuilder, ins: readonly Value[]) => readonly Value[],
): number[][] {
  const g = new GraphBuilder("loss");
  const values = ins.map((t, i) => g.input(`in${i}`, t.type));
  for (const v of build(g, values)) g.output(v);
  return interpret(g.build(), ins).map(toNumbers);
}

const row = (...xs: number[]): Tensor => tensorOf("f64", [1, xs.length], xs);

/** Equal to so many digits behind the point. */
const digits = (got: number, want: number, places: number): void =>
  close(got, want, 0.5000001 * 10 ** -places);

test("distillation: golden values and gradient", () => {
  const ins = [row(1, 2, 0.5, -1), row(2, 1, 0, -2), row(0, 1, 0, 0)];
  const [soft, hard, total, ds] = evaluate(ins, (g, [s, t, y]) => {
    const [kd, ce] = [distillation(g, s!, t!, 4), crossEntropy(g, s!, y!)];
    const scale = (v: Value, k: number): Value => g.apply(mul, [v, g.constant(scalarOf("f64", k))]);
    const sum = g.apply(add, [scale(kd, 0.9), scale(ce, 0.1)]);
    return [kd, ce, sum, gradients(g, kd, [s!])[0]!];
  });
  const [kd, ce] = [soft![0]!, hard![0]!];
  digits(kd / 16, 0.024260220211, 12);
  digits(kd, 0.38816352338, 12);
  digits(ce, 0.495181898086, 12);
  digits(total![0]!, 0.398865360851, 12);
  // Moonshine's code takes the mean over classes too, and twice of it.
  digits((0.9 * 2 * kd) / 4 + 0.1 * ce, 0.22419177533, 12);
  const want = [-0.39269968, 0.2297788, 0.05438106, 0.10853982];
  want.forEach((x, i) => {
    digits(ds![i]!, x, 8);
  });
});

// Channels first in the source: 3 x 2 x 2 as height 2, width 2, channels 3.
const nhwc = (f: (i: number) => number): Tensor =>
  tensorOf(
    "f64",
    [1, 2, 2, 3],
    Array.from({ length: 12 }, (_, i) => f((i % 3) * 4 + Math.floor(i / 3))),
  );

test("attention transfer: golden map and value, and zero for equal or scaled activations", () => {
  const s = nhwc((i) => (i + 1) / 10);
  const t = nhwc((i) => (12 - i) / 10);
  const [loss, same, map] = evaluate([s, t, nhwc((i) => (i + 1) * 7)], (g, [a, b, c]) => [
    attentionTransfer(g, a!, b!),
    attentionTransfer(g, a!, c!),
    attentionMap(g, a!),
  ]);
  digits(loss![0]!, 0.067142831918, 12);
  close(same![0]!, 0, 1e-15);
  const want = [0.31793182, 0.41598556, 0.53186725, 0.66557689];
  want.forEach((q, i) => {
    digits(map![i]!, q, 8);
  });
});

test("attention transfer: the gradient as written out, its bounds, any order of channels", () => {
  const rng = makeRng(3);
  const [rows, positions, channels] = [2, 6, 4];
  const random = (): Tensor =>
    tensorOf(
      "f64",
      [rows, 2, 3, channels],
      Array.from({ length: rows * positions * channels }, () => rng.normal()),
    );
  const [s, t] = [random(), random()];
  const turned: Tensor = {
    ...s,
    data: Float64Array.from({ length: s.data.length }, (_, i) =>
      Number(s.data[i - (i % channels) + ((i + 1) % channels)]),
    ),
  };
  const [loss, got, mapS, mapT, same] = evaluate([s, t, turned], (g, [a, b, c]) => {
    const at = attentionTransfer(g, a!, b!);
    const maps = [attentionMap(g, a!), attentionMap(g, b!)];
    return [at, gradients(g, at, [a!])[0]!, ...maps, attentionTransfer(g, c!, b!)];
  });
  close(same![0]!, loss![0]!, 1e-15);
  assert.ok(loss![0]! > 0 && loss![0]! <= 2 / positions);
  for (let n = 0; n < rows; n++) {
    const part = (map: readonly number[]): number[] =>
      map.slice(n * positions, (n + 1) * positions);
    const [qs, qt] = [part(mapS!), part(mapT!)];
    close(Math.hypot(...qs), 1, 1e-12);
    const a = Array.from({ length: positions * channels }, (_, i) =>
      Number(s.data[n * positions * channels + i]),
    );
    const f = qs.map((_, p) => {
      const own = a.slice(p * channels, (p + 1) * channels);
      return own.reduce((sum, x) => sum + x * x, 0) / channels;
    });
    const dq = qs.map((q, p) => (2 * (q - qt[p]!)) / (rows * positions));
    const dot = dq.reduce((sum, d, p) => sum + d * qs[p]!, 0);
    const df = dq.map((d, p) => (d - qs[p]! * dot) / Math.hypot(...f));
    a.forEach((x, i) => {
      const want = (2 / channels) * x * df[Math.floor(i / channels)]!;
      close(got![n * positions * channels + i]!, want, 1e-14);
    });
  }
});
