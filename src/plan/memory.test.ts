import assert from "node:assert/strict";
import { test } from "node:test";
import { makeRng } from "../util/rng.ts";
import { type Block, memoryLowerBound, planMemory } from "./memory.ts";

const blocks = (rows: readonly (readonly [number, number, number])[]): Block[] =>
  rows.map(([sizeBytes, first, last]) => ({ sizeBytes, first, last }));

/** The person-detection list of TensorFlow Lite Micro's planner test: size, first use, last use. */
const PERSON_DETECTION = blocks([
  [9216, 0, 29], [3, 28, 29], [256, 27, 28], [2304, 26, 27], [2304, 25, 26], [2304, 24, 25],
  [1152, 23, 24], [4608, 22, 23], [4608, 21, 22], [4608, 20, 21], [4608, 19, 20], [4608, 18, 19],
  [4608, 17, 18], [4608, 16, 17], [4608, 15, 16], [4608, 14, 15], [4608, 13, 14], [4608, 12, 13],
  [2304, 11, 12], [9216, 10, 11], [9216, 9, 10], [9216, 8, 9], [4608, 7, 8], [18432, 6, 7],
  [18432, 5, 6], [18432, 4, 5], [9216, 3, 4], [36864, 2, 3], [18432, 1, 2], [18432, 0, 1],
]); // biome-ignore format: a table

test("golden cases of the reference planner", () => {
  const a = planMemory(
    blocks([
      [10, 0, 1],
      [20, 1, 2],
      [30, 2, 3],
      [40, 3, 4],
      [50, 0, 1],
    ]),
    1,
  );
  assert.deepEqual(a, { offsets: [50, 70, 40, 0, 0], arenaBytes: 90 });
  assert.equal(
    planMemory(
      blocks([
        [100, 0, 1],
        [50, 2, 3],
        [20, 1, 2],
      ]),
      1,
    ).arenaBytes,
    120,
  );
  assert.equal(planMemory(PERSON_DETECTION, 1).arenaBytes, 64512);
  assert.equal(memoryLowerBound(PERSON_DETECTION, 1), 64512);
});

test("blocks with the same lifetime do not share memory", () => {
  const plan = planMemory(
    blocks([
      [16, 0, 3],
      [16, 0, 3],
    ]),
  );
  assert.notEqual(plan.offsets[0], plan.offsets[1]);
});

test("live blocks never overlap and the arena lies between its bounds", () => {
  for (let seed = 1; seed <= 200; seed++) {
    const rng = makeRng(seed);
    const list = Array.from({ length: 1 + rng.int(40) }, () => {
      const first = rng.int(20);
      return { sizeBytes: rng.int(1000), first, last: first + rng.int(6) };
    });
    const { offsets, arenaBytes } = planMemory(list);
    list.forEach((a, i) => {
      list.forEach((b, j) => {
        if (i >= j || a.first > b.last || b.first > a.last) return;
        if (a.sizeBytes === 0 || b.sizeBytes === 0) return;
        const apart =
          offsets[i]! + a.sizeBytes <= offsets[j]! || offsets[j]! + b.sizeBytes <= offsets[i]!;
        assert.ok(apart, `seed ${seed}: blocks ${i} and ${j} overlap`);
      });
    });
    const total = list.reduce((sum, b) => sum + Math.ceil(b.sizeBytes / 16) * 16, 0);
    assert.ok(memoryLowerBound(list) <= arenaBytes && arenaBytes <= total, `seed ${seed}`);
  }
});
