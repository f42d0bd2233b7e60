/** @file `--target` and `--threads` of commands that run models: WebAssembly, or code of this machine. */
import { setFlagsFromString } from "node:v8";
import { type Command, Option } from "commander";
import type { Program } from "../src/kernel/program.ts";
import { createNativeSession, nativeTarget } from "../src/native/index.ts";
import { type Capabilities, WASM, WASM256 } from "../src/primitives/capabilities.ts";
import { createSession, type Session } from "../src/runtime/session.ts";
import { checkWide, createWideSession } from "../src/runtime/wasm256.ts";
import { UserError } from "../src/util/errors.ts";
import type { Io } from "./io.ts";

export const TARGETS = ["wasm", "wasm256", "native"] as const;
export type TargetName = (typeof TARGETS)[number];

/** What models are compiled for, and what runs them. */
export interface Target {
  readonly name: TargetName;
  /** Give them to `compile`. */
  readonly caps: Capabilities;
  /** What compiles native code. */
  readonly compiler?: string;
  readonly open: (program: Program, threads?: number) => Promise<Session>;
}

const WASM_TARGET: Target = {
  name: "wasm",
  caps: WASM,
  open: (program, threads = 1) => createSession(program, { threads }),
};

/** Throws UserError E_TARGET where native code cannot be made, or V8 does not widen vectors. */
export async function openTarget(name: TargetName): Promise<Target> {
  if (name === "wasm") return WASM_TARGET;
  if (name === "wasm256") {
    await checkWide(setFlagsFromString);
    const open: Target["open"] = (program, threads) =>
      createWideSession(program, setFlagsFromString, threads);
    return { name, caps: WASM256, open };
  }
  const { caps, compiler } = await nativeTarget();
  const open: Target["open"] = (program, threads = 1) => createNativeSession(program, { threads });
  return { name, caps, compiler: compiler.name, open };
}

/** The target, or WebAssembly with a remark where the target is not to be had. */
export async function openTargetOrWasm(name: TargetName, io: Io): Promise<Target> {
  try {
    return await openTarget(name);
  } catch (error) {
    if (!(error instanceof UserError) || error.code !== "E_TARGET") throw error;
    const hint = error.hint === undefined ? "" : ` (${error.hint})`;
    io.note(`no target ${name}: ${error.message}${hint}; going on with WebAssembly`);
    return WASM_TARGET;
  }
}

/** --target. */
export const withTarget = (command: Command): Command =>
  command.addOption(
    new Option(
      "--target <target>",
      "WebAssembly, the same in V8 with its experimental re-vectoriser, or C compiled and loaded here",
    )
      .choices(TARGETS)
      .default("wasm"),
  );
