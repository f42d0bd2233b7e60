/**
 * @file Runs the README's examples as they stand: commands in order in one folder with a small model and a few
 * images, TypeScript with the package's name resolved to the sources. Also checks the documents' tables.
 */
import assert from "node:assert/strict";
import { execFile, execFileSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join, resolve } from "node:path";
import { after, test } from "node:test";
import { promisify } from "node:util";
import { encode } from "fast-png";
import { exportOnnx } from "../src/formats/onnx/export.ts";
import { GraphBuilder, type Value } from "../src/graph/graph.ts";
import { relu } from "../src/ops/elementwise/relu.ts";
import { conv } from "../src/ops/nn/conv.ts";
import { linear } from "../src/ops/nn/linear.ts";
import { softmax } from "../src/ops/reduce/softmax.ts";
import { reshape } from "../src/ops/shape/reshape.ts";
import { tensorOf, tensorType } from "../src/tensor/tensor.ts";
import { makeRng } from "../src/util/rng.ts";
import { CC } from "./support/c-run.ts";

const ROOT = resolve(import.meta.dirname, "..");
const README = readFileSync(join(ROOT, "README.md"), "utf8");
const SIZE = 16;

const folder = mkdtempSync(join(tmpdir(), "tersor-readme-"));
after(() => rmSync(folder, { recursive: true, force: true }));

/** A classifier of 16x16 colour images with two classes. */
function model(): Uint8Array {
  const rng = makeRng(3);
  const random = (shape: readonly number[]) => {
    const n = shape.reduce((a, b) => a * b, 1);
    return tensorOf(
      "f32",
      shape,
      Array.from({ length: n }, () => 0.2 * rng.normal()),
    );
  };
  const g = new GraphBuilder("small");
  const x = g.input("x", tensorType("f32", [1, 3, SIZE, SIZE]));
  const attrs = { layout: "nchw", stride: [2, 2], padBegin: [1, 1], padEnd: [1, 1] } as const;
  const halved = (from: Value, shape: readonly number[]): Value => {
    const ins = [from, g.constant(random(shape))];
    return g.apply(relu, [g.apply(conv, ins, { ...attrs, dilation: [1, 1], groups: 1 })]);
  };
  const y = halved(halved(x, [8, 3, 3, 3]), [16, 8, 3, 3]);
  const flat = g.apply(reshape, [y], { shape: [1, 256] });
  const logits = g.apply(linear, [flat, g.constant(random([2, 256]))], {});
  g.output(g.apply(softmax, [logits], { axis: 1 }), "probabilities");
  return exportOnnx(g.build());
}

/** Light images of class 0, dark ones of class 1. */
function image(label: number, seed: number): Uint8Array {
  const rng = makeRng(seed);
  const data = Uint8Array.from(
    { length: SIZE * SIZE * 3 },
    () => (label === 0 ? 150 : 20) + rng.int(80),
  );
  return encode({ width: SIZE, height: SIZE, channels: 3, depth: 8, data });
}

writeFileSync(join(folder, "model.onnx"), model());
writeFileSync(join(folder, "package.json"), '{ "type": "module" }');
for (const label of [0, 1]) {
  mkdirSync(join(folder, "images", String(label)), { recursive: true });
  for (let i = 0; i < 12; i++) {
    writeFileSync(join(folder, "images", `${label}/${i}.png`), image(label, 2 * i + label));
  }
}

const exec = promisify(execFile);

/** Runs Node in the folder; a failure shows what was printed. */
async function node(args: readonly string[]): Promise<string> {
  const { stdout } = await exec(process.execPath, args, { cwd: folder, encoding: "utf8" });
  return stdout;
}

/** Fenced blocks of a language, in order of appearance. */
const blocks = [...README.matchAll(/^```(sh|ts|c)\n([\s\S]*?)^```$/gm)].map((m) => ({
  language: m[1]!,
  text: m[2]!,
}));

/** Commands that would run this test again, or the demo, which has its own test. */
const WHOLE = /^npm ci && npm (run demo|test)$/;

async function runCommand(line: string): Promise<void> {
  // Arguments in quotes hold no spaces.
  const [tool, name, ...args] = line.split(" ").map((word) => word.replace(/^"(.*)"$/, "$1"));
  assert.deepEqual([tool, name], ["npx", "tersor"], line);
  const printed = await node([join(ROOT, "cli/main.ts"), ...args]);
  assert.notEqual(printed.trim(), "", `${line} prints nothing`);
}

async function runScript(text: string, index: number): Promise<void> {
  const named = /^\/\/ (\S+\.ts)\n/.exec(text)?.[1];
  const entry = join(ROOT, "src/index.ts");
  const file = join(folder, named ?? `example${index}.ts`);
  const native = join(ROOT, "src/native/index.ts");
  const train = join(ROOT, "src/train/index.ts");
  const local = text
    .replace('from "tersor"', `from ${JSON.stringify(entry)}`)
    .replace('from "tersor/native"', `from ${JSON.stringify(native)}`)
    .replaceAll('from "tersor/train"', `from ${JSON.stringify(train)}`);
  writeFileSync(file, local);
  const printed = await node([file]);
  if (named === undefined) assert.notEqual(printed.trim(), "");
}

/** Compiles an example against the C written by the commands before it. */
function compileC(text: string): void {
  if (CC === null) return;
  writeFileSync(join(folder, "firmware/example.c"), text);
  const flags = ["-std=gnu99", "-Wall", "-Wextra", "-Werror", "-c"];
  execFileSync(CC, [...flags, "example.c", "model.c"], { cwd: join(folder, "firmware") });
}

test("the examples of README.md run in order", async (t) => {
  assert.ok(blocks.length >= 8, `${blocks.length} examples`);
  for (const [i, { language, text }] of blocks.entries()) {
    const [first = ""] = text.split("\n");
    await t.test(first, async () => {
      if (language === "ts") await runScript(text, i);
      if (language === "c") compileC(text);
      const lines = language === "sh" ? text.trim().split("\n") : [];
      for (const line of lines.filter((l) => !WHOLE.test(l))) await runCommand(line);
    });
  }
  assert.ok(existsSync(join(folder, "build/model.wasm")));
});

const DOCUMENTS = [
  "README.md",
  "CONTRIBUTING.md",
  "docs/architecture.md",
  "docs/tflite.md",
  ...[
    "formats",
    "graph",
    "kernel",
    "ops",
    "passes",
    "primitives",
    "targets/wasm",
    "targets/c",
    "native",
  ].map((name) => `src/${name}/README.md`),
];

for (const document of DOCUMENTS) {
  test(`files that ${document} names exist`, () => {
    const text = readFileSync(join(ROOT, document), "utf8");
    const links = [...text.matchAll(/\]\(([^)#:]+)\)/g)].map((m) => join(dirname(document), m[1]!));
    const paths = [...text.matchAll(/`((?:src|test|scripts|docs|cli|bench)\/[\w./-]+)`/g)];
    for (const path of [...links, ...paths.map((m) => m[1]!)]) {
      assert.ok(existsSync(join(ROOT, path)), `${document} names ${path}`);
    }
  });
}

test("docs/architecture.md has the layers of scripts/check-layers.ts", () => {
  const script = readFileSync(join(ROOT, "scripts/check-layers.ts"), "utf8");
  const table = /LEVELS[^{]*\{([^}]*)\}/.exec(script)![1]!;
  const levels = [...table.matchAll(/"?([\w./]+)"?: ([\d.]+),/g)].map(
    (m) => `| ${m[2]} | \`${m[1]}\` |`,
  );
  const text = readFileSync(join(ROOT, "docs/architecture.md"), "utf8");
  assert.ok(levels.length > 10);
  for (const row of levels) assert.ok(text.includes(row), `missing in the table: ${row}`);
});

test("docs/operators.md is what npm run operators writes", async () => {
  await node([join(ROOT, "scripts/operators.ts"), "--check"]);
});

test("docs/dependencies.md has every package of package.json", () => {
  const { dependencies, devDependencies } = JSON.parse(
    readFileSync(join(ROOT, "package.json"), "utf8"),
  ) as Record<"dependencies" | "devDependencies", Record<string, string>>;
  const text = readFileSync(join(ROOT, "docs/dependencies.md"), "utf8");
  for (const name of Object.keys({ ...dependencies, ...devDependencies })) {
    assert.ok(text.includes(`\`${name}\``), `${name} is not explained`);
  }
});
