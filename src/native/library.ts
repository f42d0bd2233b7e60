/** @file Loads a shared library and calls its functions, through the package koffi. */
import { UserError } from "../util/errors.ts";

/** A function that takes and gives plain numbers; addresses are bigints. */
export type NativeFunction = (...args: readonly (number | bigint)[]) => number | bigint;

export interface LoadedLibrary {
  /** A function by its C prototype. */
  readonly func: (prototype: string) => NativeFunction;
  /** The address of an array's first byte; it does not move while the array lives. */
  readonly addressOf: (data: Uint8Array) => bigint;
  readonly unload: () => void;
}

/** Throws UserError E_TARGET where koffi is not installed or the file cannot be loaded. */
export async function loadLibrary(path: string): Promise<LoadedLibrary> {
  const koffi = await importKoffi();
  try {
    const library = koffi.load(path);
    return {
      func: (prototype) => library.func(prototype) as NativeFunction,
      addressOf: (data) => koffi.address(data),
      unload: () => library.unload(),
    };
  } catch (error) {
    throw new UserError("E_TARGET", `the compiled model cannot be loaded: ${reason(error)}`, {
      where: path,
    });
  }
}

/** Throws UserError E_TARGET where the package is missing, or has no build for this platform. */
export async function importKoffi(): Promise<typeof import("koffi").default> {
  try {
    return (await import("koffi")).default;
  } catch (error) {
    throw new UserError("E_TARGET", `native code needs the package koffi: ${reason(error)}`, {
      hint: "run npm install koffi, or use the target wasm",
    });
  }
}

const reason = (error: unknown): string =>
  (error instanceof Error ? error.message : String(error)).split("\n")[0]!;
