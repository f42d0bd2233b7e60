import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { test } from "node:test";
import type { BatchSource } from "../batches.ts";
import type { ArraySet, PictureSet } from "../data/sets.ts";
import { prefetchedBatches } from "./prefetch.ts";

const pictures: PictureSet = {
  count: 50,
  height: 9,
  width: 8,
  channels: 3,
  classes: 10,
  pixels: Uint8Array.from({ length: 50 * 9 * 8 * 3 }, (_, i) => (i * 7919) % 251),
  labels: Array.from({ length: 50 }, (_, i) => i % 10),
};
const options = { batch: 8, seed: 5, shift: 2, mirror: true, cutout: 4, mixup: 0.4 };

async function copies(source: BatchSource, steps: readonly number[]) {
  const found = [];
  for (const step of steps) {
    const { feeds, labels } = await source.batch(step);
    const arrays = Object.entries(feeds).map(([name, a]) => [name, Array.from(a as Float32Array)]);
    found.push({ step, labels, arrays });
  }
  await source.close();
  return found;
}

test("0, 1 and 3 workers make the same bytes, from any step on, back and forth", async () => {
  const steps = [...Array.from({ length: 14 }, (_, i) => i), 100, 101, 7, 7, 8, 3000];
  const make = (workers: number, depth = 4) =>
    prefetchedBatches(pictures, options, { workers, depth });
  const inLine = await copies(make(0), steps);
  assert.equal(new Set(inLine.map((b) => JSON.stringify(b.arrays))).size, steps.length - 3);
  assert.deepEqual(await copies(make(1), steps), inLine);
  assert.deepEqual(await copies(make(3), steps), inLine);
  assert.deepEqual(await copies(make(3, 7), steps), inLine);
  assert.deepEqual(await copies(make(1, 2), steps.slice(9)), inLine.slice(9));
});

test("a batch's arrays hold until the next is asked for", async () => {
  const source = prefetchedBatches(pictures, options, { workers: 2 });
  const { feeds } = await source.batch(0);
  const before = (feeds["image"] as Float32Array).slice();
  await new Promise((resolve) => setTimeout(resolve, 100));
  assert.deepEqual(feeds["image"], new Float32Array(before));
  await source.close();
});

test("an error in a worker is the user's error, and stays", async () => {
  const values = Float32Array.from({ length: 64 }, (_, i) => (i === 9 ? Number.NaN : i));
  const set: ArraySet = { count: 64, classes: 0, labels: [], shape: [1], values };
  const source = prefetchedBatches(set, { batch: 64, seed: 1 }, { workers: 2 });
  const wanted = { name: "UserError", code: "E_DATA", where: "example 9" };
  await assert.rejects(source.batch(0), wanted);
  await assert.rejects(source.batch(1), wanted);
  await source.close();
});

test("one batch is asked for at a time", async () => {
  const source = prefetchedBatches(pictures, options, { workers: 1 });
  const first = source.batch(0);
  await assert.rejects(source.batch(1), { code: "E_ARGUMENT" });
  assert.equal((await first).labels.length, 8);
  assert.equal((await source.batch(1)).labels.length, 8);
  await source.close();
});

test("a closed source refuses, and wrong options are refused at once", async () => {
  const source = prefetchedBatches(pictures, options);
  await source.close();
  await assert.rejects(source.batch(0), { code: "E_ARGUMENT" });
  assert.throws(() => prefetchedBatches(pictures, options, { workers: -1 }), {
    code: "E_ARGUMENT",
  });
  assert.throws(() => prefetchedBatches(pictures, options, { workers: 3, depth: 2 }), /depth/);
  assert.throws(() => prefetchedBatches(pictures, { ...options, batch: 51 }), { code: "E_DATA" });
});

test("workers that nobody closes do not keep the process", () => {
  const url = new URL("./prefetch.ts", import.meta.url).href;
  const code = `
    const { prefetchedBatches } = await import(${JSON.stringify(url)});
    const set = { count: 4, classes: 0, labels: [], shape: [1], values: new Float32Array(4) };
    const source = prefetchedBatches(set, { batch: 2, seed: 1 });
    const { feeds } = await source.batch(0);
    console.log(feeds.input.length);`;
  const args = ["--input-type=module", "-e", code];
  const text = execFileSync(process.execPath, args, { timeout: 60000, encoding: "utf8" });
  assert.equal(text.trim(), "2");
});
