/**
 * @file Checkpoints in a folder, in Node: written whole or not at all, the last few kept, the newest sound one read.
 */
import * as nodeFs from "node:fs";
import { join } from "node:path";
import { UserError } from "../../util/errors.ts";
import { type Checkpoint, decodeCheckpoint, encodeCheckpoint } from "../checkpoint.ts";

/** The functions of node:fs that are used; tests give others. */
export type CheckpointFs = Pick<
  typeof nodeFs,
  | "closeSync"
  | "fsyncSync"
  | "mkdirSync"
  | "openSync"
  | "readFileSync"
  | "readdirSync"
  | "renameSync"
  | "rmSync"
  | "writeSync"
>;

export interface SaveOptions {
  /** Checkpoints that stay, this one included; default 2. */
  readonly keep?: number;
  readonly fs?: CheckpointFs;
}

const NAME = /^step-(\d+)\.ckpt$/;
const TEMPORARY = /^\.step-\d+\.\d+\.tmp$/;

const nameOf = (step: number): string => `step-${String(step).padStart(9, "0")}.ckpt`;

const codeOf = (error: unknown): string =>
  (error as NodeJS.ErrnoException).code ?? (error instanceof Error ? error.message : String(error));

/** File names of a folder, none where it does not exist. */
function namesIn(folder: string, fs: CheckpointFs): string[] {
  try {
    return fs.readdirSync(folder);
  } catch (error) {
    if (["ENOENT", "ENOTDIR"].includes(codeOf(error))) return [];
    throw new UserError("E_FILE", `cannot be read (${codeOf(error)})`, { where: folder });
  }
}

/** Checkpoints of a folder, the newest first. */
export const checkpointsIn = (folder: string, fs: CheckpointFs = nodeFs): string[] =>
  namesIn(folder, fs)
    .filter((name) => NAME.test(name))
    .sort((a, b) => Number(NAME.exec(b)![1]) - Number(NAME.exec(a)![1]))
    .map((name) => join(folder, name));

function writeAll(fd: number, bytes: Uint8Array, fs: CheckpointFs): void {
  let done = 0;
  while (done < bytes.length) done += fs.writeSync(fd, bytes, done, bytes.length - done);
}

/** Makes a rename last. Some systems cannot sync folders; there it is left to them. */
function syncFolder(folder: string, fs: CheckpointFs): void {
  let fd: number;
  try {
    fd = fs.openSync(folder, "r");
  } catch {
    return;
  }
  try {
    fs.fsyncSync(fd);
  } catch {
    // Not on this system.
  } finally {
    fs.closeSync(fd);
  }
}

/**
 * Writes a checkpoint beside the others and returns its path: to a temporary file, synced, renamed, the folder
 * synced. Only then are older ones removed. Throws UserError E_FILE, with what was there before untouched.
 */
export function saveCheckpoint(
  folder: string,
  checkpoint: Checkpoint,
  { keep = 2, fs = nodeFs }: SaveOptions = {},
): string {
  const { step } = checkpoint.loop.progress;
  const bytes = encodeCheckpoint(checkpoint);
  const path = join(folder, nameOf(step));
  const temporary = join(folder, `.step-${step}.${process.pid}.tmp`);
  let fd: number | null = null;
  try {
    fs.mkdirSync(folder, { recursive: true });
    fd = fs.openSync(temporary, "w");
    writeAll(fd, bytes, fs);
    fs.fsyncSync(fd);
    fs.closeSync(fd);
    fd = null;
    fs.renameSync(temporary, path);
  } catch (error) {
    if (fd !== null) fs.closeSync(fd);
    removeQuietly(temporary, fs);
    throw notWritten(error, path, bytes.length, checkpointsIn(folder, fs)[0]);
  }
  syncFolder(folder, fs);
  for (const old of checkpointsIn(folder, fs).slice(Math.max(1, keep))) removeQuietly(old, fs);
  return path;
}

function removeQuietly(path: string, fs: CheckpointFs): void {
  try {
    fs.rmSync(path, { force: true });
  } catch {
    // It stays; nothing depends on it.
  }
}

function notWritten(error: unknown, where: string, size: number, last?: string): UserError {
  const code = codeOf(error);
  const full = code === "ENOSPC" || code === "EDQUOT";
  const reason = full
    ? `the disk is full, ${size} bytes are needed`
    : `cannot be written (${code})`;
  const kept = last === undefined ? "there is none before it" : `the one before is kept: ${last}`;
  const next = full ? "make room" : "see to the folder";
  return new UserError("E_FILE", `the checkpoint was not written: ${reason}; ${kept}`, {
    where,
    hint: `${next} and run the same command again`,
  });
}

export interface FoundCheckpoint {
  readonly path: string;
  readonly checkpoint: Checkpoint;
  /** Newer ones that cannot be used, and why. */
  readonly skipped: readonly string[];
}

/**
 * The newest sound checkpoint of a folder; null where there is none at all. Removes what killed runs left half
 * written. Throws UserError E_FORMAT when there are some and none is sound.
 */
export function loadCheckpoint(folder: string, fs: CheckpointFs = nodeFs): FoundCheckpoint | null {
  for (const name of namesIn(folder, fs)) {
    if (TEMPORARY.test(name)) removeQuietly(join(folder, name), fs);
  }
  const skipped: string[] = [];
  for (const path of checkpointsIn(folder, fs)) {
    try {
      return { path, checkpoint: decodeCheckpoint(fs.readFileSync(path), path), skipped };
    } catch (error) {
      const reason = error instanceof UserError ? error.message : `unreadable (${codeOf(error)})`;
      skipped.push(`${path}: ${reason}`);
    }
  }
  if (skipped.length === 0) return null;
  throw new UserError("E_FORMAT", `no checkpoint can be used\n  ${skipped.join("\n  ")}`, {
    where: folder,
    hint: "start anew with --fresh, or put a sound checkpoint there",
  });
}
