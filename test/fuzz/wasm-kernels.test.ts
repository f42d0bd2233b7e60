/** @file Random kernels give the same bits as WebAssembly and in the interpreter. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { interpretKernel } from "../../src/kernel/interpret.ts";
import { printKernel } from "../../src/kernel/print.ts";
import type { Program } from "../../src/kernel/program.ts";
import { instantiateModel } from "../../src/targets/wasm/loader.ts";
import { emitModule } from "../../src/targets/wasm/module.ts";
import { makeRng } from "../../src/util/rng.ts";
import { difference, type RandomKernel, randomKernel } from "./random-kernel.ts";

const COUNT = Number(process.env["FUZZ_COUNT"] ?? 300);
const FIRST = Number(process.env["FUZZ_SEED"] ?? 1);

function programOf(r: RandomKernel, memory: ArrayBuffer): Program {
  return {
    name: "fuzz",
    kernels: [r.kernel],
    constants: [{ name: "memory", offset: 0, bytes: new Uint8Array(memory) }],
    init: [],
    steps: [{ kernel: 0, bases: r.bases, args: r.args, label: "fuzz" }],
    inputs: [],
    outputs: [],
    memoryBytes: r.memoryBytes,
    arenaBytes: 0,
    meta: {},
  };
}

test(`${COUNT} random kernels from seed ${FIRST}`, async () => {
  for (let seed = FIRST; seed < FIRST + COUNT; seed++) {
    const r = randomKernel(makeRng(seed));
    const expected = r.memory();
    interpretKernel(r.kernel, expected, r.bases, r.args);
    const { wasm } = emitModule(programOf(r, r.memory()));
    try {
      const model = await instantiateModel(wasm, undefined, "base");
      model.execute();
      assert.equal(difference(r, model.memory.buffer, expected), null);
      if (seed % 8 === 0) (await instantiateModel(wasm, undefined, "dot8")).execute();
    } catch (error) {
      throw new Error(`seed ${seed}: ${(error as Error).message}\n${printKernel(r.kernel)}`);
    }
  }
});
