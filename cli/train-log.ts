/** @file The log of a training run: a JSON object a line, continued without a gap or a repetition. */
import { appendFileSync, existsSync, mkdirSync, readFileSync } from "node:fs";
import { basename, dirname } from "node:path";
import { UserError } from "../src/util/errors.ts";
import { writeFiles } from "./files.ts";

/** One line. `step`: steps done when it was written. */
export interface LogRecord {
  readonly kind: "settings" | "step" | "epoch" | "evaluation" | "resume" | "diverged" | "end";
  readonly step: number;
  readonly [key: string]: unknown;
}

export interface TrainLog {
  /** All lines so far. */
  readonly records: readonly LogRecord[];
  append(record: LogRecord): void;
}

/** The lines of a log that are whole. */
export function parseLog(text: string): LogRecord[] {
  const lines = text.split("\n");
  // What follows the last line's end was cut off.
  lines.pop();
  return lines.flatMap((line) => {
    try {
      const record = JSON.parse(line) as LogRecord;
      return typeof record?.kind === "string" && typeof record.step === "number" ? [record] : [];
    } catch {
      return [];
    }
  });
}

const lineOf = (record: LogRecord): string => `${JSON.stringify(record)}\n`;

/** Words that only the last lines of a run have. */
const LAST = ["diverged", "end"];

/**
 * Opens a log. `step` null: a new one. Else what a run wrote after that step, and a torn last line, are cut off.
 */
export function openLog(path: string, step: number | null): TrainLog {
  const found = step !== null && existsSync(path) ? parseLog(readFileSync(path, "utf8")) : [];
  const records = found.filter((r) => r.step <= step! && !LAST.includes(r.kind));
  mkdirSync(dirname(path), { recursive: true });
  writeFiles(dirname(path), new Map([[basename(path), records.map(lineOf).join("")]]));
  return {
    records,
    append: (record) => {
      try {
        appendFileSync(path, lineOf(record));
      } catch (error) {
        const { code = String(error) } = error as NodeJS.ErrnoException;
        const full = code === "ENOSPC" ? "the disk is full" : code;
        throw new UserError("E_FILE", `the log cannot be written: ${full}`, {
          where: path,
          hint: "make room and run the same command again; the last checkpoint is kept",
        });
      }
      records.push(record);
    },
  };
}
