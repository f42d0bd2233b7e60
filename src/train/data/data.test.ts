import assert from "node:assert/strict";
import { test } from "node:test";
import { encode } from "fast-png";
import { arraySource, fileListSource } from "../../data/memory.ts";
import { tensorOf } from "../../tensor/tensor.ts";
import { makeRng } from "../../util/rng.ts";
import { beta } from "./draws.ts";
import { readPictures, readSet, readSounds } from "./read.ts";
import { type ArraySet, joined, type PictureSet, type SoundSet, subset } from "./sets.ts";
import { evaluationBatches, trainingBatches, viewBatches } from "./source.ts";

const [H, W] = [5, 4];
const pictures = (count: number, channels: 1 | 3 = 3): PictureSet => ({
  count,
  height: H,
  width: W,
  channels,
  classes: 10,
  pixels: Uint8Array.from({ length: count * H * W * channels }, (_, i) => (i * 7919) % 251),
  labels: Array.from({ length: count }, (_, i) => i % 10),
});

/** One value an example, its own number. */
const numbers = (count: number, classes = 3): ArraySet => ({
  count,
  classes,
  shape: [1],
  values: Float32Array.from({ length: count }, (_, i) => i),
  labels: Array.from({ length: count }, (_, i) => i % classes),
});

const sounds = (...lengths: number[]): SoundSet => ({
  count: lengths.length,
  classes: 2,
  labels: lengths.map((_, i) => i % 2),
  sampleRate: 8000,
  ...joined(lengths.map((n, k) => Float32Array.from({ length: n }, (_, i) => k + 1 + i / 1000))),
});

const feed = (b: { readonly feeds: Readonly<Record<string, unknown>> }, name: string): number[] =>
  Array.from(b.feeds[name] as Float32Array);

/** The picture shifted by (dy, dx), mirrored, as reals: by definition. */
function variant(set: PictureSet, row: number, dy: number, dx: number, mirror: boolean): string {
  const { height, width, channels, pixels } = set;
  const out: number[] = [];
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      for (let c = 0; c < channels; c++) {
        const [sy, sx] = [y + dy, (mirror ? width - 1 - x : x) + dx];
        const inside = sy >= 0 && sy < height && sx >= 0 && sx < width;
        const at = ((row * height + sy) * width + sx) * channels + c;
        out.push(Math.fround(((inside ? pixels[at]! : 0) / 255 - 0.5) / 0.25));
      }
    }
  }
  return out.join();
}

const NORMAL = { mean: [0.5, 0.5, 0.5], std: [0.25, 0.25, 0.25] };

for (const channels of [1, 3] as const) {
  test(`pictures of ${channels} channels are shifted and mirrored in every way, and in no other`, async () => {
    const set = pictures(1, channels);
    const options = { batch: 1, seed: 5, shift: 2, mirror: true, ...NORMAL };
    const source = trainingBatches(set, options);
    const seen = new Map<string, number>();
    for (let step = 0; step < 2000; step++) {
      const got = feed(await source.batch(step), "image").join();
      seen.set(got, (seen.get(got) ?? 0) + 1);
    }
    const wanted = [-2, -1, 0, 1, 2].flatMap((dy) =>
      [-2, -1, 0, 1, 2].flatMap((dx) =>
        [false, true].map((mirror) => variant(set, 0, dy, dx, mirror)),
      ),
    );
    assert.deepEqual([...seen.keys()].sort(), wanted.sort());
    // 40 of each are expected; less than 15 has a chance of about 1e-5.
    assert.ok(Math.min(...seen.values()) > 14, `fewest: ${Math.min(...seen.values())}`);
  });
}

test("Cutout sets one square to the mean, and leaves the rest", async () => {
  const set = pictures(1);
  const plain = variant(set, 0, 0, 0, false).split(",").map(Number);
  const source = trainingBatches(set, { batch: 1, seed: 1, cutout: 3, ...NORMAL });
  const squares = new Set<string>();
  for (let step = 0; step < 200; step++) {
    const got = feed(await source.batch(step), "image");
    const changed = got.flatMap((v, i) => (v === plain[i] ? [] : [i]));
    assert.ok(changed.every((i) => got[i] === 0));
    const ys = changed.map((i) => Math.floor(i / (3 * W)));
    const xs = changed.map((i) => Math.floor(i / 3) % W);
    const sides = [Math.max(...ys) - Math.min(...ys) + 1, Math.max(...xs) - Math.min(...xs) + 1];
    assert.ok(sides.every((s) => s >= 1 && s <= 3));
    assert.equal(changed.length, sides[0]! * sides[1]! * 3);
    squares.add([Math.min(...ys), Math.min(...xs), ...sides].join());
  }
  assert.equal(squares.size, H * W);
});

test("an epoch has every example once, in an order of its own that the seed decides", async () => {
  const orders = async (seed: number) => {
    const source = trainingBatches(numbers(12), { batch: 4, seed });
    const found: number[][] = [];
    for (let epoch = 0; epoch < 3; epoch++) {
      const rows: number[] = [];
      for (let i = 0; i < source.batchesPerEpoch; i++) {
        const b = await source.batch(epoch * source.batchesPerEpoch + i);
        rows.push(...feed(b, "input"));
        assert.deepEqual(
          b.labels,
          feed(b, "input").map((v) => v % 3),
        );
      }
      found.push(rows);
    }
    return found;
  };
  const found = await orders(1);
  for (const rows of found) {
    assert.deepEqual(
      [...rows].sort((a, b) => a - b),
      Array.from({ length: 12 }, (_, i) => i),
    );
  }
  assert.equal(new Set(found.map(String)).size, 3);
  assert.deepEqual(await orders(1), found);
  assert.notDeepEqual(await orders(2), found);
});

test("views: an example has so many forms, one an epoch in turn, each with what a teacher says to it", async () => {
  const set = pictures(6);
  const views = 3;
  const options = { batch: 2, seed: 4, shift: 2, mirror: true, views };
  const size = H * W * 3;
  const forms: string[] = [];
  const all = viewBatches(set, { ...options, batch: 4 });
  for (let i = 0; i < all.batchesPerEpoch; i++) {
    const { feeds, labels } = await all.batch(i);
    const x = feeds["image"] as Float32Array;
    labels.forEach((label, r) => {
      assert.equal(label, Math.floor(forms.length / views));
      forms.push(x.subarray(r * size, (r + 1) * size).join());
    });
  }
  assert.equal(forms.length, 6 * views);
  // Two values for each form: its number, and the number again.
  const teacher = Float32Array.from({ length: 2 * 6 * views }, (_, i) => Math.floor(i / 2));
  const source = trainingBatches(set, { ...options, teacher });
  const seen: string[] = [];
  for (let epoch = 0; epoch < 2 * views; epoch++) {
    const shown: number[] = [];
    for (let i = 0; i < 3; i++) {
      const batch = await source.batch(3 * epoch + i);
      const [x, says] = [batch.feeds["image"] as Float32Array, feed(batch, "teacher")];
      batch.labels.forEach((label, r) => {
        const form = says[2 * r]!;
        assert.equal(says[2 * r + 1], form);
        assert.equal(Math.floor(form / views), label);
        assert.equal(x.subarray(r * size, (r + 1) * size).join(), forms[form]);
        shown.push(form);
      });
    }
    seen.push(shown.sort((a, b) => a - b).join());
  }
  assert.equal(new Set(seen.slice(0, views).join().split(",")).size, 6 * views);
  assert.deepEqual(seen.slice(views), seen.slice(0, views));
  const mixed = { ...options, teacher, mixup: 0.2 };
  assert.throws(() => trainingBatches(set, mixed), { code: "E_ARGUMENT", where: "teacher" });
});

test("targets are smoothed", async () => {
  const b = await trainingBatches(numbers(3), { batch: 3, seed: 1, smoothing: 0.3 }).batch(0);
  const target = feed(b, "target");
  b.labels.forEach((label, i) => {
    for (let c = 0; c < 3; c++) {
      assert.ok(Math.abs(target[3 * i + c]! - (c === label ? 0.8 : 0.1)) < 1e-6);
    }
  });
});

test("mixup takes rows and targets together, by one share a batch", async () => {
  const source = trainingBatches(numbers(8, 8), { batch: 8, seed: 3, mixup: 1 });
  const shares = new Set<number>();
  for (let step = 0; step < 20; step++) {
    const b = await source.batch(step);
    const target = feed(b, "target");
    feed(b, "input").forEach((v, i) => {
      const row = target.slice(8 * i, 8 * i + 8);
      // Example c has the value and the class c.
      const mean = row.reduce((sum, p, c) => sum + p * c, 0);
      assert.ok(Math.abs(mean - v) < 1e-5);
      assert.ok(Math.abs(row.reduce((p, q) => p + q) - 1) < 1e-6);
      const own = row[b.labels[i]!]!;
      if (own < 0.999999) shares.add(Math.round(own * 1e5));
    });
  }
  assert.ok(shares.size > 10 && shares.size <= 20, `${shares.size} shares in 20 batches`);
});

test("the beta distribution has its mean and variance", () => {
  for (const [a, b] of [
    [0.2, 0.2],
    [1, 1],
    [2, 5],
  ] as const) {
    const rng = makeRng(11);
    const draws = Array.from({ length: 40000 }, () => beta(rng, a, b));
    const mean = draws.reduce((p, q) => p + q) / draws.length;
    const variance = draws.reduce((p, q) => p + (q - mean) ** 2, 0) / draws.length;
    const want = (a * b) / ((a + b) ** 2 * (a + b + 1));
    assert.ok(Math.abs(mean - a / (a + b)) < 0.01, `mean ${mean}`);
    assert.ok(Math.abs(variance / want - 1) < 0.05, `variance ${variance} for ${want}`);
  }
  const rng = makeRng(1);
  assert.ok(
    Array.from({ length: 100 }, () => beta(rng, 1e-4, 1e-4)).every((p) => p >= 0 && p <= 1),
  );
});

test("evaluation has all examples in order; what fills the last batch up does not count", async () => {
  const source = evaluationBatches(numbers(5), { batch: 2 });
  const found: number[] = [];
  const labels: number[] = [];
  for (let i = 0; i < source.batchesPerEpoch; i++) {
    const b = await source.batch(i);
    assert.deepEqual(Object.keys(b.feeds), ["input"]);
    found.push(...feed(b, "input"));
    labels.push(...b.labels);
  }
  assert.deepEqual(found, [0, 1, 2, 3, 4, 0]);
  assert.deepEqual(labels, [0, 1, 2, 0, 1]);
  const tiny = evaluationBatches(numbers(2), { batch: 5, input: "x" });
  assert.deepEqual(feed(await tiny.batch(0), "x"), [0, 1, 0, 1, 0]);
});

test("sounds are cut, padded and shifted", async () => {
  const set = sounds(3, 6);
  const plain = evaluationBatches(set, { batch: 2, length: 4 });
  const f = Math.fround;
  assert.deepEqual(feed(await plain.batch(0), "sound"), [1, 1.001, 1.002, 0, 2, 2.001, 2.002, 2.003].map(f)); // biome-ignore format: rows
  const shifted = trainingBatches(set, { batch: 1, seed: 1, length: 4, timeShift: 1 });
  const seen = new Set<string>();
  for (let step = 0; step < 100; step++) {
    seen.add(feed(await shifted.batch(step), "sound").join());
  }
  const want = [
    [1, 1.001, 1.002, 0],
    [1.001, 1.002, 0, 0],
    [0, 1, 1.001, 1.002],
    [2, 2.001, 2.002, 2.003],
    [2.001, 2.002, 2.003, 2.004],
    [0, 2, 2.001, 2.002],
  ];
  assert.deepEqual([...seen].sort(), want.map((v) => v.map(f).join()).sort());
});

test("sounds get louder and softer, and noise of the deviation drawn", async () => {
  const ones: SoundSet = { ...sounds(2000), samples: new Float32Array(2000).fill(1) };
  const gained = trainingBatches(ones, { batch: 1, seed: 1, length: 2000, gain: 6 });
  const decibels: number[] = [];
  for (let step = 0; step < 200; step++) {
    const x = feed(await gained.batch(step), "sound");
    assert.ok(x.every((v) => v === x[0]));
    decibels.push(20 * Math.log10(x[0]!));
  }
  assert.ok(Math.min(...decibels) >= -6.001 && Math.max(...decibels) <= 6.001);
  assert.ok(Math.min(...decibels) < -5 && Math.max(...decibels) > 5);
  const noisy = trainingBatches(ones, { batch: 1, seed: 1, length: 2000, noise: 0.1 });
  const deviations: number[] = [];
  for (let step = 0; step < 50; step++) {
    const x = feed(await noisy.batch(step), "sound").map((v) => v - 1);
    deviations.push(Math.sqrt(x.reduce((p, q) => p + q * q, 0) / x.length));
  }
  assert.ok(Math.min(...deviations) < 0.02 && Math.max(...deviations) > 0.08);
  assert.ok(Math.max(...deviations) < 0.11);
});

test("examples without labels make batches without targets", async () => {
  const set: ArraySet = { ...numbers(4), classes: 0, labels: [] };
  const b = await trainingBatches(set, { batch: 2, seed: 1 }).batch(0);
  assert.deepEqual(Object.keys(b.feeds), ["input"]);
  assert.deepEqual(b.labels, []);
});

test("what does not fit is refused by name", async () => {
  const code = (what: string) => ({ code: what });
  const options = { batch: 2, seed: 1 };
  assert.throws(() => trainingBatches(numbers(1), options), code("E_DATA"));
  assert.throws(() => trainingBatches(numbers(4), { ...options, batch: 1.5 }), code("E_ARGUMENT"));
  assert.throws(() => trainingBatches(numbers(4), { ...options, smoothing: 2 }), /smoothing/);
  assert.throws(() => trainingBatches(pictures(4), { ...options, shift: -1 }), /shift/);
  const wrong = { ...numbers(4), labels: [0, 1, 7, 0] };
  assert.throws(() => trainingBatches(wrong, options), /example 2 has class 7/);
  const broken = { ...numbers(4), values: Float32Array.of(0, Number.NaN, 2, 3) };
  const source = trainingBatches(broken, { batch: 4, seed: 1 });
  await assert.rejects(source.batch(0), { code: "E_DATA", where: "example 1" });
  await assert.rejects(source.batch(-1), code("E_ARGUMENT"));
});

test("subsets of every kind", async () => {
  const p = subset(pictures(4), [2, 0]);
  assert.deepEqual(Array.from(p.labels), [2, 0]);
  assert.deepEqual([...p.pixels.subarray(0, 60)], [...pictures(4).pixels.subarray(120, 180)]);
  const s = subset(sounds(3, 2, 5), [2, 1]);
  assert.deepEqual([...s.starts], [0, 5, 7]);
  assert.equal(s.samples[0], 3);
  assert.deepEqual([...subset(numbers(9), [8, 3, 3]).values], [8, 3, 3]);
  assert.throws(() => subset(numbers(2), [2]), { code: "E_DATA" });
});

const png = (width: number, height: number, data: number[]) => {
  const bytes = encode({ width, height, channels: 1, depth: 8, data: Uint8Array.from(data) });
  return async () => bytes;
};

/** 16-bit PCM. */
function wav(rate: number, samples: number[]): () => Promise<Uint8Array> {
  const b = Buffer.alloc(44 + 2 * samples.length);
  b.write("RIFF", 0);
  b.write("WAVEfmt ", 8);
  b.writeUInt32LE(16, 16);
  b.writeUInt16LE(1, 20);
  b.writeUInt16LE(1, 22);
  b.writeUInt32LE(rate, 24);
  b.writeUInt16LE(2, 32);
  b.writeUInt16LE(16, 34);
  b.write("data", 36);
  b.writeUInt32LE(2 * samples.length, 40);
  samples.forEach((v, i) => b.writeInt16LE(v, 44 + 2 * i));
  return async () => b;
}

test("sources are read into sets of their kind", async () => {
  const files = [
    { name: "a.png", label: 1, bytes: png(2, 1, [1, 2]) },
    { name: "b.png", label: 0, bytes: png(2, 1, [3, 4]) },
  ];
  const set = await readPictures(fileListSource("files", files, ["x", "y", "z"]));
  assert.deepEqual([set.count, set.height, set.width, set.channels, set.classes], [2, 1, 2, 1, 3]);
  assert.deepEqual([...set.pixels], [1, 2, 3, 4]);
  assert.deepEqual(Array.from(set.labels), [1, 0]);
  const other = [...files, { name: "c.png", label: 0, bytes: png(1, 2, [5, 5]) }];
  await assert.rejects(readSet(fileListSource("files", other, null)), {
    code: "E_DATA",
    where: "c.png",
  });
  const stretched = await readPictures(fileListSource("files", other, null), { size: [2, 2] });
  assert.deepEqual([...stretched.pixels.subarray(8)], [5, 5, 5, 5]);
  const idx = arraySource("idx", tensorOf("u8", [2, 2, 2], [1, 2, 3, 4, 5, 6, 7, 8]));
  assert.deepEqual([...(await readPictures(idx, { rows: [1] })).pixels], [5, 6, 7, 8]);
  const plain = await readSet(arraySource("npy", tensorOf("f64", [2, 2], [1, 2, 3, 4])));
  assert.ok("values" in plain);
  assert.deepEqual([plain.classes, plain.shape, ...plain.values], [0, [2], 1, 2, 3, 4]);
  await assert.rejects(readSounds(idx), { code: "E_DATA" });
});

test("WAV files are read into sounds of one rate; raw bytes by their element type", async () => {
  const file = (name: string, bytes: () => Promise<Uint8Array>) => ({ name, label: null, bytes });
  const a = file("a.wav", wav(8000, [16384, -16384]));
  const b = file("b.wav", wav(8000, [8192]));
  const set = await readSounds(fileListSource("files", [a, b], null));
  assert.deepEqual([set.sampleRate, ...set.starts], [8000, 0, 2, 3]);
  assert.deepEqual([...set.samples], [0.5, -0.5, 0.25]);
  const c = file("c.wav", wav(16000, [1]));
  await assert.rejects(readSounds(fileListSource("files", [a, c], null)), { where: "c.wav" });
  const raw = fileListSource("raw", [file("r", async () => Uint8Array.of(255, 3))], null);
  const options = { shape: [2], preprocess: { dtype: "i8", quantScale: 0.5, zeroPoint: 1 } };
  const bytes = await readSet(raw, options);
  assert.ok("values" in bytes);
  assert.deepEqual([...bytes.values], [-1, 1]);
  await assert.rejects(readSet(raw), { code: "E_DATA", where: "r" });
});
