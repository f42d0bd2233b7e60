/** @file `tersor exits`: what it writes and measures, going on, the trunk left alone, integers, refusals. */
import assert from "node:assert/strict";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, suite, test } from "node:test";
import { pathToFileURL } from "node:url";
import { interpret } from "../src/graph/interpret.ts";
import { openModel } from "../src/node.ts";
import { toOnnx } from "../src/pipeline.ts";
import { type ExitsReport, exitFindings } from "../src/report/exits.ts";
import { exitsOf } from "../src/train/exits/index.ts";
import { parametersOf } from "../src/train/parameters.ts";
import { tersor } from "../test/support/cli.ts";
import { writeDigits } from "../test/support/digits.ts";
import { type Recorder, recorder } from "../test/support/recorder.ts";
import { smallResidual } from "../test/support/small-residual.ts";
import { seededFeeds, worstOutput } from "../test/support/whole-models.ts";
import { exits } from "./exits-run.ts";
import { type ExitsFlags, ruleOf } from "./exits-settings.ts";

const folder = mkdtempSync(join(tmpdir(), "tersor-exits-"));
after(() => rmSync(folder, { recursive: true, force: true }));
const paths = writeDigits(join(folder, "data"), 200, 60);
const model = join(folder, "model.onnx");
writeFileSync(model, toOnnx(smallResidual({ seed: 5, width: 4 })));
const config = join(folder, "exits.json");
writeFileSync(
  config,
  JSON.stringify({
    data: { train: paths.train, eval: paths.test, batch: 20, workers: 0 },
    optimizer: { kind: "adam" },
    schedule: { kind: "constant", rate: 0.01 },
    epochs: 8,
    evaluate: { every: 8 },
  }),
);

type Asked = Omit<Partial<ExitsFlags>, "out">;

async function run(out: string, flags: Asked, path = model): Promise<Recorder> {
  const said = recorder();
  await exits(path, { config, ...flags, out: join(folder, out) }, said.io);
  return said;
}

const reportIn = (out: string): ExitsReport =>
  JSON.parse(readFileSync(join(folder, out, "report.json"), "utf8")) as ExitsReport;

/** Constants of a model by name. */
function weightsIn(path: string): ReadonlyMap<string, readonly number[]> {
  const { graph } = openModel(path);
  return new Map(
    [...parametersOf(graph)].map(([v, name]) => [
      name,
      [...(graph.constants.get(v)!.data as Float32Array)],
    ]),
  );
}

test("one way to ask for the threshold", () => {
  assert.deepEqual(ruleOf({ out: "" }), { maxDrop: 0.5 });
  assert.deepEqual(ruleOf({ out: "", meanMacs: 0.5 }), { meanCost: 0.5 });
  assert.deepEqual(ruleOf({ out: "", threshold: 0 }), { threshold: 0 });
  assert.throws(() => ruleOf({ out: "", threshold: 0.9, maxDrop: 1 }), /two ways/);
});

suite("tersor exits", { concurrency: 1 }, () => {
  let first: ExitsReport;

  test("the artefact does what the report says; again, the run goes on from what is finished", async () => {
    const flags = { mode: "self", hold: 0.3, int8: true, maxDrop: 5 } as const;
    const said = await run("a", flags);
    assert.match(said.notes(), /chosen by 60 rows only/);
    assert.match(said.printed(), /exit1 +behind/);
    first = reportIn("a");
    const report = first;
    assert.deepEqual(
      report.models.map((m) => m.kind),
      ["given", "whole", "one exit", "chosen", "int8"],
    );
    const [given, whole, , chosen, int8] = report.models;
    assert.ok(whole!.accuracy.value > given!.accuracy.value + 20, "it learned");
    assert.ok(whole!.meanMacs > given!.meanMacs && chosen!.meanMacs <= whole!.meanMacs);
    assert.ok(int8!.bytes!.total < chosen!.bytes!.total);
    for (const m of [given, whole, chosen, int8]) assert.ok(m!.latency!.meanMs > 0, m!.name);
    const shares = report.exits.map((e) => e.share);
    assert.ok(Math.abs(shares.reduce((a, b) => a + b) - 1) < 1e-9);
    const mean = report.exits.reduce((sum, e) => sum + e.share * e.macs, 0);
    assert.ok(Math.abs(mean - chosen!.meanMacs) < 1e-6 * mean);
    const { held } = report.threshold;
    assert.equal(held.rows, 60);
    assert.ok(held.whole - held.accuracy <= 5);
    const page = readFileSync(join(folder, "a/report.html"), "utf8");
    for (const text of ["Exits at the threshold", "with exits, int8", "mean of"]) {
      assert.ok(page.includes(text), text);
    }
    const alone = (value: number): string[] => {
      const models = report.models.map((m) =>
        m.kind === "one exit" ? { ...m, accuracy: { ...m.accuracy, value } } : m,
      );
      return exitFindings({ ...report, models }).filter((f) => /hardly learned/.test(f));
    };
    assert.match(alone(10)[0]!, /^Exit1 alone is right for 10.0 % of the rows, the end for/);
    assert.deepEqual(alone(99), []);
    const second = await run("a", { ...flags, int8: false });
    assert.match(second.printed(), /this run is finished/);
    const plain = (r: ExitsReport) => ({
      ...{ exits: r.exits, threshold: r.threshold, curve: r.curve },
      models: r.models.slice(0, 4).map(({ latency: _, ...m }) => m),
    });
    assert.deepEqual(plain(reportIn("a")), plain(report));
  });

  test("written artefacts give the report's accuracy and shares, row by row", async () => {
    const images = readFileSync(paths.test).subarray(16);
    const labels = readFileSync(join(folder, "data/t10k-labels-idx1-ubyte")).subarray(8);
    const report = first;
    for (const [own, kind] of [
      ["a", "chosen"],
      ["a/int8", "int8"],
    ] as const) {
      writeFileSync(join(folder, own, "package.json"), '{ "type": "module" }');
      const library = await import(pathToFileURL(join(folder, own, "model.js")).href);
      const loaded = await library.load();
      let right = 0;
      const counts = report.exits.map(() => 0);
      labels.forEach((label, i) => {
        const image = Float32Array.from(images.subarray(784 * i, 784 * (i + 1)), (x) => x / 255);
        const { outputs, exit } = loaded.run({ [loaded.inputs[0].name]: image });
        const [scores] = Object.values(outputs) as Float32Array[];
        if (scores!.indexOf(Math.max(...scores!)) === label) right++;
        counts[exit]!++;
      });
      const told = report.models.find((m) => m.kind === kind)!;
      assert.ok(Math.abs((100 * right) / labels.length - told.accuracy.value) < 1e-9, kind);
      if (kind !== "chosen") continue;
      assert.equal(library.threshold, report.threshold.value);
      assert.deepEqual(
        counts.map((n) => n / labels.length),
        report.exits.map((e) => e.share),
      );
    }
    // Integers go from stage to stage.
    assert.match(
      readFileSync(join(folder, "a/int8/stage2.d.ts"), "utf8"),
      /feature0": U?[Ii]nt8Array/,
    );
    const { graph } = openModel(join(folder, "a/model.onnx"));
    assert.equal(exitsOf(graph).length, 1);
  });

  test("--freeze: only branches change, and all layers predict what the model did", async () => {
    const flags = { freeze: true, epochs: 2, threshold: 0.4, at: ["block1.out", "stem.norm"] };
    const { objects } = await run("b", flags);
    const [report] = objects as ExitsReport[];
    assert.deepEqual(report!.exits.map((e) => e.point).slice(0, 2), ["stem.norm", "block1.out"]);
    assert.equal(report!.models[1]!.accuracy.value, report!.models[0]!.accuracy.value);
    assert.equal(report!.threshold.value, 0.4);
    assert.ok(existsSync(join(folder, "b/training/plot.html")));
    const [before, now] = [model, join(folder, "b/model.onnx")].map(weightsIn);
    for (const [name, values] of before!) assert.deepEqual(now!.get(name), values, name);
    assert.ok([...now!.keys()].some((name) => name.startsWith("exit2.")));
    const [was, is] = [model, join(folder, "b/model.onnx")].map((path) => openModel(path).graph);
    const feeds = seededFeeds(was!, 4);
    const [want, got] = [was!, is!].map((graph) => interpret(graph, feeds)[0]!);
    assert.ok(worstOutput([got!], [want!], "relative") < 1e-5, "running averages stay too");
    const averages = [...is!.constants].filter(([v]) =>
      is!.values.get(v)!.name.startsWith("exit1.norm.mean"),
    );
    assert.equal(averages.length, 1);
    assert.ok(
      (averages[0]![1].data as Float32Array).some((x) => x !== 0),
      "the branch's move",
    );
    await assert.rejects(run("b", { ...flags, freeze: false }), /is of another run: .*stays/);
  });

  test("refusals say what to do", async () => {
    const cases: readonly (readonly [Asked, RegExp])[] = [
      [{ at: ["nowhere"] }, /named 'nowhere'/],
      [{ hold: 0.95 }, /do not fill a batch of 20/],
      [{ threshold: 0.5, meanMacs: 0.5 }, /two ways/],
    ];
    for (const [flags, message] of cases) await assert.rejects(run("c", flags), message);
    await assert.rejects(run("c", {}, join(folder, "a/model.onnx")), /has early exits already/);
    const bare = await tersor(["exits", model, "--data", paths.train, "--out", "c"], folder);
    assert.equal(bare.code, 1);
    assert.match(bare.stderr, /--eval-data: data to evaluate on is missing; for example/);
  });
});
