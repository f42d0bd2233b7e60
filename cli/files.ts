/** @file Writing results: whole files or none, nothing but our own names touched. */
import { mkdirSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { UserError } from "../src/util/errors.ts";

/**
 * Writes files into a folder, which is made when missing. Each appears under its name only when it is
 * complete; all are written before the first is renamed. Returns their paths.
 */
export function writeFiles(
  folder: string,
  files: ReadonlyMap<string, Uint8Array | string>,
): string[] {
  const temporary: string[] = [];
  try {
    mkdirSync(folder, { recursive: true });
    const targets = [...files.keys()].map((name) => join(folder, name));
    for (const target of targets) refuseFolder(target);
    for (const [name, content] of files) {
      const path = join(folder, `.${name}.${process.pid}.tmp`);
      temporary.push(path);
      writeFileSync(path, content);
    }
    targets.forEach((target, i) => renameSync(temporary[i]!, target));
    return targets;
  } catch (error) {
    for (const path of temporary) rmSync(path, { force: true });
    if (error instanceof UserError) throw error;
    const { code = String(error) } = error as NodeJS.ErrnoException;
    throw new UserError("E_FILE", `cannot be written (${code})`, {
      where: folder,
      hint: "give a folder you may write to with --out",
    });
  }
}

function refuseFolder(target: string): void {
  if (statSync(target, { throwIfNoEntry: false })?.isDirectory() !== true) return;
  throw new UserError("E_FILE", "is a folder, a file of this name is to be written", {
    where: target,
  });
}
