/** @file Models by path: what only Node can do. Browsers give bytes to `loadModel` instead. */
import { readFileSync, statSync } from "node:fs";
import { dirname } from "node:path";
import { filesBeside } from "./formats/onnx/external.ts";
import { type LoadedModel, type LoadOptions, loadModel } from "./pipeline.ts";
import { UserError } from "./util/errors.ts";

/** The bytes of a file. Throws UserError E_FILE that says what is wrong with the path. */
export function readBytes(path: string, what = "file"): Uint8Array {
  try {
    if (statSync(path).isDirectory()) {
      throw new UserError("E_FILE", `is a folder, expected a ${what}`, { where: path });
    }
    return readFileSync(path);
  } catch (error) {
    if (error instanceof UserError) throw error;
    const { code = String(error) } = error as NodeJS.ErrnoException;
    const reason = REASONS[code] ?? `cannot be read (${code})`;
    throw new UserError("E_FILE", reason, { where: path, hint: "check the path" });
  }
}

const REASONS: Readonly<Record<string, string>> = {
  ENOENT: "no such file",
  EACCES: "may not be read: permission denied",
  ERR_FS_FILE_TOO_LARGE: "is larger than 2 GB",
};

/** Runs `use`, putting the file's path in front of where a user's error happened. */
export function inFile<T>(path: string, use: () => T): T {
  try {
    return use();
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    const { code, message, where, hint, diagnostics } = error;
    if (where?.startsWith(path)) throw error;
    const told = where === undefined || message.startsWith(where);
    throw new UserError(code, message, {
      where: told ? path : `${path}: ${where}`,
      diagnostics,
      ...(hint === undefined ? {} : { hint }),
    });
  }
}

/** Imports a model file; weights in files beside it are found. */
export const openModel = (path: string, options: LoadOptions = {}): LoadedModel =>
  inFile(path, () =>
    loadModel(readBytes(path, "model"), { externalData: filesBeside(dirname(path)), ...options }),
  );
