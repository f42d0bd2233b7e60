import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { filesBeside } from "./external.ts";

test("external data comes from plain files in the model's folder and from nowhere else", (t) => {
  const root = mkdtempSync(join(tmpdir(), "tersor-"));
  t.after(() => rmSync(root, { recursive: true }));
  const folder = join(root, "model");
  mkdirSync(join(folder, "sub"), { recursive: true });
  writeFileSync(join(root, "secret"), "s");
  writeFileSync(join(folder, "data.bin"), "abc");
  writeFileSync(join(folder, "sub", "more.bin"), "xy");
  symlinkSync(join(root, "secret"), join(folder, "link"));
  symlinkSync(root, join(folder, "up"));
  const read = filesBeside(folder);
  assert.equal(read("data.bin").length, 3);
  assert.equal(read("sub/more.bin").length, 2);
  assert.equal(read("data.bin"), read("data.bin"));
  const refused = [
    "",
    ".",
    "sub",
    "../secret",
    "sub/../../secret",
    "..\\secret",
    join(root, "secret"),
    "C:\\secret",
    "link",
    "up/secret",
    "absent",
    "a\0b",
  ];
  for (const location of refused) {
    assert.throws(() => read(location), { code: "E_FILE" }, location);
  }
});
