/** @file `tersor factorise`: what it writes and says, and what it refuses. */
import assert from "node:assert/strict";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { rankRule } from "../src/compress/factorise/index.ts";
import { interpret } from "../src/graph/interpret.ts";
import { loadModel, toOnnx } from "../src/pipeline.ts";
import { toNumbers } from "../src/tensor/tensor.ts";
import { tersor } from "../test/support/cli.ts";
import { smallResidual } from "../test/support/small-residual.ts";
import { seededFeeds } from "../test/support/whole-models.ts";

const folder = mkdtempSync(join(tmpdir(), "tersor-factorise-"));
after(() => rmSync(folder, { recursive: true, force: true }));
const model = join(folder, "model.onnx");
writeFileSync(model, toOnnx(smallResidual({ seed: 3 })));

test("ranks as written", () => {
  const cases = [
    ["evbmf", { kind: "evbmf" }],
    ["evbmf+0.2", { kind: "evbmf", keep: 0.2 }],
    ["0.5", { kind: "share", share: 0.5 }],
    ["1/8", { kind: "share", share: 0.125 }],
    ["8", { kind: "fixed", ranks: [8] }],
    ["8,16", { kind: "fixed", ranks: [8, 16] }],
    ["params=50%", { kind: "params", share: 0.5 }],
    ["macs = 0.25", { kind: "macs", share: 0.25 }],
    ["error=0.1", { kind: "error", most: 0.1 }],
  ] as const;
  for (const [text, want] of cases) assert.deepEqual(rankRule(text), want, text);
  for (const text of ["", "0", "-1", "params=0", "size=50%", "8,0", "1.5", "evbmf+2", "error=x"]) {
    assert.throws(() => rankRule(text, "--rank"), /says no ranks/, text);
  }
});

test("factorise writes a smaller model that computes nearly the same where errors are small", async () => {
  const out = join(folder, "out");
  const flags = ["--method", "tucker", "--rank", "error=0.2", "--always", "--out", out, "--json"];
  const run = await tersor(["factorise", model, ...flags]);
  assert.equal(run.code, 0, run.stderr);
  const said = JSON.parse(run.stdout);
  const names = said.layers.map((l: { name: string }) => l.name);
  assert.deepEqual(names.slice(0, 2), ["block1.conv1", "block1.conv2"]);
  assert.equal(said.layers.length, 5);
  for (const { error } of said.layers) assert.ok(error <= 0.2, `${error}`);
  const [before, after] = [model, join(out, "model.onnx")].map(
    (path) => loadModel(readFileSync(path)).graph,
  );
  const feeds = seededFeeds(before!, 1);
  const [want, got] = [before!, after!].map((g) => toNumbers(interpret(g, feeds)[0]!));
  const norm = Math.hypot(...want!);
  const error = Math.hypot(...want!.map((x, i) => x - got![i]!)) / norm;
  assert.ok(error > 0 && error < 0.5, `${error}`);
});

test("factorise: a target of parameters, patterns of layers, refusals", async () => {
  const flags = ["--method", "svd", "--out", join(folder, "b")];
  const half = await tersor([
    "factorise",
    model,
    ...flags,
    "--rank",
    "params=50%",
    "--layers",
    "block2.*",
    "--json",
  ]);
  assert.equal(half.code, 0, half.stderr);
  const said = JSON.parse(half.stdout);
  for (const { name, before, after } of said.layers) {
    assert.match(name, /^block2\./);
    assert.ok(after.params <= before.params / 2, name);
  }
  assert.ok(said.parameters[1] < said.parameters[0] && said.macs[1] < said.macs[0]);
  const refused: readonly (readonly [string[], number, RegExp])[] = [
    [["--rank", "4", "--layers", "conv9*"], 1, /no layer.*conv9\*.*block1\.conv1/],
    [["--rank", "1/1"], 2, /no layer became smaller; .*--always/],
  ];
  for (const [more, code, message] of refused) {
    const run = await tersor(["factorise", model, ...flags, ...more]);
    assert.equal(run.code, code, run.stderr);
    assert.match(run.stderr, message);
  }
});
