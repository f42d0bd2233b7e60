/** @file Checkpoints: damaged ones are passed over, a full disk loses nothing, others' are told apart. */
import assert from "node:assert/strict";
import * as nodeFs from "node:fs";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { after, test } from "node:test";
import { UserError } from "../../util/errors.ts";
import {
  type Checkpoint,
  decodeCheckpoint,
  differences,
  encodeCheckpoint,
  modelIdentity,
} from "../checkpoint.ts";
import { START } from "../loop.ts";
import { lenet5 } from "../models/lenet5.ts";
import { type CheckpointFs, loadCheckpoint, saveCheckpoint } from "./checkpoints.ts";

const root = mkdtempSync(join(tmpdir(), "tersor-checkpoints-"));
after(() => rmSync(root, { recursive: true, force: true }));
let folders = 0;
const fresh = (): string => join(root, String(++folders));

const at = (step: number): Checkpoint => ({
  identity: { settings: { epochs: 2, data: { batch: 8 } }, layers: "l", weights: "w" },
  finished: false,
  loop: {
    progress: { ...START, step, best: { step: 1, value: 97.25 } },
    state: new Map([
      ["w", Float32Array.of(step, -0, 1e-42, Number.POSITIVE_INFINITY)],
      ["w:momentum", Float32Array.of(0.1)],
    ]),
    best: new Map([["3", Float32Array.of(7)]]),
  },
});

test("a checkpoint comes back as it was, and the same state gives the same bytes", () => {
  const bytes = encodeCheckpoint(at(5));
  assert.deepEqual(decodeCheckpoint(bytes, "here"), at(5));
  assert.deepEqual(encodeCheckpoint(at(5)), bytes);
  const none = { ...at(5), loop: { ...at(5).loop, best: null } };
  assert.deepEqual(decodeCheckpoint(encodeCheckpoint(none), "here"), none);
});

test("the last two are kept, and the newest is read", () => {
  const folder = fresh();
  for (const step of [5, 10, 1000, 15]) saveCheckpoint(folder, at(step));
  assert.deepEqual(readdirSync(folder), ["step-000000015.ckpt", "step-000001000.ckpt"]);
  const found = loadCheckpoint(folder)!;
  assert.deepEqual([found.checkpoint, found.skipped], [at(1000), []]);
  assert.equal(loadCheckpoint(join(folder, "none")), null);
});

const DAMAGE: Readonly<Record<string, readonly [(b: Uint8Array) => Uint8Array, RegExp]>> = {
  empty: [() => new Uint8Array(0), /the file is empty/],
  "cut off in its first bytes": [(b) => b.slice(0, 5), /cut off after 5 bytes/],
  "cut off before the header": [(b) => b.slice(0, 20), /cut off after 20 bytes/],
  "cut off": [(b) => b.slice(0, b.length - 9), /cut off after \d+ of \d+ bytes/],
  "too long": [(b) => Uint8Array.from([...b, 0]), /the checksum differs/],
  "of another kind": [(b) => b.map((x, i) => (i < 8 ? 65 : x)), /not a checkpoint of tersor/],
  "of another version": [(b) => b.map((x, i) => (i === 8 ? 9 : x)), /version 9 .* reads 1/],
  "a flipped bit in the header": [(b) => b.map((x, i) => (i === 40 ? x ^ 1 : x)), /checksum/],
  "a flipped bit in a weight": [
    (b) => b.map((x, i) => (i === b.length - 7 ? x ^ 16 : x)),
    /checksum/,
  ],
  "a flipped bit in the checksum": [
    (b) => b.map((x, i) => (i === b.length - 1 ? x ^ 1 : x)),
    /checksum/,
  ],
};

for (const [name, [damage, reason]] of Object.entries(DAMAGE)) {
  test(`the newest checkpoint is ${name}: the one before is used; both: refused`, () => {
    const folder = fresh();
    const [first, second] = [5, 10].map((step) => saveCheckpoint(folder, at(step)));
    const harm = (path: string): void => writeFileSync(path, damage(readFileSync(path)));
    harm(second!);
    const { checkpoint, skipped, path } = loadCheckpoint(folder)!;
    assert.deepEqual([checkpoint.loop.progress.step, path], [5, first]);
    assert.equal(skipped.length, 1);
    assert.match(skipped[0]!, reason);
    assert.ok(skipped[0]!.startsWith(second!));
    harm(first!);
    assert.throws(
      () => loadCheckpoint(folder),
      (e: UserError) =>
        e.code === "E_FORMAT" && e.message.includes(basename(first!)) && reason.test(e.message),
    );
  });
}

test("every single flipped byte is noticed", () => {
  const bytes = encodeCheckpoint(at(1));
  for (let i = 0; i < bytes.length; i++) {
    const bad = bytes.map((x, k) => (k === i ? x ^ 0x55 : x));
    assert.throws(() => decodeCheckpoint(bad, "x"), UserError, `byte ${i}`);
  }
});

const failure = (code: string): Error => Object.assign(new Error(code), { code });

/** node:fs on a disk that has room for so many bytes. */
function small(room: number): CheckpointFs {
  const writeSync = (fd: number, bytes: Uint8Array, from: number, count: number): number => {
    if (room <= 0) throw failure("ENOSPC");
    const n = Math.min(count, room, 100);
    room -= n;
    return nodeFs.writeSync(fd, bytes, from, n);
  };
  return { ...nodeFs, writeSync: writeSync as typeof nodeFs.writeSync };
}

const STAGES: Readonly<Record<string, () => CheckpointFs>> = {
  "at once": () => small(0),
  "half way": () => small(250),
  "at the sync": () => ({
    ...nodeFs,
    fsyncSync: () => {
      throw failure("ENOSPC");
    },
  }),
  "at the rename": () => ({
    ...nodeFs,
    renameSync: () => {
      throw failure("ENOSPC");
    },
  }),
};

for (const [name, make] of Object.entries(STAGES)) {
  test(`a disk that is full ${name}: a clear error, the checkpoint before stays`, () => {
    const folder = fresh();
    const first = saveCheckpoint(folder, at(5));
    const before = readFileSync(first);
    const save = (): string => saveCheckpoint(folder, at(10), { fs: make(), keep: 1 });
    assert.throws(save, (e: UserError) => {
      assert.equal(e.code, "E_FILE");
      assert.match(e.message, /the disk is full, \d+ bytes are needed; the one before is kept: /);
      assert.ok(e.message.endsWith(first));
      assert.match(e.where ?? "", /step-000000010/);
      assert.match(e.hint ?? "", /make room and run the same command again/);
      return true;
    });
    assert.deepEqual(readdirSync(folder), ["step-000000005.ckpt"]);
    assert.deepEqual(readFileSync(first), before);
  });
}

test("a folder that may not be written", () => {
  const file = fresh();
  writeFileSync(file, "");
  assert.throws(
    () => saveCheckpoint(join(file, "in"), at(1)),
    /not written: cannot be written \(ENOTDIR\); there is none before it/,
  );
});

test("what a killed run left half written is removed", () => {
  const folder = fresh();
  saveCheckpoint(folder, at(5));
  writeFileSync(join(folder, ".step-10.123.tmp"), "half");
  assert.equal(loadCheckpoint(folder)!.checkpoint.loop.progress.step, 5);
  assert.deepEqual(readdirSync(folder), ["step-000000005.ckpt"]);
});

test("what differs between runs is named", () => {
  const { identity } = at(1);
  const settings = { epochs: 3, data: { batch: 16 }, loss: "mse" };
  assert.deepEqual(differences(identity, identity), []);
  assert.deepEqual(differences(identity, { ...identity, settings }), [
    "epochs was 2 and is 3",
    "data.batch was 8 and is 16",
    'loss was none and is "mse"',
  ]);
  const [a, b, c] = [{ seed: 1 }, { seed: 2 }, { classes: 9 }].map((o) => modelIdentity(lenet5(o)));
  const models = (m: typeof a): string[] =>
    differences({ ...identity, ...a }, { ...identity, ...m });
  assert.deepEqual(models(modelIdentity(lenet5({ seed: 1 }))), []);
  assert.deepEqual(models(b), ["the model's initial weights differ"]);
  assert.deepEqual(models(c), ["the model's layers differ"]);
});
