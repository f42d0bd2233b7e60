/** @file For tests: writes files into a fresh directory below the system's temporary one. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";

/** The directory, removed when the test ends. */
export function writeFiles(
  t: TestContext,
  files: Iterable<readonly [string, Uint8Array | string]>,
): string {
  const directory = mkdtempSync(join(tmpdir(), "tersor-test-"));
  t.after(() => rmSync(directory, { recursive: true, force: true }));
  for (const [name, contents] of files) writeFileSync(join(directory, name), contents);
  return directory;
}
