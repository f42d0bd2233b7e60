/** @file Runs a Program with the kernel interpreter: the reference for compiled artefacts. */
import { DTYPES } from "../tensor/dtype.ts";
import { bytesOf, elementCount, type Tensor } from "../tensor/tensor.ts";
import { invariant } from "../util/errors.ts";
import { compileKernel, type InterpretOptions, type KernelFunction } from "./interpret.ts";
import type { Call, Port, Program } from "./program.ts";

/** A program with its memory. Call `init` once, then `run` for each inference. */
export interface ProgramRunner {
  readonly program: Program;
  readonly memory: ArrayBuffer;
  init(): void;
  run(): void;
}

/** The dot8 mask a kernel receives, as an i32. */
export const FLIP = { signed: 0, unsigned: 0x80808080 | 0 } as const;

/** Places the constants in fresh memory; kernels are compiled when first called. */
export function makeProgramRunner(program: Program, options: InterpretOptions = {}): ProgramRunner {
  const memory = new ArrayBuffer(program.memoryBytes);
  const bytes = new Uint8Array(memory);
  for (const s of program.constants) bytes.set(s.bytes, s.offset);
  const compiled = new Map<number, KernelFunction>();
  const kernelAt = (index: number): KernelFunction => {
    let f = compiled.get(index);
    if (f === undefined) {
      const kernel = program.kernels[index];
      invariant(kernel !== undefined, () => `program ${program.name}: no kernel ${index}`);
      f = compileKernel(kernel, options);
      compiled.set(index, f);
    }
    return f;
  };
  const flip = FLIP[options.dot8 ?? "signed"];
  const runAll = (calls: readonly Call[]): void => {
    for (const c of calls) {
      const run = kernelAt(c.kernel);
      // Without its dot8 form a kernel reads its data as on engines that have no dot8.
      const hasForm = program.kernels[c.kernel]?.forms?.dot8 !== undefined;
      const mask = hasForm && options.variant !== "dot8" ? FLIP.signed : flip;
      const args = c.args.map((a) => (a === "flip" ? mask : a));
      run(memory, c.bases, args);
    }
  };
  return {
    program,
    memory,
    init: () => runAll(program.init),
    run: () => runAll(program.steps),
  };
}

function portOf(ports: readonly Port[], which: number | string): Port {
  const port = typeof which === "number" ? ports[which] : ports.find((p) => p.name === which);
  invariant(port !== undefined, () => `program: no port ${which}`);
  return port;
}

/** Copies a tensor into an input, named or by position. */
export function writeInput(runner: ProgramRunner, which: number | string, tensor: Tensor): void {
  const port = portOf(runner.program.inputs, which);
  const { dtype, shape } = port.type;
  invariant(
    tensor.type.dtype === dtype && tensor.data.length === elementCount(shape),
    () =>
      `program: input ${port.name} takes ${dtype}[${shape}], ` +
      `got ${tensor.type.dtype}[${tensor.type.shape}]`,
  );
  new Uint8Array(runner.memory).set(bytesOf(tensor), port.offset);
}

/** A copy of an output, named or by position. */
export function readOutput(runner: ProgramRunner, which: number | string): Tensor {
  const port = portOf(runner.program.outputs, which);
  const { dtype, shape } = port.type;
  const view = DTYPES[dtype].view(runner.memory, port.offset, elementCount(shape));
  return { type: port.type, data: view.slice() };
}
