/** @file Finds the system's C compiler and what it knows of this machine's processor. */
import { spawnSync } from "node:child_process";
import { UserError } from "../util/errors.ts";

/** Environment variables. */
export type Env = Readonly<Record<string, string | undefined>>;

export interface Compiler {
  /** The program and the arguments that always come first. */
  readonly command: readonly string[];
  /** For people, for example "gcc 12.2.0". */
  readonly name: string;
  readonly kind: "gcc" | "clang";
  /** Options that allow every instruction of this machine. */
  readonly cpuFlags: readonly string[];
  /** Predefined macros under `cpuFlags`: they tell the instruction set. */
  readonly macros: ReadonlyMap<string, string>;
}

/** Options that ask for this machine's instructions, best first; compilers know one or the other. */
const CPU_FLAGS = [["-march=native"], ["-mcpu=native"], []] as const;

function macrosOf(
  command: readonly string[],
  flags: readonly string[],
): ReadonlyMap<string, string> | null {
  const args = [...command.slice(1), ...flags, "-dM", "-E", "-x", "c", "/dev/null"];
  const { status, stdout } = spawnSync(command[0]!, args, { encoding: "utf8" });
  if (status !== 0) return null;
  const lines = [...stdout.matchAll(/^#define (\S+) ?(.*)$/gm)];
  const macros = new Map(lines.map(([, name, value]) => [name!, value!]));
  return macros.has("__GNUC__") ? macros : null;
}

function inspect(command: readonly string[]): Compiler | null {
  for (const cpuFlags of CPU_FLAGS) {
    const macros = macrosOf(command, cpuFlags);
    if (macros === null) continue;
    const clang = macros.has("__clang__");
    const [a, b, c] = ["major", "minor", "patchlevel"].map((part) =>
      macros.get(`__clang_${part}__`),
    );
    const version = clang ? `${a}.${b}.${c}` : (macros.get("__VERSION__") ?? "").replace(/"/g, "");
    const kind = clang ? "clang" : "gcc";
    return { command, name: `${kind} ${version}`, kind, cpuFlags, macros };
  }
  return null;
}

/** On macOS without developer tools `cc` is a stub that opens a window. */
const hasTools = (): boolean =>
  process.platform !== "darwin" || spawnSync("xcode-select", ["-p"]).status === 0;

const HINTS: Readonly<Record<string, string>> = {
  linux: "install gcc or clang (Debian, Ubuntu: apt install gcc libc6-dev), or set CC",
  darwin: "run xcode-select --install, or set CC",
};

const found = new Map<string, Compiler | null>();

/**
 * The compiler: `CC` of the environment where it is set, else cc, gcc or clang. Throws UserError E_TARGET
 * where there is none, and on systems other than Linux and macOS.
 */
export function findCompiler(env: Env = process.env): Compiler {
  const { platform } = process;
  if (platform !== "linux" && platform !== "darwin") {
    throw new UserError("E_TARGET", `native code is not made on ${platform}`, {
      hint: "use the target wasm, or compile --target c and build the files yourself",
    });
  }
  const asked = env["CC"]?.trim() ?? "";
  let compiler = found.get(asked);
  if (compiler === undefined) {
    const commands = asked === "" ? [["cc"], ["gcc"], ["clang"]] : [asked.split(/\s+/)];
    const tools = asked !== "" || hasTools();
    compiler = tools ? (commands.map(inspect).find((c) => c !== null) ?? null) : null;
    found.set(asked, compiler);
  }
  if (compiler !== null) return compiler;
  const what = asked === "" ? "cc, gcc and clang are not there" : `CC is '${asked}'`;
  throw new UserError("E_TARGET", `no C compiler that works: ${what}`, { hint: HINTS[platform]! });
}
