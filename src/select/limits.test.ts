/** @file Selection within limits, on an invented trade between time and size. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { UserError } from "../util/errors.ts";
import { type Prices, type Sized, withinLimits } from "./limits.ts";

/** Layers that can each be fast and large or slow and small, the later ones at a worse rate. */
function planAt({ memory, code }: Prices): Sized {
  const plan = { ns: 0, memoryBytes: 1000, codeBytes: 500 };
  for (let layer = 1; layer <= 10; layer++) {
    const saved = 100 * memory + 50 * code;
    const lost = 10 * layer;
    const small = saved > lost;
    plan.ns += 100 + (small ? lost : 0);
    plan.memoryBytes += small ? 0 : 100;
    plan.codeBytes += small ? 0 : 50;
  }
  return plan;
}

test("nothing is given up where the fastest plan fits", () => {
  assert.equal(withinLimits({ memoryBytes: 2000, codeBytes: 1000 }, planAt).ns, 1000);
});

test("gives up as little time as the limit asks for", () => {
  const plan = withinLimits({ memoryBytes: 1700 }, planAt);
  assert.equal(plan.memoryBytes, 1700);
  assert.equal(plan.ns, 1000 + 10 + 20 + 30);
  assert.ok(withinLimits({ codeBytes: 610 }, planAt).codeBytes <= 610);
  const both = withinLimits({ memoryBytes: 1500, codeBytes: 800 }, planAt);
  assert.ok(both.memoryBytes <= 1500 && both.codeBytes <= 800);
});

test("says what was reached when nothing fits", () => {
  assert.throws(
    () => withinLimits({ memoryBytes: 900, codeBytes: 900 }, planAt),
    (e: UserError) =>
      e.code === "E_UNMET" && /900 bytes \(smallest reached: 1000\)/.test(e.message),
  );
});
