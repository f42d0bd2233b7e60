/** @file A short run of the format fuzzer (test/fuzz/formats.ts runs longer ones). SEED=<n> varies it. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { UserError } from "../../src/util/errors.ts";
import { makeRng } from "../../src/util/rng.ts";
import { FORMATS } from "./seeds.ts";

const CASES = 1500;
const SEED = Number(process.env["SEED"] ?? 1);

for (const [name, make] of Object.entries(FORMATS)) {
  test(`damaged ${name} files load or are refused (seed ${SEED})`, () => {
    const format = make();
    let loaded = 0;
    for (let i = 0; i < CASES; i++) {
      try {
        format.load(format.make(makeRng(SEED * 1_000_003 + i)));
        loaded++;
      } catch (error) {
        assert.ok(error instanceof UserError, `case ${i}: ${(error as Error).stack}`);
      }
    }
    assert.ok(loaded > 0 && loaded < CASES, `${loaded} of ${CASES} loaded`);
  });
}
