/** @file Runs the command line as a user would, in a process of its own. */
import { spawn } from "node:child_process";
import { join, resolve } from "node:path";

const ROOT = resolve(import.meta.dirname, "../..");

export interface CliResult {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** `tersor ...args` in `cwd`, not on a terminal. `env` adds to the environment. */
export function tersor(
  args: readonly string[],
  cwd: string = ROOT,
  env: Readonly<Record<string, string>> = {},
): Promise<CliResult> {
  return new Promise((done, fail) => {
    const settings = { cwd, env: { ...process.env, ...env } };
    const child = spawn(process.execPath, [join(ROOT, "cli/main.ts"), ...args], settings);
    const out: Buffer[] = [];
    const err: Buffer[] = [];
    child.stdout.on("data", (d: Buffer) => out.push(d));
    child.stderr.on("data", (d: Buffer) => err.push(d));
    child.on("error", fail);
    child.on("close", (code) => {
      const text = (parts: readonly Buffer[]): string => Buffer.concat(parts).toString();
      done({ code, stdout: text(out), stderr: text(err) });
    });
  });
}
