import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { encode } from "fast-png";
import { gzipSync, zipSync } from "fflate";
import { tensorOf, tensorType, toNumbers } from "../tensor/tensor.ts";
import { UserError } from "../util/errors.ts";
import { openSource } from "./node.ts";
import { formatNpy, parseNpy } from "./npy.ts";
import { readRowSets } from "./rows.ts";

const folder = mkdtempSync(join(tmpdir(), "tersor-data-"));
after(() => rmSync(folder, { recursive: true, force: true }));
const at = (...names: string[]): string => join(folder, ...names);
const range = (n: number): number[] => Array.from({ length: n }, (_, i) => i);

test("an array read from a small Buffer is its own memory", () => {
  const t = tensorOf("f32", [3], [1, 2, 3]);
  const padded = Buffer.concat([Buffer.alloc(3), formatNpy(t)]).subarray(3);
  assert.deepEqual(toNumbers(parseNpy(padded, "t")), [1, 2, 3]);
});

test("npy rows, and npz with labels by the usual names or as told", async () => {
  const x = formatNpy(tensorOf("f32", [4, 2], range(8)));
  const y = formatNpy(tensorOf("i64", [4], [3, 2, 1, 0]));
  writeFileSync(at("x.npy"), x);
  writeFileSync(at("both.npz"), zipSync({ "x.npy": x, "y.npy": y }));
  const plain = await openSource(at("x.npy"));
  assert.deepEqual([plain.size, (await plain.read([1]))[0]!.label], [4, null]);
  const both = await openSource(at("both.npz"));
  const [row] = await both.read([2]);
  assert.equal(row!.label, 1);
  assert.ok(row!.data.kind === "array");
  assert.deepEqual(toNumbers(row!.data.tensor), [4, 5]);
  const told = await openSource(at("both.npz"), { column: "y", labelColumn: null });
  assert.equal((await told.read([0]))[0]!.label, null);
  await assert.rejects(openSource(at("both.npz"), { column: "z" }), /no array 'z'.*x, y/);
});

test("IDX images find their labels beside them, compressed or not", async () => {
  const images = Uint8Array.from([0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 2, 9, 8, 7, 6]);
  const labels = Uint8Array.from([0, 0, 8, 1, 0, 0, 0, 2, 5, 4]);
  writeFileSync(at("train-images-idx3-ubyte.gz"), gzipSync(images));
  writeFileSync(at("train-labels-idx1-ubyte.gz"), gzipSync(labels));
  const source = await openSource(at("train-images-idx3-ubyte.gz"));
  const [row] = await source.read([1]);
  assert.equal(row!.label, 4);
  assert.ok(row!.data.kind === "array");
  assert.deepEqual(toNumbers(row!.data.tensor), [7, 6]);
});

test("a folder by class: sub-folders in the order of their numbers", async () => {
  const pixel = encode({ width: 1, height: 1, channels: 1, depth: 8, data: Uint8Array.of(7) });
  for (const name of ["10", "2", "1"]) {
    mkdirSync(at("classes", name), { recursive: true });
    writeFileSync(at("classes", name, "a.png"), pixel);
  }
  const source = await openSource(at("classes"));
  assert.deepEqual(source.classes, ["1", "2", "10"]);
  assert.deepEqual(
    (await source.read([0, 1, 2])).map((e) => e.label),
    [0, 1, 2],
  );
  const single = await openSource(at("classes", "2", "a.png"));
  assert.deepEqual([single.size, (await single.read([0]))[0]!.label], [1, null]);
});

test("what is no data says so", async () => {
  writeFileSync(at("empty.npy"), "");
  writeFileSync(at("text.txt"), "hello");
  mkdirSync(at("nothing"));
  const cases: readonly (readonly [string, RegExp])[] = [
    ["gone.npy", /no such file/],
    ["empty.npy", /the file is empty/],
    ["text.txt", /not a known kind of data/],
    ["nothing", /holds no PNG/],
  ];
  for (const [name, message] of cases) {
    await assert.rejects(
      openSource(at(name)),
      (e) => e instanceof UserError && message.test(e.message),
    );
  }
});

test("calibration and evaluation rows share nothing, even across copies of a file", async () => {
  writeFileSync(at("a.npy"), formatNpy(tensorOf("f32", [50, 1], range(50))));
  writeFileSync(
    at("b.npy"),
    formatNpy(
      tensorOf(
        "f32",
        [30, 1],
        range(30).map((x) => x + 30),
      ),
    ),
  );
  const a = await openSource(at("a.npy"));
  const b = await openSource(at("b.npy"));
  const type = tensorType("f32", [1, 1]);
  const values = (rows: { readonly feeds: readonly (readonly { data: ArrayLike<unknown> }[])[] }) =>
    rows.feeds.map((f) => Number(f[0]!.data[0]));
  for (const evaluation of [null, b]) {
    const sets = await readRowSets(a, evaluation, type, {}, { seed: 1 });
    const used = new Set(values(sets.calibration));
    assert.ok(used.size > 0 && sets.evaluation.feeds.length > 0);
    assert.ok(values(sets.evaluation).every((x) => !used.has(x)));
  }
  const sets = await readRowSets(a, b, type, {}, { seed: 1 });
  assert.deepEqual(
    values(sets.evaluation),
    range(10).map((x) => x + 50),
  );
  assert.match(sets.note, /equal calibration rows: 20/);
  await assert.rejects(readRowSets(a, a, type, {}, { seed: 1 }), /every evaluation row/);
});
