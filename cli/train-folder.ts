/** @file The folder of a training run: who works in it, what it holds, where the run goes on. */
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { differences, type RunIdentity } from "../src/train/checkpoint.ts";
import { type FoundCheckpoint, loadCheckpoint } from "../src/train/node/checkpoints.ts";
import { UserError } from "../src/util/errors.ts";

/** Paths of a run. */
export interface RunFolder {
  readonly out: string;
  readonly checkpoints: string;
  readonly log: string;
}

const LOCK = "train.lock";

export const runFolder = (out: string): RunFolder => ({
  out,
  checkpoints: join(out, "checkpoints"),
  log: join(out, "log.jsonl"),
});

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}

/** Makes the folder and keeps other runs out of it; returns what lets them in again. */
export function claim(out: string): () => void {
  const lock = join(out, LOCK);
  try {
    mkdirSync(out, { recursive: true });
    const owner = existsSync(lock) ? Number(readFileSync(lock, "utf8")) : 0;
    if (owner > 0 && owner !== process.pid && isAlive(owner)) {
      throw new UserError("E_FILE", `process ${owner} trains into this folder`, {
        where: out,
        hint: `give another --out; if that process is no training run, remove ${lock}`,
      });
    }
    writeFileSync(lock, String(process.pid));
  } catch (error) {
    if (error instanceof UserError) throw error;
    const { code = String(error) } = error as NodeJS.ErrnoException;
    throw new UserError("E_FILE", `cannot be written (${code})`, {
      where: out,
      hint: "give a folder you may write to with --out",
    });
  }
  for (const name of readdirSync(out)) {
    if (/^\..+\.\d+\.tmp$/.test(name)) rmSync(join(out, name), { force: true });
  }
  return () => rmSync(lock, { force: true });
}

export interface StartFlags {
  readonly resume?: boolean;
  readonly fresh?: boolean;
}

/** Where the run goes on; null: at the beginning. */
export function findStart({ out, checkpoints, log }: RunFolder, flags: StartFlags) {
  if (flags.fresh === true && flags.resume === true) {
    throw new UserError("E_ARGUMENT", "--fresh and --resume exclude each other");
  }
  if (flags.fresh === true) {
    rmSync(checkpoints, { recursive: true, force: true });
    rmSync(log, { force: true });
    return null;
  }
  const found = loadCheckpoint(checkpoints);
  if (found === null && flags.resume === true) {
    throw new UserError("E_FILE", "there is no checkpoint to go on from", {
      where: out,
      hint: "leave out --resume",
    });
  }
  return found;
}

/** Throws UserError when the checkpoint is of another run, with what differs. */
export function checkSameRun(found: FoundCheckpoint, now: RunIdentity): void {
  const differ = differences(found.checkpoint.identity, now);
  if (differ.length === 0) return;
  throw new UserError("E_CONFIG", `is of another run: ${differ.join("; ")}`, {
    where: found.path,
    hint: "put the configuration back, give another --out, or start anew with --fresh",
  });
}
