import assert from "node:assert/strict";
import { test } from "node:test";
import { interpretKernel } from "../../src/kernel/interpret.ts";
import { makeProgramRunner, readOutput } from "../../src/kernel/interpret-program.ts";
import { parseKernel, parseProgram } from "../../src/kernel/parse.ts";
import { printKernel, printProgram } from "../../src/kernel/print.ts";
import type { Program } from "../../src/kernel/program.ts";
import { verifyKernel } from "../../src/kernel/verify.ts";
import { verifyProgram } from "../../src/kernel/verify-program.ts";
import { UserError } from "../../src/util/errors.ts";
import { makeRng } from "../../src/util/rng.ts";
import { difference, randomKernel } from "./random-kernel.ts";

test("random kernels verify, run, and survive print and parse", () => {
  for (let seed = 1; seed <= 200; seed++) {
    const r = randomKernel(makeRng(seed));
    verifyKernel(r.kernel);
    const first = r.memory();
    interpretKernel(r.kernel, first, r.bases, r.args);
    const text = printKernel(r.kernel);
    const back = parseKernel(text);
    assert.deepEqual(back, r.kernel, `seed ${seed}`);
    const second = r.memory();
    interpretKernel(back, second, r.bases, r.args);
    assert.equal(difference(r, first, second), null, `seed ${seed}`);
  }
});

test("text mistakes name the line", () => {
  const bad = (text: string, where: string): void =>
    assert.throws(
      () => parseKernel(text),
      (e) => e instanceof UserError && e.code === "E_TEXT" && e.where === where,
    );
  bad("kernel k(out y: f32[4]) {\n  store y[0] = z\n}\n", "line 3");
  bad("kernel k(out y: f33[4]) {}", "line 1");
  bad("kernel k(out y: f32[4]) {\n\n  let a = foo(1)\n}", "line 4");
});

test("programs survive print and parse", () => {
  const program: Program = {
    name: "a model",
    kernels: [randomKernel(makeRng(3)).kernel],
    constants: [{ name: "w", offset: 16, bytes: Uint8Array.of(0, 128, 255) }],
    init: [],
    steps: [{ kernel: 0, bases: [0, 16], args: ["flip", -0, 2.5], label: "conv/1" }],
    inputs: [
      {
        name: "x",
        offset: 0,
        type: { dtype: "i8", shape: [1, 2], quant: { scale: [0.5], zeroPoint: [-3], axis: null } },
      },
    ],
    outputs: [{ name: "y", offset: 32, type: { dtype: "f32", shape: [] } }],
    memoryBytes: 64,
    arenaBytes: 32,
    meta: { tool: "test" },
  };
  assert.deepEqual(parseProgram(printProgram(program)), program);
});

test("verifyProgram refuses overlaps, misalignment and addresses outside memory", () => {
  const kernel = parseKernel(
    "kernel k(const w: f32[4], out y: f32[4]) {\n  store y[0] = w[3]\n}\n",
  );
  const good: Program = {
    name: "p",
    kernels: [kernel],
    constants: [{ name: "w", offset: 0, bytes: new Uint8Array(16) }],
    init: [],
    steps: [{ kernel: 0, bases: [0, 16], args: [], label: "s" }],
    inputs: [],
    outputs: [{ name: "y", offset: 16, type: { dtype: "f32", shape: [4] } }],
    memoryBytes: 32,
    arenaBytes: 16,
    meta: {},
  };
  verifyProgram(good);
  const step = (bases: number[]): Program => ({
    ...good,
    steps: [{ kernel: 0, bases, args: [], label: "s" }],
  });
  assert.throws(() => verifyProgram(step([0, 0])), /s: y overlaps constant w/);
  assert.throws(() => verifyProgram(step([0, 8])), /not aligned/);
  assert.throws(() => verifyProgram(step([0, 32])), /leaves memory/);
  assert.throws(() => verifyProgram(step([0])), /1 addresses/);
  const run = makeProgramRunner(good);
  new Float32Array(run.memory)[3] = 5;
  run.init();
  run.run();
  assert.equal(readOutput(run, "y").data[0], 5);
});

test("the forms of a kernel are printed, verified and run when asked for", () => {
  const form = (name: string, value: string, arg: string): string =>
    `kernel ${name}(out y: i32[4], arg flip: ${arg}) {\n  store y[0] = ${value}\n}\n`;
  const fma = `fma ${form("f", "2", "i32")}`;
  const kernel = parseKernel(`${form("k", "1", "i32")}${fma}dot8 ${form("d", "flip", "i32")}`);
  verifyKernel(kernel);
  assert.deepEqual(parseKernel(printKernel(kernel)), kernel);
  const memory = new ArrayBuffer(16);
  interpretKernel(kernel, memory, [0], [7]);
  assert.equal(new Int32Array(memory)[0], 1);
  interpretKernel(kernel, memory, [0], [7], { variant: "fma" });
  assert.equal(new Int32Array(memory)[0], 2);
  interpretKernel(kernel, memory, [0], [7], { variant: "dot8" });
  assert.equal(new Int32Array(memory)[0], 7);
  const other = parseKernel(`${form("k", "1", "i32")}dot8 ${form("d", "2", "f32")}`);
  assert.throws(() => verifyKernel(other), /its dot8 form/);
});
