import assert from "node:assert/strict";
import { test } from "node:test";
import { GraphBuilder } from "../graph/graph.ts";
import { KernelBuilder } from "../kernel/build.ts";
import { makeProgramRunner } from "../kernel/interpret-program.ts";
import type { Program } from "../kernel/program.ts";
import { verifyProgram } from "../kernel/verify-program.ts";
import { linear } from "../ops/nn/linear.ts";
import { type Capabilities, WASM } from "../primitives/capabilities.ts";
import { primitives } from "../primitives/index.ts";
import { countGaps, packGaps, packMask } from "../primitives/sparse/gaps.ts";
import { instantiateModel } from "../targets/wasm/loader.ts";
import { emitModule } from "../targets/wasm/module.ts";
import { tensorOf, tensorType } from "../tensor/tensor.ts";
import { makeRng } from "../util/rng.ts";
import { compactConstants, smallestForm } from "./compact.ts";
import { compileGraph } from "./compile.ts";
import { KernelTable } from "./kernel-table.ts";

test("gaps of 15 and more are spelled out, and counted", () => {
  const { bytes, count } = packGaps([0, 2, 17, 33, 80]);
  // 0, 1, 14, then 15 and 0, then three times 15 and 1.
  assert.deepEqual([...bytes], [0x10, 0xfe, 0xf0, 0xff, 0x1]);
  assert.equal(count, 9);
  assert.equal(countGaps([0, 2, 17, 33, 80]), 9);
  assert.equal(packGaps([]).count, 0);
});

test("masks begin with the highest bit", () => {
  assert.deepEqual([...packMask([0, 31, 33], 40)], [0x80000001 | 0, 0x40000000]);
});

/** Bytes in cells, of which about a share is not zero. */
function bytesOfCells(cells: number, cell: number, share: number, seed: number): Uint8Array {
  const rng = makeRng(seed);
  const out = new Uint8Array(cells * cell);
  for (let c = 0; c < cells; c++) {
    if (rng.next() >= share) continue;
    for (let i = 0; i < cell; i++) out[c * cell + i] = 1 + rng.int(255);
  }
  return out;
}

const CASES = [
  { cells: 4000, cell: 1, share: 0.1, form: "gaps" },
  { cells: 4000, cell: 1, share: 0.4, form: "mask" },
  { cells: 1999, cell: 2, share: 0.1, form: "gaps" },
  { cells: 1001, cell: 4, share: 0.1, form: "gaps" },
  { cells: 1001, cell: 4, share: 0.5, form: "mask" },
  { cells: 501, cell: 16, share: 0.02, form: "gaps" },
  { cells: 501, cell: 16, share: 0.5, form: "mask" },
  { cells: 501, cell: 4, share: 0, form: "gaps" },
  { cells: 501, cell: 4, share: 0.97, form: "dense" },
] as const;

/** A program whose only memory is constants. */
function programOf(segments: readonly Uint8Array[]): Program {
  let end = 64;
  const constants = segments.map((bytes, i) => {
    const offset = end;
    end += Math.ceil(bytes.length / 16) * 16;
    return { name: `c${i}`, offset, bytes };
  });
  const empty = { kernels: [], init: [], steps: [], inputs: [], outputs: [], meta: {} };
  return { name: "t", ...empty, constants, memoryBytes: end, arenaBytes: 0 };
}

test("every form comes back byte by byte, in the interpreter and in WebAssembly", async () => {
  const segments = CASES.map(({ cells, cell, share }, i) => bytesOfCells(cells, cell, share, i));
  segments.forEach((bytes, i) => {
    const { form, cell } = smallestForm(bytes);
    assert.equal(form, CASES[i]!.form, `case ${i}`);
    if (form !== "dense" && CASES[i]!.share > 0) assert.equal(cell, CASES[i]!.cell, `case ${i}`);
  });
  const program = programOf(segments);
  const table = new KernelTable();
  const compact = compactConstants(program, table);
  verifyProgram(compact);
  const size = (p: Program): number => p.constants.reduce((n, c) => n + c.bytes.length, 0);
  const expected = segments.reduce((n, bytes) => n + smallestForm(bytes).bytes, 0);
  // An empty constant keeps one cell.
  assert.ok(Math.abs(size(compact) - expected) <= 16 && size(compact) < size(program));
  const runner = makeProgramRunner(compact);
  const model = await instantiateModel(emitModule(compact).wasm);
  for (const memory of [runner.memory, model.memory.buffer]) {
    if (memory === runner.memory) {
      new Uint8Array(memory, 64, segments[0]!.length).fill(7);
      runner.init();
    }
    program.constants.forEach(({ offset, bytes }, i) => {
      assert.deepEqual(new Uint8Array(memory, offset, bytes.length), bytes, `case ${i}`);
    });
  }
});

test("a layer computed densely is stored sparsely only where constants may be unpacked", () => {
  const rng = makeRng(5);
  const g = new GraphBuilder("t");
  const x = g.input("x", tensorType("f32", [1, 64]));
  const values = Array.from({ length: 4096 }, () => (rng.next() < 0.05 ? rng.normal() : 0));
  g.output(g.apply(linear, [x, g.constant(tensorOf("f32", [64, 64], values))], {}), "y");
  const graph = g.build();
  const bytes = (caps: Capabilities): number =>
    compileGraph(graph, { primitives, caps }).program.constants.reduce(
      (n, c) => n + c.bytes.length,
      0,
    );
  assert.ok(bytes(WASM) < 4 * 4096 * 0.08);
  assert.ok(bytes({ ...WASM, unpacks: false }) >= 4 * 4096);
});

test("kernels of unpacking differ in size only, and share their code", () => {
  const sizes = [1000, 1500, 2000].map((n, i) => bytesOfCells(n, 4, 0.1, 20 + i));
  const table = new KernelTable();
  const compact = compactConstants(programOf(sizes), table);
  assert.equal(compact.init.length, 3);
  const one = compactConstants(programOf(sizes.slice(0, 1)), new KernelTable());
  const code = (p: Program): number => emitModule(p).codeBytes;
  assert.ok(code(compact) - code(one) < 120, `${code(compact)} against ${code(one)} bytes`);
});

test("a program without zeros stays as it is", () => {
  const program = programOf([bytesOfCells(100, 4, 1, 1)]);
  const table = new KernelTable();
  table.intern(new KernelBuilder("nothing").build());
  assert.equal(compactConstants(program, table), program);
});
