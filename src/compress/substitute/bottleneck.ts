/**
 * @file 1 x 1, k x k in groups, 1 x 1, as near to a dense convolution as alternating least squares brings it: Tucker-2
 * where there is one group; else a sum of such terms, one a group, from the Tucker-2 core whose channels are ordered so
 * that most of it is within groups.
 */
import type { Kernel } from "../factorise/layer.ts";
import {
  type Mat,
  matOf,
  multiply,
  solveGram,
  solveTransposed,
  squaredNorm,
  transposed,
} from "../factorise/linear-algebra.ts";
import {
  inputUnfolding,
  outputUnfolding,
  second,
  type Tucker,
  tucker,
  tuckerDense,
} from "../factorise/tucker.ts";
import { bestGrouping } from "./groups.ts";
import { channelMoments } from "./moments.ts";
import { rootOf, weighted } from "./project.ts";
import type { Form } from "./type.ts";

/** The three parts. */
export interface Narrowed {
  /** [inputs, between]. */
  readonly inner: Mat;
  /** [behind, between of a group, height, width]. */
  readonly core: Float64Array;
  /** [outputs, behind]. */
  readonly outer: Mat;
  /** Squared errors before the first sweep and after each; they never rise but for rounding. */
  readonly errors: readonly number[];
  /** [outputs, inputs, height, width]. */
  readonly dense: Float64Array;
}

const SWEEPS = 20;
/** Of the norm: a sweep that gains less ends the iteration. */
const ENOUGH = 2e-3;

type Bottleneck = Extract<Form, { readonly kind: "bottleneck" }>;

/**
 * The parts for a kernel. `moments`: as for `projected`, but only those of channels count, as if the places of a window
 * did not depend on each other.
 */
export function narrowed(k: Kernel, form: Bottleneck, moments?: Mat): Narrowed {
  if (moments === undefined) return fitted(k, form);
  const taps = k.height * k.width;
  const root = rootOf(channelMoments(moments, k.inputs));
  const rows = matOf(k.outputs, k.inputs * taps, k.data);
  const found = fitted({ ...k, data: weighted(rows, root, taps).data }, form);
  const inner = solveTransposed(root, found.inner);
  const parts = { ...found, inner };
  return { ...parts, dense: denseOf(k, parts, form.groups) };
}

function fitted(k: Kernel, form: Bottleneck): Narrowed {
  if (form.groups > 1) return inGroups(k, form);
  const found = tucker(k, form.between, form.behind);
  const { inner, outer, core, errors } = found;
  return { inner, outer, core, errors, dense: tuckerDense(k, found) };
}

type Parts = Pick<Narrowed, "inner" | "core" | "outer">;

/** The columns of one group, or of an order. */
function picked(m: Mat, order: ArrayLike<number>): Mat {
  const out = matOf(m.rows, order.length);
  for (let i = 0; i < m.rows; i++)
    for (let c = 0; c < order.length; c++)
      out.data[i * out.cols + c] = m.data[i * m.cols + order[c]!]!;
  return out;
}

const part = (m: Mat, group: number, size: number): Mat =>
  picked(
    m,
    Int32Array.from({ length: size }, (_, i) => group * size + i),
  );

/** Rows of one group seen through the inner factor: [each, inputs * taps]. */
function widened(k: Kernel, { inner, core }: Parts, group: number, each: number): Mat {
  const taps = k.height * k.width;
  const own = core.subarray(group * each * each * taps, (group + 1) * each * each * taps);
  const wide = multiply(part(inner, group, each), second(own, each, each, taps));
  return second(wide.data, k.inputs, each, taps);
}

/** [behind, inputs * taps] of all groups. */
function allWidened(k: Kernel, parts: Parts, groups: number): Mat {
  const each = parts.outer.cols / groups;
  const out = matOf(parts.outer.cols, k.inputs * k.height * k.width);
  for (let j = 0; j < groups; j++) {
    out.data.set(widened(k, parts, j, each).data, j * each * out.cols);
  }
  return out;
}

const denseOf = (k: Kernel, parts: Parts, groups: number): Float64Array =>
  groups === 1
    ? tuckerDense(k, parts as Tucker)
    : multiply(parts.outer, allWidened(k, parts, groups)).data;

/** [between, outputs * taps]: the core seen through the outer factor. */
function allRaised(k: Kernel, { inner, core, outer }: Parts, groups: number): Mat {
  const taps = k.height * k.width;
  const each = inner.cols / groups;
  const out = matOf(inner.cols, k.outputs * taps);
  for (let j = 0; j < groups; j++) {
    const own = core.subarray(j * each * each * taps, (j + 1) * each * each * taps);
    const raised = multiply(part(outer, j, each), matOf(each, each * taps, own));
    out.data.set(second(raised.data, k.outputs, each, taps).data, j * each * out.cols);
  }
  return out;
}

/** x of x z = w, nearest. */
const fit = (w: Mat, z: Mat): Mat =>
  solveGram(multiply(z, transposed(z)), multiply(w, transposed(z)));

/** The core of every group in turn, given the others. */
function fitCores(k: Kernel, parts: Parts, groups: number): Float64Array {
  const taps = k.height * k.width;
  const each = parts.inner.cols / groups;
  const core = parts.core.slice();
  const now = { ...parts, core };
  const rest = k.data.slice();
  const term = (j: number): Float64Array =>
    multiply(part(parts.outer, j, each), widened(k, now, j, each)).data;
  const add = (by: Float64Array, sign: number): void =>
    by.forEach((x, i) => {
      rest[i]! += sign * x;
    });
  for (let j = 0; j < groups; j++) add(term(j), -1);
  for (let j = 0; j < groups; j++) {
    add(term(j), 1);
    const seen = fit(
      transposed(matOf(k.outputs, k.inputs * taps, rest)),
      transposed(part(parts.outer, j, each)),
    );
    // [inputs * taps, each] as [each, inputs, taps], then without the inner factor.
    const byInput = second(transposed(seen).data, each, k.inputs, taps);
    const inner = fit(transposed(byInput), transposed(part(parts.inner, j, each)));
    const own = second(transposed(inner).data, each, each, taps).data;
    core.set(own, j * each * each * taps);
    add(term(j), -1);
  }
  return core;
}

/** Tucker-2 of all channels, cut to what is within groups. */
function start(k: Kernel, { groups, between }: Bottleneck): Parts {
  const taps = k.height * k.width;
  const each = between / groups;
  const [r3, r4] = [Math.min(between, k.inputs), Math.min(between, k.outputs)];
  const whole = tucker(k, r3, r4, 0);
  // More channels than inputs: the first ones once more, in other groups.
  const again = (n: number): Int32Array => Int32Array.from({ length: between }, (_, i) => i % n);
  const [from, to] = [again(r3), again(r4)];
  const energy = matOf(between, between);
  const cell = (o: number, i: number): number => (to[o]! * r3 + from[i]!) * taps;
  for (let o = 0; o < between; o++)
    for (let i = 0; i < between; i++) {
      const at = cell(o, i);
      energy.data[o * between + i] = squaredNorm(whole.core.subarray(at, at + taps));
    }
  const { outputs, inputs } = bestGrouping(energy, groups);
  const core = new Float64Array(between * each * taps);
  outputs.forEach((o, at) => {
    const first = Math.floor(at / each) * each;
    for (let i = 0; i < each; i++) {
      const source = cell(o, inputs[first + i]!);
      core.set(whole.core.subarray(source, source + taps), (at * each + i) * taps);
    }
  });
  return {
    inner: picked(
      whole.inner,
      inputs.map((i) => from[i]!),
    ),
    outer: picked(
      whole.outer,
      outputs.map((o) => to[o]!),
    ),
    core,
  };
}

function inGroups(k: Kernel, form: Bottleneck): Narrowed {
  const { groups } = form;
  const byOutput = outputUnfolding(k);
  const byInput = inputUnfolding(k);
  const errorOf = (p: Parts): number =>
    squaredNorm(denseOf(k, p, groups).map((x, i) => x - k.data[i]!));
  let parts = start(k, form);
  const errors = [errorOf(parts)];
  const enough = ENOUGH * Math.sqrt(squaredNorm(k.data));
  for (let i = 0; i < SWEEPS; i++) {
    let next: Parts = { ...parts, outer: fit(byOutput, allWidened(k, parts, groups)) };
    next = { ...next, inner: fit(byInput, allRaised(k, next, groups)) };
    next = { ...next, core: fitCores(k, next, groups) };
    const [before, now] = [errors.at(-1)!, errorOf(next)];
    if (!(now <= before)) break;
    parts = next;
    errors.push(now);
    if (Math.sqrt(before) - Math.sqrt(now) <= enough) break;
  }
  return { ...parts, errors, dense: denseOf(k, parts, groups) };
}
