/**
 * @file The derivative of every operator on its samples, against central differences in double precision; and that
 * every operator has a derivative or a reason why not.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { backpropagate } from "../../src/autodiff/backward.ts";
import { REFUSED, RULES, STRAIGHT_THROUGH, undecided } from "../../src/autodiff/rules/index.ts";
import { type Graph, GraphBuilder, type Value } from "../../src/graph/graph.ts";
import { interpret } from "../../src/graph/interpret.ts";
import type { Op, Sample } from "../../src/graph/op.ts";
import { ops } from "../../src/ops/index.ts";
import { isFloat } from "../../src/tensor/dtype.ts";
import { type Tensor, type TensorType, tensorOf, toNumbers } from "../../src/tensor/tensor.ts";
import { UserError } from "../../src/util/errors.ts";
import { product } from "../../src/util/math.ts";
import { makeRng, type Rng } from "../../src/util/rng.ts";
import { sampleInputs } from "./harness.ts";

const SEED = 4711;
const STEP = 1e-5;
/** Elements of each input that are moved. */
const PROBES = 12;

const wide = (t: TensorType): TensorType => (isFloat(t.dtype) ? { ...t, dtype: "f64" } : t);

/** The sample in double precision; null where the operator or the sample is not about floats. */
function inDoubles(op: Op, sample: Sample): Sample | null {
  if (sample.ins.some((t) => t.quant !== undefined) || "out" in sample.attrs) return null;
  if (!sample.ins.some((t) => isFloat(t.dtype))) return null;
  if (Object.values(sample.values ?? {}).some((list) => list.some(Number.isNaN))) return null;
  const doubled = { ...sample, ins: sample.ins.map(wide) };
  if (op.name === "cast") return doubled;
  try {
    const outs = op.infer(doubled.ins, doubled.attrs);
    return outs.some((t) => t.dtype === "f64") ? doubled : null;
  } catch (error) {
    if (error instanceof UserError) return null;
    throw error;
  }
}

interface Case {
  /** Inputs of the operator, then one weight tensor per float result. */
  readonly feeds: readonly Tensor[];
  readonly forward: Graph;
  readonly backward: Graph;
}

const randomLike = (rng: Rng, type: TensorType): Tensor =>
  tensorOf(
    "f64",
    type.shape,
    Array.from({ length: product(type.shape) }, () => rng.normal()),
  );

/** The operator's results, and the cotangents of its float inputs for given ones of its results. */
function caseOf(op: Op, sample: Sample, rng: Rng, index: number): Case {
  const ins = sampleInputs(sample, index);
  const f = new GraphBuilder("forward");
  for (const v of f.applyAll(
    op,
    ins.map((t, i) => f.input(`x${i}`, t.type)),
    sample.attrs,
  )) {
    f.output(v);
  }
  const forward = f.build();
  const g = new GraphBuilder("backward");
  const xs = ins.map((t, i) => g.input(`x${i}`, t.type));
  const ys = g.applyAll(op, xs, sample.attrs);
  const seeds = new Map<Value, Value>();
  const cts: Tensor[] = [];
  for (const y of ys) {
    const type = g.typeOf(y);
    if (type.dtype !== "f64") continue;
    seeds.set(y, g.input(`ct${cts.length}`, type));
    cts.push(randomLike(rng, type));
  }
  const sources = xs.filter((v) => g.typeOf(v).dtype === "f64");
  for (const [i, ct] of backpropagate(g, g.nodesFrom(0), seeds, sources).entries()) {
    const { shape } = g.typeOf(sources[i]!);
    g.output(ct ?? g.constant(tensorOf("f64", shape, new Array<number>(product(shape)).fill(0))));
  }
  return { feeds: [...ins, ...cts], forward, backward: g.build() };
}

function checkSample(op: Op, sample: Sample, rng: Rng, index: number): void {
  const { feeds, forward, backward } = caseOf(op, sample, rng, index);
  const ins = feeds.slice(0, sample.ins.length);
  const cts = feeds.slice(sample.ins.length).map(toNumbers);
  const loss = (at: readonly Tensor[]): number => {
    const floats = interpret(forward, at).filter((t) => t.type.dtype === "f64");
    return floats.reduce(
      (sum, t, k) => sum + toNumbers(t).reduce((s, v, i) => s + v * cts[k]![i]!, 0),
      0,
    );
  };
  const found = interpret(backward, feeds).map(toNumbers);
  const sources = ins.flatMap((t, i) => (t.type.dtype === "f64" ? [i] : []));
  sources.forEach((input, s) => {
    const x = ins[input]!;
    const count = x.data.length;
    const order = [...rng.permutation(count)].slice(0, PROBES);
    for (const element of order) {
      const moved = (by: number): number => {
        const data = Float64Array.from(x.data as Float64Array);
        data[element] = data[element]! + by;
        return loss(ins.map((t, i) => (i === input ? { ...x, data } : t)));
      };
      const difference = (h: number): number => (moved(h) - moved(-h)) / (2 * h);
      const want = difference(STEP);
      if (!Number.isFinite(want)) continue;
      // Where two steps disagree the function has a corner there.
      if (Math.abs(want - difference(STEP / 2)) > 1e-4 * Math.max(1, Math.abs(want))) continue;
      const got = found[s]![element]!;
      const limit = 2e-5 * Math.max(1, Math.abs(want));
      assert.ok(
        Math.abs(got - want) <= limit,
        `${op.name} sample ${index}, input ${input}, element ${element}: ${got}, expected ${want}`,
      );
    }
  });
}

test("every operator has a derivative, a definition or a reason", () => {
  assert.deepEqual(undecided(), []);
  for (const name of Object.keys(REFUSED)) {
    assert.ok(ops[name] !== undefined && !RULES.has(name), `${name} is refused and offered`);
  }
});

for (const [name, op] of Object.entries(ops)) {
  // What straight-through estimators give instead is tested beside their rules.
  if (REFUSED[name] !== undefined || STRAIGHT_THROUGH.has(name)) continue;
  test(`derivative of ${name}, seed ${SEED}`, (t) => {
    const rng = makeRng(SEED);
    let checked = 0;
    for (const [i, sample] of op.samples.entries()) {
      const doubled = inDoubles(op, sample);
      if (doubled === null) continue;
      const { reduction = "add" } = sample.attrs as { readonly reduction?: string };
      if (reduction !== "add" && reduction !== "none") {
        assert.throws(() => checkSample(op, doubled, rng, i), /cannot be differentiated/);
        continue;
      }
      checkSample(op, doubled, rng, i);
      checked++;
    }
    if (checked === 0) t.diagnostic("no sample on floats");
  });
}

for (const [name, reason] of Object.entries(REFUSED)) {
  test(`${name} is refused by name`, () => {
    const op = ops[name]!;
    const sample = op.samples[0]!;
    const g = new GraphBuilder("refused");
    const xs = sample.ins.map((t, i) => g.input(`x${i}`, t));
    const ys = g.applyAll(op, xs, sample.attrs, "here");
    const floats = xs.filter((v) => isFloat(g.typeOf(v).dtype));
    const y = ys.find((v) => isFloat(g.typeOf(v).dtype));
    if (floats.length === 0 || y === undefined) return;
    const ct = g.input("ct", g.typeOf(y));
    assert.throws(
      () => backpropagate(g, g.nodesFrom(0), new Map([[y, ct]]), floats),
      (error: UserError) => error.code === "E_UNSUPPORTED" && error.message.includes(reason),
    );
  });
}
