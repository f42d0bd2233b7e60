/** @file C source -> shared library, kept in the user's cache folder under a hash of all that it depends on. */
import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import {
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  renameSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { homedir, tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { UserError } from "../util/errors.ts";
import type { Compiler, Env } from "./compiler.ts";

const run = promisify(execFile);

/** Libraries kept; the ones used longest ago are deleted. */
const KEPT = 200;
/** Folders of builds in progress begin with this. */
const BUILD = "build-";
const A_DAY = 24 * 3600 * 1000;

/** Where libraries are kept unless `TERSOR_CACHE` names a folder. */
function cacheFolder(env: Env): string {
  const asked = env["TERSOR_CACHE"];
  if (asked !== undefined && asked !== "") return asked;
  const mac = process.platform === "darwin";
  const base = mac ? join(homedir(), "Library/Caches") : env["XDG_CACHE_HOME"];
  return join(base === undefined || base === "" ? join(homedir(), ".cache") : base, "tersor");
}

/**
 * The folder for libraries, which only this user may write: they are code that will be run. Null where there
 * is no such folder.
 */
function privateFolder(path: string): string | null {
  try {
    mkdirSync(path, { recursive: true, mode: 0o700 });
    const { uid, mode } = lstatSync(path);
    const own = process.getuid === undefined || uid === process.getuid();
    return own && (mode & 0o022) === 0 ? path : null;
  } catch {
    return null;
  }
}

/** Deletes libraries beyond KEPT, and what builds that were broken off left behind. */
function prune(folder: string): void {
  for (const name of readdirSync(folder)) {
    const path = join(folder, name);
    const broken = name.startsWith(BUILD) && Date.now() - ageOf(path) > A_DAY;
    if (broken) rmSync(path, { recursive: true, force: true });
  }
  const files = readdirSync(folder).filter((name) => name.endsWith(".so"));
  if (files.length <= KEPT) return;
  const aged = files.map((name) => ({ path: join(folder, name), at: ageOf(join(folder, name)) }));
  aged.sort((a, b) => a.at - b.at);
  for (const { path } of aged.slice(0, files.length - KEPT)) rmSync(path, { force: true });
}

const ageOf = (path: string): number => statSync(path, { throwIfNoEntry: false })?.mtimeMs ?? 0;

export interface Library {
  readonly path: string;
  /** Whether it was there already. */
  readonly cached: boolean;
  /** Deletes the file where it is not kept; after it was loaded. */
  readonly release: () => void;
}

const FLAGS = ["-std=gnu99", "-fPIC", "-fno-math-errno", "-ffp-contract=fast", "-w"];

function keyOf(
  files: ReadonlyMap<string, string>,
  compiler: Compiler,
  flags: readonly string[],
): string {
  const hash = createHash("sha256");
  const macros = [...compiler.macros].map(([name, value]) => `${name}=${value}`).sort();
  const parts = [compiler.name, compiler.command, flags, macros, [...files]];
  return hash.update(JSON.stringify(parts)).digest("hex").slice(0, 32);
}

/** Compiles each `.c` file of `files` by itself, all at once, and links them. */
async function compileIn(
  folder: string,
  files: ReadonlyMap<string, string>,
  compiler: Compiler,
  flags: readonly string[],
): Promise<string> {
  for (const [name, text] of files) writeFileSync(join(folder, name), text);
  const [program, ...first] = compiler.command as [string, ...string[]];
  const call = async (args: readonly string[]): Promise<void> => {
    await run(program, [...first, ...args], { cwd: folder, maxBuffer: 1 << 26 });
  };
  const sources = [...files.keys()].filter((name) => name.endsWith(".c"));
  await Promise.all(sources.map((name) => call([...flags, "-c", name])));
  const objects = sources.map((name) => name.replace(/\.c$/, ".o"));
  await call([...flags, "-shared", "-o", "model.so", ...objects, "-lpthread"]);
  return join(folder, "model.so");
}

/** The shared library of these C files for this machine. Throws UserError E_TARGET when the compiler refuses. */
export async function buildLibrary(
  files: ReadonlyMap<string, string>,
  compiler: Compiler,
  options: { readonly flags?: readonly string[]; readonly env?: Env } = {},
): Promise<Library> {
  const env = options.env ?? process.env;
  const flags = ["-O3", ...FLAGS, ...compiler.cpuFlags, ...(options.flags ?? [])];
  const kept = privateFolder(join(cacheFolder(env), "native"));
  const path = join(kept ?? "", `${keyOf(files, compiler, flags)}.so`);
  if (kept !== null && existsSync(path)) {
    utimesSync(path, new Date(), new Date());
    return { path, cached: true, release: () => {} };
  }
  const folder = mkdtempSync(join(kept ?? tmpdir(), BUILD));
  const clear = (): void => rmSync(folder, { recursive: true, force: true });
  try {
    const built = await compileIn(folder, files, compiler, flags);
    if (kept === null) return { path: built, cached: false, release: clear };
    renameSync(built, path);
    clear();
    prune(kept);
    return { path, cached: false, release: () => {} };
  } catch (error) {
    clear();
    const { stderr, message } = error as { stderr?: string; message: string };
    const said = (stderr ?? message).split("\n").find((l) => /error|fatal/.test(l)) ?? message;
    throw new UserError("E_TARGET", `${compiler.name} cannot compile the model: ${said.trim()}`, {
      hint: "set CC to another compiler, or use the target wasm",
    });
  }
}
