/** @file What this machine compiles models with, and what kernels are written for. */
import { type Capabilities, capsOfCpu } from "../primitives/capabilities.ts";
import { bestCpu, type Cpu } from "../targets/c/cpu.ts";
import { type Compiler, type Env, findCompiler } from "./compiler.ts";
import { importKoffi } from "./library.ts";

export interface NativeTarget {
  readonly compiler: Compiler;
  readonly cpu: Cpu;
  /** Give them to `compile`. */
  readonly caps: Capabilities;
}

/** Throws UserError E_TARGET with what to do where there is no compiler or no koffi. */
export async function nativeTarget(env: Env = process.env): Promise<NativeTarget> {
  const compiler = findCompiler(env);
  await importKoffi();
  const cpu = bestCpu(compiler.macros);
  return { compiler, cpu, caps: capsOfCpu(cpu) };
}
