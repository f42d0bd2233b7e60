/** @file Weights of substitutes are the nearest of their form. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { close, distance, normals } from "../../../test/support/decompositions.ts";
import { makeRng, type Rng } from "../../util/rng.ts";
import type { Kernel } from "../factorise/layer.ts";
import {
  columns,
  type Mat,
  matOf,
  multiply,
  squaredNorm,
  svd,
  transposed,
} from "../factorise/linear-algebra.ts";
import { narrowed } from "./bottleneck.ts";
import { bestGrouping } from "./groups.ts";
import { projected, rootOf, weighted } from "./project.ts";

const kernelOf = (rng: Rng, outputs: number, inputs: number, size = 3): Kernel => ({
  ...{ outputs, inputs, height: size, width: size },
  data: normals(rng, outputs * inputs * size * size),
});

/** Weights of the inputs of one group: [outputs, inputs of the group * taps]. */
function groupOf(k: Kernel, group: number, count: number): Mat {
  const taps = k.height * k.width;
  const out = matOf(k.outputs, count * taps);
  for (let o = 0; o < k.outputs; o++)
    for (let c = 0; c < out.cols; c++)
      out.data[o * out.cols + c] = k.data[(o * k.inputs + group * count) * taps + c]!;
  return out;
}

test("the error of G is the tail of the singular values of every group", () => {
  const rng = makeRng(1);
  for (const [outputs, inputs, groups, between] of [
    [8, 12, 2, 12],
    [16, 8, 4, 8],
    [12, 8, 8, 8],
    [24, 6, 6, 12],
    [6, 6, 3, 6],
  ] as const) {
    const k = kernelOf(rng, outputs, inputs);
    const { dense } = projected(k, groups, between);
    let tail = 0;
    for (let j = 0; j < groups; j++) {
      const { s } = svd(groupOf(k, j, inputs / groups));
      for (const x of s.slice(between / groups)) tail += x * x;
    }
    close(distance(dense, k.data), tail, 1e-10 * squaredNorm(k.data));
  }
});

test("one group is exact where outputs are no more than inputs", () => {
  const k = kernelOf(makeRng(2), 6, 8);
  const { dense } = projected(k, 1, 8);
  assert.ok(distance(dense, k.data) < 1e-24 * squaredNorm(k.data) * k.data.length);
});

test("a depthwise-separable kernel is found again", () => {
  const rng = makeRng(3);
  const [depth, point] = [normals(rng, 5 * 9), normals(rng, 7 * 5)];
  const data = new Float64Array(7 * 5 * 9);
  data.forEach((_, at) => {
    const [o, i, t] = [Math.floor(at / 45), Math.floor(at / 9) % 5, at % 9];
    data[at] = point[o * 5 + i]! * depth[i * 9 + t]!;
  });
  const k = { outputs: 7, inputs: 5, height: 3, width: 3, data };
  assert.ok(distance(projected(k, 5, 5).dense, data) < 1e-20);
});

/** Least squares of a 1 x 1 behind a window given as a dense matrix [between, inputs * taps]. */
function bestPoint(w: Mat, window: Mat): Float64Array {
  // Through the orthonormal rows that the window spans.
  const { v } = svd(window);
  const basis = columns(v, Math.min(window.rows, v.cols));
  return multiply(multiply(w, basis), transposed(basis)).data;
}

test("no random window with its best 1 x 1 comes nearer, nor does any change of the found one", () => {
  const rng = makeRng(4);
  const k = kernelOf(rng, 8, 6);
  const groups = 3;
  const found = projected(k, groups, 6);
  const error = distance(found.dense, k.data);
  const w = matOf(8, 54, k.data);
  for (let n = 0; n < 200; n++) {
    const window = matOf(6, 54);
    const near = n % 2 === 0 ? 0 : 10 ** -(n % 5);
    for (let r = 0; r < 6; r++) {
      const first = Math.floor(r / 2) * 18;
      for (let c = 0; c < 18; c++) {
        const own = near === 0 ? 0 : found.window[r * 18 + c]!;
        window.data[r * 54 + first + c] = own + (near || 1) * rng.normal();
      }
    }
    assert.ok(distance(bestPoint(w, window), k.data) >= error * (1 - 1e-9));
  }
});

/** Second moments of channels that depend on each other, and some that are nearly still. */
function momentsOf(rng: Rng, count: number): Mat {
  const mix = matOf(count, count, normals(rng, count * count));
  for (let i = 0; i < count; i++)
    for (let j = 0; j < count; j++) mix.data[i * count + j]! *= i < count / 3 ? 0.05 : 1;
  return multiply(mix, transposed(mix));
}

/** The squared error of results on inputs of these moments. */
function resultsOf(k: Kernel, moments: Mat): (dense: Float64Array) => number {
  const root = rootOf(moments);
  return (dense) => {
    const off = dense.map((y, i) => y - k.data[i]!);
    return squaredNorm(weighted(matOf(k.outputs, root.rows, off), root).data);
  };
}

test("with moments results come nearer, and nothing near is better", () => {
  const rng = makeRng(5);
  const k = kernelOf(rng, 10, 8);
  const moments = momentsOf(rng, 72);
  const seen = resultsOf(k, moments);
  for (const groups of [1, 2, 8]) {
    const between = groups === 1 ? 4 : 8;
    const [plain, aware] = [projected(k, groups, between), projected(k, groups, between, moments)];
    assert.ok(seen(aware.dense) < 0.99 * seen(plain.dense), `${groups} groups`);
    assert.ok(distance(aware.dense, k.data) >= distance(plain.dense, k.data) * (1 - 1e-9));
    for (let n = 0; n < 40; n++) {
      const point = matOf(
        10,
        between,
        aware.point.data.map((x) => x + 1e-3 * rng.normal()),
      );
      const window = new Float64Array(between * 72);
      for (let r = 0; r < between; r++) {
        const cols = 72 / groups;
        const first = Math.floor(r / (between / groups)) * cols;
        window.set(aware.window.subarray(r * cols, (r + 1) * cols), r * 72 + first);
      }
      const other = multiply(point, matOf(between, 72, window)).data;
      assert.ok(seen(other) >= seen(aware.dense));
    }
  }
});

/** All ways to put n things into groups of equal size. */
function* partitions(n: number, size: number, taken: number[][] = []): Generator<number[][]> {
  const left = Array.from({ length: n }, (_, i) => i).filter((i) => !taken.flat().includes(i));
  if (left.length === 0) {
    yield taken;
    return;
  }
  const [first, ...others] = left as [number, ...number[]];
  const choose = function* (from: readonly number[], k: number): Generator<number[]> {
    if (k === 0) yield [];
    for (const [at, x] of from.entries()) {
      if (k > 0) for (const rest of choose(from.slice(at + 1), k - 1)) yield [x, ...rest];
    }
  };
  for (const rest of choose(others, size - 1))
    yield* partitions(n, size, [...taken, [first, ...rest]]);
}

test("channel orders: close to the best of all, exact where groups are planted", () => {
  const rng = makeRng(6);
  let [sum, most] = [0, 0];
  for (let n = 0; n < 12; n++) {
    const e = matOf(
      6,
      4,
      normals(rng, 24).map((x) => x * x),
    );
    const at = (outs: readonly number[], ins: readonly number[]): number =>
      outs.reduce((s, o) => s + ins.reduce((t, i) => t + e.data[o * 4 + i]!, 0), 0);
    let best = 0;
    for (const outs of partitions(6, 3)) {
      for (const ins of partitions(4, 2)) {
        const straight = at(outs[0]!, ins[0]!) + at(outs[1]!, ins[1]!);
        best = Math.max(best, straight, at(outs[0]!, ins[1]!) + at(outs[1]!, ins[0]!));
      }
    }
    const found = bestGrouping(e, 2);
    const { outputs, inputs } = found;
    close(
      found.kept,
      at([...outputs.subarray(0, 3)], [...inputs.subarray(0, 2)]) +
        at([...outputs.subarray(3)], [...inputs.subarray(2)]),
      1e-12,
    );
    assert.ok(found.kept <= best + 1e-12);
    sum += found.kept;
    most += best;
  }
  assert.ok(sum > 0.98 * most, `${sum} of ${most}`);
  const [outputs, inputs] = [rng.permutation(8), rng.permutation(8)];
  const planted = matOf(8, 8);
  for (let o = 0; o < 8; o++)
    for (let i = 0; i < 8; i++)
      if (o >> 1 === i >> 1) planted.data[outputs[o]! * 8 + inputs[i]!] = 1 + rng.next();
  close(
    bestGrouping(planted, 4).kept,
    planted.data.reduce((a, b) => a + b),
    1e-12,
  );
});

test("a bottleneck in groups: sweeps never raise the error, and gain over the cut core", () => {
  const rng = makeRng(7);
  const k = kernelOf(rng, 12, 10);
  for (const [groups, between] of [
    [2, 6],
    [3, 6],
    [6, 6],
    [2, 12],
  ] as const) {
    const form = { kind: "bottleneck", groups, between, behind: between } as const;
    const found = narrowed(k, form);
    const error = distance(found.dense, k.data);
    found.errors.slice(1).forEach((e, i) => {
      assert.ok(e <= found.errors[i]!);
    });
    close(error, found.errors.at(-1)!, 1e-9 * squaredNorm(k.data));
    assert.ok(error < 0.98 * found.errors[0]!, "alternating gains over the cut core");
    const whole = narrowed(k, { ...form, groups: 1, between: Math.min(10, between) });
    assert.ok(error >= distance(whole.dense, k.data) * 0.98, "one group is the widest form");
  }
});

test("a bottleneck with moments comes nearer in results", () => {
  const rng = makeRng(8);
  const k = kernelOf(rng, 8, 9);
  const channels = momentsOf(rng, 9);
  const moments = matOf(81, 81);
  for (let i = 0; i < 81; i++)
    for (let j = 0; j < 9; j++)
      moments.data[i * 81 + j * 9 + (i % 9)] = channels.data[Math.floor(i / 9) * 9 + j]!;
  const seen = resultsOf(k, moments);
  for (const groups of [1, 2]) {
    const form = { kind: "bottleneck", groups, between: 4, behind: 4 } as const;
    const [plain, aware] = [narrowed(k, form), narrowed(k, form, moments)];
    assert.ok(seen(aware.dense) < 0.95 * seen(plain.dense), `${groups} groups`);
  }
});
