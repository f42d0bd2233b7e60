/** @file For tests: runs one kernel as compiled WebAssembly and in the interpreter, on equal memory. */
import assert from "node:assert/strict";
import { interpretKernel } from "../../src/kernel/interpret.ts";
import type { Kernel } from "../../src/kernel/ir.ts";
import type { Program } from "../../src/kernel/program.ts";
import { instantiateModel } from "../../src/targets/wasm/loader.ts";
import { emitModule, type ModuleOptions } from "../../src/targets/wasm/module.ts";
import { DTYPES, type TypedArray } from "../../src/tensor/dtype.ts";
import { alignUp } from "../../src/util/math.ts";

/** Contents of the kernel's buffers by name; missing ones start as zeros. */
export type Contents = Readonly<Record<string, TypedArray>>;

/** A program of one step: the kernel on buffers laid out one after the other. */
export function programOf(kernel: Kernel, contents: Contents, args: readonly number[]): Program {
  let end = 16;
  const bases = kernel.buffers.map((b) => {
    const base = end;
    end = alignUp(base + b.size * DTYPES[b.dtype].sizeBytes, 16);
    return base;
  });
  const constants = kernel.buffers.flatMap((b, i) => {
    const data = contents[b.name];
    if (data === undefined) return [];
    const bytes = new Uint8Array(data.buffer, data.byteOffset, data.byteLength).slice();
    return [{ name: b.name, offset: bases[i]!, bytes }];
  });
  return {
    name: kernel.name,
    kernels: [kernel],
    constants,
    init: [],
    steps: [{ kernel: 0, bases, args, label: kernel.name }],
    inputs: [],
    outputs: kernel.buffers.map((b, i) => ({
      name: b.name,
      type: { dtype: b.dtype, shape: [b.size] },
      offset: bases[i]!,
    })),
    memoryBytes: end,
    arenaBytes: 0,
    meta: {},
  };
}

/** Every buffer after the kernel ran, in the interpreter and in each variant up to `limit`. */
export async function runBoth(
  kernel: Kernel,
  contents: Contents,
  args: readonly number[] = [],
  limit = "base",
  options: ModuleOptions = {},
): Promise<{ expected: Record<string, TypedArray>; actual: Record<string, TypedArray> }> {
  const program = programOf(kernel, contents, args);
  const memory = new ArrayBuffer(program.memoryBytes);
  for (const s of program.constants) new Uint8Array(memory).set(s.bytes, s.offset);
  interpretKernel(kernel, memory, program.steps[0]!.bases, args);
  const { wasm } = emitModule(program, options);
  assert.ok(WebAssembly.validate(wasm as Uint8Array<ArrayBuffer>), "module does not validate");
  const model = await instantiateModel(wasm, undefined, limit);
  model.execute();
  const expected: Record<string, TypedArray> = {};
  for (const { name, type, offset } of program.outputs) {
    expected[name] = DTYPES[type.dtype].view(memory, offset, type.shape[0]!);
  }
  return { expected, actual: model.read() as Record<string, TypedArray> };
}

/** Asserts equal bits, any NaN being equal to any other. */
export async function assertSame(
  kernel: Kernel,
  contents: Contents,
  args: readonly number[] = [],
): Promise<void> {
  const { expected, actual } = await runBoth(kernel, contents, args);
  for (const [name, want] of Object.entries(expected)) {
    const list = (a: TypedArray): (number | bigint)[] =>
      Array.from<number | bigint>(a as Uint8Array);
    assert.deepEqual(list(actual[name]!), list(want), `${kernel.name}: buffer ${name}`);
  }
}
