/** @file The functions that make a program's calls: all of `init`, one step, a whole run. */
import type { Call, Program } from "../../kernel/program.ts";
import { invariant } from "../../util/errors.ts";
import { leb } from "./encoder.ts";
import { FunctionBuilder } from "./function-builder.ts";

export interface Driver {
  readonly program: Program;
  /** Function index of each kernel. */
  readonly functions: readonly number[];
}

/** Emits one call; others than the plain one share it among threads. */
export type EmitCall = (f: FunctionBuilder, call: Call) => void;

/** Pushes a scalar argument of a kernel. */
export function pushArgument(f: FunctionBuilder, type: string, value: number | "flip"): void {
  if (value === "flip") f.op("global.get", 0);
  else if (type === "i64") f.i64(BigInt(value));
  else if (type === "i32") f.i32(value | 0);
  else f[type as "f32" | "f64"](value);
}

/** Pushes the arguments of a call and makes it. */
export function emitCall(f: FunctionBuilder, driver: Driver, call: Call): void {
  const kernel = driver.program.kernels[call.kernel];
  const index = driver.functions[call.kernel];
  invariant(kernel !== undefined && index !== undefined, () => `no kernel ${call.kernel}`);
  for (const base of call.bases) f.i32(base | 0);
  kernel.args.forEach((arg, i) => {
    pushArgument(f, arg.type, call.args[i]!);
  });
  f.call(index);
}

export function straightLine(calls: readonly Call[], emit: EmitCall): Uint8Array {
  const f = new FunctionBuilder([]);
  for (const call of calls) emit(f, call);
  return f.finish();
}

/** A function of i32: one of the calls, chosen by a branch table out of nested blocks. */
export function chosenCall(calls: readonly Call[], emit: EmitCall): Uint8Array {
  const f = new FunctionBuilder(["i32"]);
  for (const _ of calls) f.op("block", 0x40);
  f.get(f.params[0]!);
  const count = leb(calls.length);
  f.op("br_table", ...count, ...calls.flatMap((_, i) => leb(i)), ...count);
  for (const call of calls) {
    f.op("end");
    emit(f, call);
    f.op("return");
  }
  return f.finish();
}

/** run(): every step in order. */
export function runBody(steps: number, step: number): Uint8Array {
  const f = new FunctionBuilder([]);
  f.withLocal("i32", (i) => {
    if (steps === 0) return;
    f.block("loop", () => {
      f.get(i).call(step).get(i).i32(1).op("i32.add").tee(i);
      f.i32(steps).op("i32.lt_s").op("br_if", 0);
    });
  });
  return f.finish();
}
