/**
 * @file Every operator, every sample: types, interpreter, lowered kernel, in-place, permutation,
 * axes.
 */
import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { test } from "node:test";
import { evalTensors, inferTypes } from "../../src/graph/apply.ts";
import { type Graph, GraphBuilder, type Value } from "../../src/graph/graph.ts";
import { interpret } from "../../src/graph/interpret.ts";
import type { Op, Sample } from "../../src/graph/op.ts";
import { ops } from "../../src/ops/index.ts";
import { isFloat } from "../../src/tensor/dtype.ts";
import { forEachIndex, offsetOf, strides } from "../../src/tensor/shape.ts";
import { byteSize, type Tensor, type TensorType, zeros } from "../../src/tensor/tensor.ts";
import { makeRng } from "../../src/util/rng.ts";
import {
  assertClose,
  type Case,
  evalCase,
  runInterpreted,
  runOnKernel,
  runWasm,
  sampleInputs,
} from "./harness.ts";

const FOLDERS = ["elementwise", "quant", "shape", "reduce", "nn"];

/** The graph of one operator applied to inputs of the sample's types. */
function graphOf(op: Op, sample: Sample): Graph {
  const g = new GraphBuilder(op.name);
  const ins = sample.ins.map((t, i) => g.input(`in${i}`, t));
  for (const v of op.decompose!(g, ins, sample.attrs)) g.output(v);
  return g.build();
}

/** Runs a graph with every node's lowered kernel. */
async function runLowered(graph: Graph, feeds: readonly Tensor[]): Promise<Tensor[]> {
  const env = new Map<Value, Tensor>(graph.constants);
  graph.inputs.forEach((v, i) => env.set(v, feeds[i]!));
  for (const node of graph.nodes) {
    const ins = node.ins.map((v) => env.get(v)!);
    const types = node.outs.map((v) => graph.values.get(v)!.type);
    const inTypes = ins.map((t) => t.type);
    const outs =
      node.op.lower === undefined
        ? await runLowered(graphOf(node.op, { ins: inTypes, attrs: node.attrs }), ins)
        : await runOnKernel(node.op.lower(inTypes, node.attrs, types), ins, types, runInterpreted);
    node.outs.forEach((v, i) => env.set(v, outs[i]!));
  }
  return graph.outputs.map((v) => env.get(v)!);
}

async function checkCore(op: Op, sample: Sample, c: Case): Promise<void> {
  c.want.forEach((t, k) => assert.deepEqual(t.type, c.types[k], `${c.label}: eval's type`));
  const kernel = op.lower!(sample.ins, sample.attrs, c.types);
  const got = await runOnKernel(kernel, c.ins, c.types, runInterpreted);
  got.forEach((t, k) => assertClose(t, c.want[k]!, sample.tolerance, c.label));
  const compiled = await runOnKernel(kernel, c.ins, c.types, runWasm);
  compiled.forEach((t, k) => assertClose(t, got[k]!, sample.tolerance, `${c.label} in wasm`));
  // A view is the same memory: its kernel never runs in place.
  const shared = op.view ? null : (op.inPlace?.(sample.ins, sample.attrs, c.types) ?? null);
  if (shared === null) return;
  assert.equal(byteSize(sample.ins[shared]!), byteSize(c.types[0]!), `${c.label}: in place`);
  const again = await runOnKernel(kernel, c.ins, c.types, runInterpreted, shared);
  again.forEach((t, k) => assert.deepEqual(t, got[k], `${c.label}: in place`));
}

for (const [name, op] of Object.entries(ops)) {
  test(`op ${name}`, async () => {
    assert.equal(op.name, name);
    assert.ok(op.samples.length >= 2, "at least two samples");
    for (const [i, sample] of op.samples.entries()) {
      if (op.eval !== undefined) {
        assert.ok(op.lower !== undefined, "a core op has lower");
        const c = evalCase(op, sample, i);
        await checkCore(op, sample, c);
        checkAxes(op, sample, c);
        checkPermute(op, sample, c, i);
      }
      if (op.decompose === undefined) continue;
      const feeds = sampleInputs(sample, i + 1);
      const graph = graphOf(op, sample);
      const types = inferTypes(op, sample.ins, sample.attrs);
      const want = interpret(graph, feeds);
      want.forEach((t, k) => assert.deepEqual(t.type, types[k], `${name}: infer and decompose`));
      const got = await runLowered(graph, feeds);
      got.forEach((t, k) => assertClose(t, want[k]!, sample.tolerance, `${name} sample ${i}`));
      if (op.eval === undefined) continue;
      const direct = evalTensors(op, feeds, sample.attrs, types);
      want.forEach((t, k) => assertClose(t, direct[k]!, sample.tolerance, `${name}: eval`));
    }
    assert.ok(op.eval !== undefined || op.decompose !== undefined, "eval or decompose");
  });
}

/** Letters are distinct within an operand, and a shared letter means one size. */
function checkAxes(op: Op, sample: Sample, c: Case): void {
  const text = op.axes?.(sample.ins, sample.attrs) ?? null;
  if (text === null) return;
  const [left, right] = text.split("->");
  assert.ok(left !== undefined && right !== undefined, `${c.label}: axes '${text}'`);
  const shapes = [...sample.ins, ...c.types.slice(0, right.split(",").length)].map((t) => t.shape);
  const operands = [...left.split(","), ...right.split(",")];
  assert.equal(operands.length, shapes.length, `${c.label}: axes '${text}' operands`);
  const sizes = new Map<string, number>();
  operands.forEach((letters, k) => {
    assert.equal(letters.length, shapes[k]!.length, `${c.label}: axes '${text}' operand ${k}`);
    assert.equal(new Set(letters).size, letters.length, `${c.label}: axes '${text}' repeats`);
    [...letters].forEach((letter, i) => {
      const size = sizes.get(letter) ?? shapes[k]![i]!;
      assert.equal(shapes[k]![i], size, `${c.label}: axes '${text}', letter ${letter}`);
      sizes.set(letter, size);
    });
  });
}

function permuteType(t: TensorType, perm: readonly number[], rank: number): TensorType {
  if (t.shape.length !== rank) return t;
  const shape = perm.map((p) => t.shape[p]!);
  if (t.quant === undefined || t.quant.axis === null) return { ...t, shape };
  return { ...t, shape, quant: { ...t.quant, axis: perm.indexOf(t.quant.axis) } };
}

function permuteTensor(t: Tensor, perm: readonly number[], rank: number): Tensor {
  if (t.type.shape.length !== rank) return t;
  const type = permuteType(t.type, perm, rank);
  const y = zeros(type);
  const from = strides(t.type.shape);
  const step = perm.map((p) => from[p]!);
  const source = t.data as Float64Array;
  forEachIndex(type.shape, (index, i) => {
    (y.data as Float64Array)[i] = source[offsetOf(index, step)]!;
  });
  return y;
}

/** Permuting the operands and the attributes permutes the results. */
function checkPermute(op: Op, sample: Sample, c: Case, seed: number): void {
  const rank = Math.max(0, ...sample.ins.map((t) => t.shape.length));
  if (op.permute === undefined || rank < 2) return;
  const perms = [[...makeRng(seed + 7).permutation(rank)]];
  if (rank >= 3) {
    const middle = Array.from({ length: rank - 2 }, (_, i) => i + 2);
    perms.push([0, ...middle, 1], [0, rank - 1, ...middle.map((i) => i - 1)]);
  }
  for (const perm of perms) {
    const attrs = op.permute(sample.attrs, perm, sample.ins);
    if (attrs === null) continue;
    const what = `${c.label}: permuted by [${perm}]`;
    const ins = c.ins.map((t) => permuteTensor(t, perm, rank));
    const types = inferTypes(
      op,
      ins.map((t) => t.type),
      attrs,
    );
    types.forEach((t, k) => assert.deepEqual(t, permuteType(c.types[k]!, perm, rank), what));
    const got = evalTensors(op, ins, attrs, types);
    got.forEach((t, k) => {
      const exact = !isFloat(t.type.dtype);
      assertClose(t, permuteTensor(c.want[k]!, perm, rank), exact ? 0 : undefined, what);
    });
  }
}

test("every operator record in the operator folders is in the table", async () => {
  const root = new URL("../../src/ops/", import.meta.url);
  const known = new Set<unknown>(Object.values(ops));
  for (const folder of FOLDERS) {
    for (const file of readdirSync(new URL(`${folder}/`, root))) {
      if (!file.endsWith(".ts") || file.endsWith(".test.ts")) continue;
      const exports = (await import(new URL(`${folder}/${file}`, root).href)) as object;
      for (const [key, value] of Object.entries(exports)) {
        const isOp =
          typeof value === "object" && value !== null && "samples" in value && "infer" in value;
        if (isOp) assert.ok(known.has(value), `${folder}/${file} exports ${key}, not in the table`);
      }
    }
  }
  assert.equal(known.size, Object.keys(ops).length, "an operator is in the table twice");
});
