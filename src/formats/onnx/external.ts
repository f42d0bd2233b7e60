/**
 * @file Reads the data files beside an ONNX model, for Node. The location comes from the untrusted model:
 * it must name a plain file inside the model's folder.
 */
import { lstatSync, readFileSync, realpathSync, statSync } from "node:fs";
import { isAbsolute, join, relative, sep } from "node:path";
import { UserError } from "../../util/errors.ts";
import { checkLimit, LIMITS } from "../limits.ts";
import type { ExternalData } from "./tensors.ts";

const refuse = (location: string, why: string): UserError =>
  new UserError("E_FILE", `external data '${location}': ${why}`, {
    where: location,
    hint: "external data must be a plain file in the model's folder",
  });

/** The file a location names, checked. Throws E_FILE. */
export function resolveExternal(folder: string, location: string): string {
  const parts = location.split(/[\\/]/);
  if (location === "" || location.includes("\0")) throw refuse(location, "not a file name");
  if (isAbsolute(location) || /^[a-zA-Z]:/.test(location))
    throw refuse(location, "an absolute path");
  if (parts.includes("..")) throw refuse(location, "leaves the model's folder");
  let path = realpathSync(folder);
  for (const part of parts) {
    path = join(path, part);
    let isLink: boolean;
    try {
      isLink = lstatSync(path).isSymbolicLink();
    } catch {
      throw refuse(location, "no such file");
    }
    if (isLink) throw refuse(location, "a symbolic link");
  }
  const inside = relative(realpathSync(folder), realpathSync(path));
  if (inside === "" || inside.startsWith(`..${sep}`) || isAbsolute(inside)) {
    throw refuse(location, "leaves the model's folder");
  }
  return path;
}

/** Gives the files of a model's folder; each is read once. */
export function filesBeside(folder: string): ExternalData {
  const files = new Map<string, Uint8Array>();
  return (location) => {
    const known = files.get(location);
    if (known !== undefined) return known;
    const bytes = readInside(folder, location);
    files.set(location, bytes);
    return bytes;
  };
}

function readInside(folder: string, location: string): Uint8Array {
  const path = resolveExternal(folder, location);
  const stat = statSync(path);
  if (!stat.isFile()) throw refuse(location, "not a plain file");
  checkLimit("bytes of an external file", stat.size, LIMITS.externalBytes, location);
  return readFileSync(path);
}
