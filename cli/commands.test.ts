import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, suite, test } from "node:test";
import { pathToFileURL } from "node:url";
import { parseNpy } from "../src/data/npy.ts";
import type { Explanation } from "../src/select/select.ts";
import { type CliResult, tersor } from "../test/support/cli.ts";
import { modelFolder, smallClassifier } from "../test/support/models.ts";

const folder = modelFolder();
after(() => rmSync(folder, { recursive: true, force: true }));
const run = (...args: string[]): Promise<CliResult> => tersor(args, folder);

/** The one JSON object on stdout. */
async function json(...args: string[]): Promise<Record<string, unknown>> {
  const { code, stdout, stderr } = await run(...args, "--json");
  assert.equal(code, 0, stderr);
  assert.equal(stdout.trimEnd().split("\n").length, 1);
  return JSON.parse(stdout) as Record<string, unknown>;
}

const LIMITS = ["--metric", "agreement", "--max-drop", "50", "--eval-rows", "20"];
const OPTIMIZE = ["optimize", "model.onnx", "--data", "data.npy", ...LIMITS];

suite("commands on a small model", { concurrency: 4 }, () => {
  test("inspect --json has the documented fields", async () => {
    const info = await json("inspect", "model.onnx");
    assert.equal(info["macs"], 8 * 8 * 8 * 9 + 4 * 8);
    assert.equal(info["params"], 8 * 9 + 4 * 8);
    assert.equal(info["weightBytes"], 4 * (8 * 9 + 4 * 8));
    assert.deepEqual(info["unsupported"], []);
    const [input] = info["inputs"] as { name: string; shape: number[] }[];
    assert.deepEqual([input!.name, input!.shape], ["x", [1, 1, 8, 8]]);
    const ops = info["ops"] as Record<string, number>;
    assert.equal(ops["Conv"], 1);
    assert.equal(
      Object.values(ops).reduce((a, b) => a + b, 0),
      info["nodes"],
    );
    assert.ok(Number(info["peakActivationBytes"]) >= 4 * 8 * 64);
  });

  test("inspect prints a table within 80 columns, and each stage", async () => {
    const { code, stdout, stderr } = await run("inspect", "model.onnx");
    assert.equal(code, 0);
    assert.equal(stderr, "");
    assert.match(stdout, /multiply-accumulates +4\.640 k/);
    assert.ok(stdout.split("\n").every((line) => line.length <= 80));
    assert.ok(!stdout.includes("\u001b"));
    for (const [stage, text] of [
      ["source", "graph"],
      ["kernels", "kernel"],
      ["program", "program"],
    ] as const) {
      const shown = await run("inspect", "model.onnx", "--stage", stage);
      assert.ok(shown.stdout.startsWith(text), shown.stdout.slice(0, 80));
    }
  });

  test("run gives the same values by both engines, and writes .npy", async () => {
    const wasm = await json("run", "model.onnx", "--seed", "5");
    const oracle = await json("run", "model.onnx", "--seed", "5", "--engine", "interpreter");
    const values = (o: Record<string, unknown>): number[] =>
      (o["outputs"] as { values: number[] }[])[0]!.values;
    assert.equal(values(wasm).length, 4);
    values(wasm).forEach((x, i) => {
      assert.ok(Math.abs(x - values(oracle)[i]!) < 1e-5);
    });
    const { code } = await run("run", "model.onnx", "--input", "x=zeros", "--out", "ran");
    assert.equal(code, 0);
    const t = parseNpy(readFileSync(join(folder, "ran/y.npy")), "y.npy");
    assert.deepEqual([...t.data], [0, 0, 0, 0]);
  });

  test("compile writes a module that loads, and nothing half-written", async () => {
    const out = await json("compile", "model.onnx", "--out", "built");
    assert.deepEqual(readdirSync(join(folder, "built")).sort(), [
      "model.d.ts",
      "model.js",
      "model.wasm",
    ]);
    assert.deepEqual(Object.keys(out["artefacts"] as object).sort(), ["d.ts", "js", "wasm"]);
    const module = await import(pathToFileURL(join(folder, "built/model.js")).href);
    const model = await module.load();
    assert.equal(model.run({ x: new Float32Array(64) }).y.length, 4);
  });

  test("compile --target c writes source and header", async () => {
    const out = await json("compile", "model.onnx", "--target", "c", "--out", "c", "--name", "net");
    assert.deepEqual(readdirSync(join(folder, "c")).sort(), ["net.c", "net.h"]);
    assert.deepEqual(Object.keys(out["artefacts"] as object).sort(), ["c", "h"]);
    const settings = ["--target", "c", "--cpu", "x86-64-v3", "--threads", "--out", "c3"];
    await json("compile", "model.onnx", ...settings);
    const header = readFileSync(join(folder, "c3/model.h"), "utf8");
    assert.match(header, /ALIGNMENT 32[\s\S]*model_step\(void \*arena, int index, int thread/);
    const single = await run("compile", "model.onnx", "--target", "c", "--single", "--out", "c");
    assert.equal(single.code, 1);
    assert.match(single.stderr, /--single/);
  });

  test("compile --explain gives choice, runner-up and gap of each layer", async () => {
    const out = await json("compile", "model.onnx", "--out", "explained", "--explain");
    const { layers, gapNs } = out["explanation"] as Explanation;
    assert.equal(gapNs, 0);
    const conv = layers.find((l) => l.op === "conv")!;
    assert.ok(!conv.chosen.measured && conv.runnerUp!.gapNs > 0);
    const { stdout } = await run("compile", "model.onnx", "--out", "explained", "--explain");
    assert.match(stdout, /layer +primitive +time +runner-up +gap/);
    assert.match(stdout, /no selection is predicted to be faster/);
    assert.ok(stdout.split("\n").every((line) => line.length <= 120));
  });

  test("profile measures, compile takes the times, --primitive overrules them", async () => {
    const first = await json("profile", "model.onnx", "--out", "times.json", "--seconds", "0.05");
    const again = await json("profile", "model.onnx", "--out", "times.json", "--seconds", "0.05");
    assert.equal(again["entries"], first["entries"]);
    const flags = ["--out", "timed", "--explain", "--profile", "times.json"];
    const timed = await json("compile", "model.onnx", ...flags);
    const layers = (timed["explanation"] as Explanation).layers;
    assert.ok(layers.every((l) => l.chosen.measured));
    const conv = layers.find((l) => l.op === "conv")!;
    const pin = ["--primitive", `${conv.name}=conv_default`];
    const pinned = await json("compile", "model.onnx", ...flags, ...pin);
    const other = (pinned["explanation"] as Explanation).layers.find((l) => l.op === "conv")!;
    assert.equal(other.chosen.name, "conv_default");
  });

  test("flags of the selection are refused with what can be done", async () => {
    const refused = async (code: number, pattern: RegExp, ...flags: string[]): Promise<void> => {
      const { code: got, stderr } = await run("compile", "model.onnx", "--out", "no", ...flags);
      assert.equal(got, code, stderr);
      assert.match(stderr, pattern);
      assert.equal(stderr.trimEnd().split("\n").length, 1);
    };
    await refused(
      1,
      /no layer is named 'nobody'; layers with a choice: /,
      "--primitive",
      "nobody=x",
    );
    await refused(1, /'x' is not layer=name/, "--primitive", "x");
    await refused(1, /no such device profile.*tersor profile/, "--profile", "none.json");
    await refused(1, /not a device profile/, "--profile", "model.onnx");
    await refused(2, /smallest reached: \d+/, "--max-memory", "10");
    await refused(1, /--max-code/, "--max-code", "10", "--target", "c");
  });

  test("compile --dry-run writes nothing", async () => {
    const { code, stdout } = await run("compile", "model.onnx", "--out", "absent", "--dry-run");
    assert.equal(code, 0);
    assert.match(stdout, /would write absent\/model\.wasm/);
    assert.ok(!existsSync(join(folder, "absent")));
  });

  test("compare finds stages equal, and a changed weight", async () => {
    const same = await json("compare", "model.onnx");
    const steps = same["comparisons"] as { compared: number; firstDivergence: object | null }[];
    assert.equal(steps.length, 3);
    for (const step of steps) {
      assert.ok(step.compared > 0);
      assert.equal(step.firstDivergence, null);
    }
    writeFileSync(join(folder, "changed.onnx"), smallClassifier(2));
    const other = await run("compare", "model.onnx", "model.onnx", "--tolerance", "0");
    assert.equal(other.code, 0);
    assert.match(other.stdout, /agree on \d/);
    const changed = await run("compare", "model.onnx", "changed.onnx", "--tolerance", "0.01");
    assert.equal(changed.code, 2);
    assert.match(changed.stdout, /part at y/);
  });

  test("bench --json has the documented fields", async () => {
    const out = await json(
      "bench",
      "model.onnx",
      "--seconds",
      "0.05",
      "--engine",
      "tersor,interpreter",
    );
    const results = out["results"] as Record<string, unknown>[];
    assert.deepEqual(
      results.map((r) => [r["engine"], r["dtype"], r["threads"]]),
      [
        ["tersor", "f32", 1],
        ["interpreter", "f32", 1],
      ],
    );
    assert.ok(Number(results[0]!["p50Ms"]) > 0 && Number(results[0]!["p95Ms"]) > 0);
    assert.ok(Number(results[0]!["peakBytes"]) > 0);
    assert.ok("cpu" in (out["machine"] as object));
  });

  test("optimize writes everything it names", async () => {
    const out = await json(...OPTIMIZE, "--out", "best", "--recipes", "clean,int8-minmax");
    const files = [
      "model.d.ts",
      "model.js",
      "model.onnx",
      "model.wasm",
      "report.html",
      "report.json",
    ];
    assert.deepEqual(readdirSync(join(folder, "best")).sort(), files);
    assert.deepEqual(Object.keys(out["artefacts"] as object).sort(), files);
    const baseline = out["baseline"] as Record<string, unknown>;
    assert.equal(baseline["weightBytes"], 4 * (8 * 9 + 4 * 8));
    const chosen = out["chosen"] as { bytes: { code: number; weights: number; gzip: number } };
    assert.ok(chosen.bytes.code > 0 && chosen.bytes.weights > 0 && chosen.bytes.gzip > 0);
    assert.equal((out["candidates"] as unknown[]).length, 2);
  });

  test("optimize exits with 2 when the limits cannot be met, the report written", async () => {
    const { code, stdout, stderr } = await run(
      ...[...OPTIMIZE, "--out", "unmet", "--recipes", "clean", "--max-bytes", "10", "--json"],
    );
    assert.equal(code, 2, stderr);
    assert.equal(JSON.parse(stdout).chosen, null);
    assert.match(stderr, /no candidate is within the limits/);
    assert.deepEqual(readdirSync(join(folder, "unmet")).sort(), ["report.html", "report.json"]);
  });

  test("optimize --dry-run says what it would do and does nothing", async () => {
    const { code, stdout } = await run(...OPTIMIZE, "--out", "dry", "--dry-run");
    assert.equal(code, 0);
    assert.match(stdout, /int8-minmax/);
    assert.match(stdout, /of 60 in data\.npy/);
    assert.ok(!existsSync(join(folder, "dry")));
  });

  test("one file for both purposes is split, and the user is told", async () => {
    const { code, stderr } = await run(
      ...[...OPTIMIZE, "--eval", "./data.npy", "--out", "same", "--recipes", "clean"],
    );
    assert.equal(code, 0, stderr);
    assert.match(stderr, /are the same/);
  });

  test("a configuration file stands in for flags", async () => {
    writeFileSync(
      join(folder, "my.config.ts"),
      'export default { data: "data.npy", eval: "other.npy", metric: "mse" as const, maxDrop: 0.5, preprocess: { scale: 2 } };\n',
    );
    const plan = await json(
      "optimize",
      "model.onnx",
      "--config",
      "my.config.ts",
      "--out",
      "c",
      "--dry-run",
    );
    assert.equal(plan["metric"], "mse");
    assert.deepEqual(plan["rows"], { data: 60, eval: 40 });
    assert.deepEqual(plan["preprocess"], { scale: 2 });
    writeFileSync(join(folder, "bad.config.json"), '{"maxdrop": 1}');
    const bad = await run("optimize", "model.onnx", "--config", "bad.config.json", "--out", "c");
    assert.equal(bad.code, 1);
    assert.match(bad.stderr, /unknown setting 'maxdrop'/);
  });
});
