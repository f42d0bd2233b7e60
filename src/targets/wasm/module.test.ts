import assert from "node:assert/strict";
import { test } from "node:test";
import { interpretProgram, smallFeeds, smallProgram } from "../../../test/support/small-program.ts";
import { fma, KernelBuilder } from "../../kernel/build.ts";
import type { Program } from "../../kernel/program.ts";
import { instantiateModel, type ModelArray } from "./loader.ts";
import { emitModule } from "./module.ts";

const NAMES = ["x", 'a-b "q"'] as const;
const arrays = (seed = 1): ModelArray[] => smallFeeds(seed).map((t) => t.data as ModelArray);

test("every variant computes what the interpreter computes", async () => {
  const program = smallProgram();
  const { wasm } = emitModule(program);
  assert.ok(WebAssembly.validate(wasm as Uint8Array<ArrayBuffer>));
  for (const variant of ["base", "fma", "dot8", undefined]) {
    const model = await instantiateModel(wasm, undefined, variant);
    assert.ok(variant === undefined || model.variant === variant);
    for (const seed of [1, 2, 3]) {
      const [y, z] = interpretProgram(program, smallFeeds(seed));
      const got = model.run(arrays(seed));
      assert.deepEqual(got["z"], z!.data, `z in ${model.variant}`);
      for (let i = 0; i < 16; i++) {
        const tolerance = model.variant === "base" ? 0 : 1e-5;
        const [a, b] = [Number(got["y"]![i]), Number(y!.data[i])];
        assert.ok(Math.abs(a - b) <= tolerance, `y[${i}] in ${model.variant}: ${a} and ${b}`);
      }
    }
  }
});

test("variants differ from the base only in the bodies that use them", async () => {
  const program = smallProgram();
  const { wasm, codeBytes, weightsBytes } = emitModule(program);
  const module = new WebAssembly.Module(wasm as Uint8Array<ArrayBuffer>);
  const size = (name: string): number | undefined =>
    WebAssembly.Module.customSections(module, name)[0]?.byteLength;
  assert.ok(size("tersor.code.fma")! < 250, `fma patch of ${size("tersor.code.fma")} bytes`);
  assert.ok(size("tersor.code.dot8")! > size("tersor.code.fma")!);
  assert.ok(wasm.length - codeBytes < weightsBytes, "zeros are left out");
  assert.equal(weightsBytes, 1024 + 64 + 16 + 100);
});

test("a program without fma and dot8 has no variants; equal kernels are one function", async () => {
  const { kernels, ...rest } = smallProgram();
  const [, , , scale] = kernels;
  const at = { kernel: 0, bases: [64], args: [], label: "" };
  const make = (n: number): number => {
    const program = {
      ...rest,
      kernels: Array.from({ length: n }, () => ({ ...scale! })),
      init: [],
      steps: [at],
    };
    const { wasm } = emitModule(program);
    const module = new WebAssembly.Module(wasm as Uint8Array<ArrayBuffer>);
    assert.equal(WebAssembly.Module.customSections(module, "tersor.code.fma").length, 0);
    return wasm.length;
  };
  assert.equal(make(1), make(7));
});

test("weights beside the module are the same model, and are asked for", async () => {
  const program = smallProgram();
  const { wasm, weights } = emitModule(program, { weights: "file", names: true });
  assert.equal(weights?.length, 1204);
  const model = await instantiateModel(wasm, weights, "base");
  const inline = await instantiateModel(emitModule(program).wasm, undefined, "base");
  assert.deepEqual(model.run(arrays()), inline.run(arrays()));
  await assert.rejects(instantiateModel(wasm), /needs its weights file of 1204 bytes, got none/);
  await assert.rejects(instantiateModel(wasm, weights!.subarray(1)), /got 1203 bytes/);
});

test("steps run one by one give the same as a whole run", async () => {
  const model = await instantiateModel(emitModule(smallProgram()).wasm);
  const expected = model.run(arrays());
  model.write(arrays());
  for (let i = 0; i < model.steps; i++) model.step(i);
  assert.deepEqual(model.read(), expected);
  model.step(model.steps);
  assert.deepEqual(model.read(), expected, "a step beyond the last does nothing");
});

test("inputs are checked, by name or in order; outputs can be reused", async () => {
  const model = await instantiateModel(emitModule(smallProgram()).wasm);
  const [x, q] = arrays() as [Float32Array, Uint8Array];
  const named = (a: unknown, b: unknown): Record<string, ModelArray> =>
    ({ [NAMES[0]]: a, [NAMES[1]]: b }) as Record<string, ModelArray>;
  assert.deepEqual(model.run(named(x, q)), model.run([x, q]));
  model.run(named(x, new Uint8ClampedArray(q)));
  const into = { y: new Float32Array(16) };
  assert.equal(model.run([x, q], into)["y"], into.y);
  assert.deepEqual(into.y, model.run([x, q])["y"]);
  assert.throws(
    () => model.run(named(x.subarray(1), q)),
    /input "x" \(f32\[1,16\]\): expected Float32Array of length 16, got Float32Array of length 15/,
  );
  assert.throws(() => model.run(named(new Float64Array(16), q)), /got Float64Array of length 16/);
  assert.throws(() => model.run(named([1, 2], q)), /got object/);
  assert.throws(() => model.run({ x }), /input "a-b "q"".*got nothing/);
  assert.throws(() => model.run({ ...named(x, q), y: x }), /unknown input "y"/);
  assert.throws(() => model.run([x]), /1 inputs: this model has 2/);
  assert.deepEqual(model.inputs[1]?.quant, { scale: [0.5], zeroPoint: [128], axis: null });
});

test("sparse constants arrive exactly, in a bounded number of segments", async () => {
  const bytes = new Uint8Array(400000);
  for (let i = 0; i < bytes.length; i += 20) bytes[i] = 1 + (i % 255);
  const program: Program = {
    ...smallProgram(),
    constants: [{ name: "sparse", offset: 4096, bytes }],
    init: [],
    memoryBytes: 500000,
  };
  const { wasm } = emitModule(program);
  const { memory } = await instantiateModel(wasm);
  assert.deepEqual(new Uint8Array(memory.buffer, 4096, bytes.length), bytes);
  assert.ok(wasm.length < bytes.length + 4000, "one long segment rather than 20000 short ones");
});

test("other modules are refused", async () => {
  const other = Uint8Array.of(0, 97, 115, 109, 1, 0, 0, 0);
  await assert.rejects(instantiateModel(other), /not a tersor model/);
});

test("the dot8 form of a kernel is used in the dot8 variant only", async () => {
  const make = (name: string, value: number) => {
    const k = new KernelBuilder(name);
    const y = k.buffer("y", "f32", 16, "out");
    const x = k.buffer("x", "f32", 16, "in");
    k.for(
      "r",
      0,
      4,
      (r) => k.store(y, r, fma(k.load(x, r), { kind: "const", type: "f32", value }, k.load(x, 0))),
      { tag: "outline" },
    );
    return k.build();
  };
  const program: Program = {
    ...smallProgram(),
    kernels: [{ ...make("plain", 2), forms: { dot8: make("alternate", 3) } }],
    constants: [],
    init: [],
    steps: [{ kernel: 0, bases: [144, 64], args: [], label: "" }],
  };
  const { wasm } = emitModule(program);
  for (const [variant, factor] of [
    ["base", 2],
    ["dot8", 3],
  ] as const) {
    const model = await instantiateModel(wasm, undefined, variant);
    const got = model.run([new Float32Array(16).fill(1), new Uint8Array(16)]);
    assert.equal(got["y"]![1], factor + 1);
  }
});
