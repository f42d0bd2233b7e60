/** @file Profile files: written, read, and refused. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { UserError } from "../util/errors.ts";
import { type DeviceProfile, mergeEntries, parseProfile, printProfile } from "./profile.ts";

const profile: DeviceProfile = {
  device: { cpu: 'a "cpu"', engine: "V8 1", target: "wasm", threads: 1 },
  entries: [
    { key: "a | x", group: "conv/igemm/f32", ns: 1234.5, macs: 10, bytes: 20 },
    { key: "b | x", group: "conv/winograd/f32", ns: 99, macs: 0, bytes: 0 },
  ],
};

test("what is written can be read", () => {
  const read = parseProfile(printProfile(profile), "file");
  assert.deepEqual(read.device, profile.device);
  assert.deepEqual(
    read.entries.map((e) => e.key),
    ["a | x", "b | x"],
  );
  assert.ok(Math.abs(read.entries[0]!.ns - 1234.5) < 1);
});

test("later entries replace earlier ones", () => {
  const [a, b] = profile.entries;
  const merged = mergeEntries([b!, a!], [{ ...a!, ns: 5 }]);
  assert.deepEqual(
    merged.map((e) => [e.key, e.ns]),
    [
      ["a | x", 5],
      ["b | x", 99],
    ],
  );
});

const text = printProfile(profile);
const damaged: readonly (readonly [string, string, RegExp])[] = [
  ["no JSON", "{", /not JSON/],
  ["a list", "[]", /not an object/],
  ["another version", text.replace('"tersorProfile":1', '"tersorProfile":99'), /is 99, expected 1/],
  ["no device", '{"tersorProfile":1,"entries":[]}', /no device/],
  ["a device without cpu", text.replace('"cpu"', '"gpu"'), /cpu, engine and target/],
  ["broken threads", text.replace('"threads":1', '"threads":-1'), /threads/],
  [
    "entries that are no list",
    '{"tersorProfile":1,"device":{"cpu":"","engine":"","target":"","threads":1},"entries":5}',
    /no list/,
  ],
  ["a time of zero", text.replace("99,0,0", "0,0,0"), /entry 1/],
  ["a time that is text", text.replace("99,0,0", '"99",0,0'), /entry 1/],
  ["a fraction of a byte", text.replace("99,0,0", "99,0,0.5"), /entry 1/],
];

for (const [name, broken, message] of damaged) {
  test(`refuses ${name}`, () => {
    assert.throws(
      () => parseProfile(broken, "the-file"),
      (e: UserError) => e.code === "E_FORMAT" && e.where === "the-file" && message.test(e.message),
    );
  });
}
