/** @file For tests: the macros a C compiler predefines. */
import { execFileSync } from "node:child_process";

/** Names of the macros that `compiler` predefines under these flags. */
export function compilerMacros(compiler: string, flags: readonly string[]): ReadonlySet<string> {
  const text = execFileSync(compiler, [...flags, "-dM", "-E", "-x", "c", "/dev/null"], {
    encoding: "utf8",
  });
  return new Set([...text.matchAll(/^#define (\w+)/gm)].map((m) => m[1]!));
}
