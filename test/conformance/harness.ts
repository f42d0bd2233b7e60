/** @file Runs one operator sample through `eval` and through a lowered kernel, and compares. */
import assert from "node:assert/strict";
import { evalTensors, inferTypes } from "../../src/graph/apply.ts";
import type { Op, Sample } from "../../src/graph/op.ts";
import { printType } from "../../src/graph/print.ts";
import { interpretKernel } from "../../src/kernel/interpret.ts";
import type { Kernel } from "../../src/kernel/ir.ts";
import { instantiateModel } from "../../src/targets/wasm/loader.ts";
import { emitModule } from "../../src/targets/wasm/module.ts";
import { DTYPES, isBig, isFloat, sizeOf } from "../../src/tensor/dtype.ts";
import {
  bytesOf,
  elementCount,
  numberReader,
  numberWriter,
  type Tensor,
  type TensorType,
  toNumbers,
  zeros,
} from "../../src/tensor/tensor.ts";
import { alignUp } from "../../src/util/math.ts";
import { makeRng, type Rng } from "../../src/util/rng.ts";
import { assertPartsAgree } from "../support/parts.ts";

/** Runs a kernel over one memory: how an engine is plugged into the conformance tests. */
export type RunKernel = (
  kernel: Kernel,
  memory: ArrayBuffer,
  bases: readonly number[],
) => void | Promise<void>;

/** By the interpreter, as a whole and in parts, which have to agree. */
export const runInterpreted: RunKernel = (kernel, memory, bases) => {
  const before = memory.slice(0);
  interpretKernel(kernel, memory, bases, []);
  assertPartsAgree(kernel, before, memory, bases);
};

/** Compiled to WebAssembly; instructions beyond the base set are left out. */
export const runWasm: RunKernel = async (kernel, memory, bases) => {
  const { wasm } = emitModule({
    name: kernel.name,
    kernels: [kernel],
    constants: [{ name: "memory", offset: 0, bytes: new Uint8Array(memory) }],
    init: [],
    steps: [{ kernel: 0, bases, args: [], label: kernel.name }],
    inputs: [],
    outputs: [],
    memoryBytes: memory.byteLength,
    arenaBytes: 0,
    meta: {},
  });
  const model = await instantiateModel(wasm, undefined, "base");
  model.execute();
  const after = new Uint8Array(model.memory.buffer, 0, memory.byteLength);
  new Uint8Array(memory).set(after);
};

const CANARY = 0xa5;
const GUARD = 64;

/** Random inputs of a sample; see Sample for the ranges. */
export function sampleInputs(sample: Sample, seed: number): Tensor[] {
  const rng = makeRng(seed);
  return sample.ins.map((type, k) => {
    const values = sample.values?.[k];
    const t = zeros(type);
    const write = numberWriter(t);
    for (let i = 0; i < t.data.length; i++) {
      write(i, values === undefined ? randomValue(type, sample.range, rng) : values[i]!);
    }
    return t;
  });
}

function randomValue(type: TensorType, range: Sample["range"], rng: Rng): number {
  const { kind, min, max } = DTYPES[type.dtype];
  if (kind === "bool") return rng.int(2);
  if (kind === "float") {
    const [lo, hi] = range ?? [-2, 2];
    return lo + (hi - lo) * rng.next();
  }
  const wide = type.quant === undefined ? 8 : 4000;
  const lo = Math.max(min, Math.ceil(range?.[0] ?? -wide));
  const hi = Math.min(max, Math.floor(range?.[1] ?? wide));
  return lo + rng.int(hi - lo + 1);
}

interface Placed {
  readonly memory: ArrayBuffer;
  readonly bases: readonly number[];
  /** Byte ranges that belong to no buffer. */
  readonly guards: readonly (readonly [start: number, end: number])[];
}

/**
 * Memory for a kernel: every buffer 16-byte aligned, guarded on both sides, filled with the
 * canary.
 */
function place(kernel: Kernel): Placed {
  const bases: number[] = [];
  const guards: [number, number][] = [];
  let end = 0;
  for (const b of kernel.buffers) {
    const base = alignUp(end + GUARD, 16);
    guards.push([end, base]);
    bases.push(base);
    end = base + b.size * sizeOf(b.dtype);
  }
  guards.push([end, end + GUARD]);
  const memory = new ArrayBuffer(alignUp(end + GUARD, 16));
  new Uint8Array(memory).fill(CANARY);
  return { memory, bases, guards };
}

/**
 * The outputs a kernel computes; checks that it writes nothing else. `shared`: input of output 0.
 */
export async function runOnKernel(
  kernel: Kernel,
  ins: readonly Tensor[],
  outs: readonly TensorType[],
  run: RunKernel,
  shared: number | null = null,
): Promise<Tensor[]> {
  const placed = place(kernel);
  const bases = [...placed.bases];
  if (shared !== null) bases[ins.length] = bases[shared]!;
  const bytes = new Uint8Array(placed.memory);
  ins.forEach((t, i) => {
    assert.equal(kernel.buffers[i]?.role, "in", `buffer ${i} must be an input`);
    assert.equal(
      sizeOf(kernel.buffers[i]!.dtype),
      sizeOf(t.type.dtype),
      `element size of input ${i}`,
    );
    assert.ok(kernel.buffers[i]!.size >= t.data.length, `input buffer ${i} is too small`);
    bytes.set(bytesOf(t), bases[i]!);
  });
  await run(kernel, placed.memory, bases);
  for (const [start, end] of placed.guards) {
    for (let i = start; i < end; i++) assert.equal(bytes[i], CANARY, `wrote outside, at byte ${i}`);
  }
  ins.forEach((t, i) => {
    if (i === shared) return;
    const now = bytes.subarray(bases[i]!, bases[i]! + t.data.byteLength);
    assert.deepEqual(now, bytesOf(t), `input ${i} was changed`);
  });
  return outs.map((type, k) => {
    const base = bases[ins.length + k]!;
    assert.equal(kernel.buffers[ins.length + k]?.role, "out", "outputs follow the inputs");
    const data = DTYPES[type.dtype].view(placed.memory.slice(base), 0, elementCount(type.shape));
    return { type, data };
  });
}

/**
 * Relative tolerance where the sample gives none: one rounding of the type, or the maths
 * library's.
 */
function defaultTolerance(type: TensorType): number {
  if (type.quant !== undefined) return 1;
  if (!isFloat(type.dtype)) return 0;
  return { f64: 1e-12, f32: 1e-5, f16: 1.1e-3, bf16: 8e-3 }[type.dtype as "f32"];
}

/**
 * Asserts that two tensors agree; quantised results may differ by one step unless tolerance is 0.
 */
export function assertClose(
  got: Tensor,
  want: Tensor,
  tolerance: number | undefined,
  what: string,
): void {
  assert.deepEqual(got.type, want.type, `${what}: types differ`);
  if (isBig(got.type.dtype)) {
    assert.deepEqual(Array.from(got.data, String), Array.from(want.data, String), what);
    return;
  }
  const { quant } = got.type;
  const tol = tolerance ?? defaultTolerance(got.type);
  const p = numberReader(got);
  const values = toNumbers(want);
  const finite = values.filter(Number.isFinite).map(Math.abs);
  const floor = finite.reduce((a, b) => Math.max(a, b), 0) * 0.05;
  values.forEach((w, i) => {
    const g = p(i);
    if (Object.is(g, w) || (tol > 0 && g === w)) return;
    const limit = quant !== undefined && tol > 0 ? 1 : tol * Math.max(Math.abs(w), floor);
    const fits = limit > 0 && Math.abs(g - w) <= limit;
    assert.ok(fits, `${what}: element ${i} is ${g}, expected ${w} (tolerance ${tol})`);
  });
}

/** One sample's types, inputs and expected outputs, and a name for messages. */
export interface Case {
  readonly label: string;
  readonly ins: readonly Tensor[];
  readonly types: readonly TensorType[];
  readonly want: readonly Tensor[];
}

/** Evaluates a sample with the op's own `eval`. */
export function evalCase(op: Op, sample: Sample, index: number): Case {
  const attrs = JSON.stringify(sample.attrs).slice(0, 160);
  const label = `${op.name} sample ${index} (${sample.ins.map(printType).join(", ")}) ${attrs}`;
  const ins = sampleInputs(sample, index + 1);
  const types = inferTypes(op, sample.ins, sample.attrs);
  return { label, ins, types, want: evalTensors(op, ins, sample.attrs, types) };
}
