/** @file `tersor distill`: students of an imported teacher, going on, the control, integers, the report, refusals. */
import assert from "node:assert/strict";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, suite, test } from "node:test";
import { isOp } from "../src/graph/graph.ts";
import { openModel } from "../src/node.ts";
import { conv } from "../src/ops/nn/conv.ts";
import { loadModel, toOnnx } from "../src/pipeline.ts";
import { type DistilReport, distilFindings } from "../src/report/distil.ts";
import { loadCheckpoint } from "../src/train/node/checkpoints.ts";
import { studentFromText } from "../src/train/student/recipe.ts";
import type { UserError } from "../src/util/errors.ts";
import { tersor } from "../test/support/cli.ts";
import { writeDigits } from "../test/support/digits.ts";
import { type Recorder, recorder } from "../test/support/recorder.ts";
import { smallResidual } from "../test/support/small-residual.ts";
import { distill } from "./distill-run.ts";
import { type DistillFlags, lossOf, softened } from "./distill-settings.ts";

const folder = mkdtempSync(join(tmpdir(), "tersor-distill-"));
after(() => rmSync(folder, { recursive: true, force: true }));
const paths = writeDigits(join(folder, "data"), 120, 40);
const teacher = join(folder, "teacher.onnx");
writeFileSync(teacher, toOnnx(smallResidual({ seed: 5 })));
const config = join(folder, "distill.json");
writeFileSync(
  config,
  JSON.stringify({
    data: { train: paths.train, eval: paths.test, batch: 20, augment: { shift: 1 } },
    optimizer: { kind: "adam", decay: 1e-4 },
    schedule: { kind: "constant", rate: 0.01 },
    epochs: 3,
  }),
);

type Asked = Omit<Partial<DistillFlags>, "out">;

async function run(out: string, flags: Asked): Promise<Recorder> {
  const said = recorder();
  await distill(teacher, { student: "", config, ...flags, out: join(folder, out) }, said.io);
  return said;
}

const reportIn = (out: string): DistilReport =>
  JSON.parse(readFileSync(join(folder, out, "report.json"), "utf8")) as DistilReport;

test("losses as the flags say them", () => {
  const flags = (more: Partial<DistillFlags>): DistillFlags => ({ student: "", out: "", ...more });
  const { teacher: _, ...usual } = lossOf("t.onnx", flags({}));
  assert.deepEqual(usual, { kind: "distillation", temperature: 4, alpha: 0.9 });
  const { beta, alpha, points } = lossOf("t.onnx", flags({ at: true, points: ["a", "b=c"] }));
  assert.deepEqual([beta, alpha], [1000, undefined]);
  assert.deepEqual(points, ["a", { student: "b", teacher: "c" }]);
  assert.deepEqual(softened("alpha=0.5"), { temperature: 4, alpha: 0.5 });
  assert.deepEqual(softened("T=2,alpha=1"), { temperature: 2, alpha: 1 });
  for (const text of ["T=0", "alpha=2", "beta=1", "4"]) {
    assert.throws(
      () => softened(text),
      (e: UserError) => e.where?.startsWith("--kd") === true,
      text,
    );
  }
  assert.throws(() => lossOf("t.onnx", flags({ points: ["a"] })), /attention or hints only/);
});

test("students as written, from an imported teacher", () => {
  const graph = loadModel(readFileSync(teacher)).graph;
  const made = (text: string) => studentFromText(graph, text);
  const names = graph.nodes.filter((n) => isOp(n, conv)).map((n) => n.name);
  assert.equal(names.length, 6);
  assert.deepEqual(
    [made("blocks=B(2)"), made("blocks=G(N)")].map((s) => s.replaced.map((r) => r.layers.length)),
    [
      [2, 2],
      [1, 1, 1, 1],
    ],
  );
  for (const [text, start, crs] of [
    ["tucker=0.5", "factors", false],
    ["svd=params=50%", "factors", false],
    ["acdc=2", "fresh", true],
    ["hashed=1/8", "fresh", false],
    ["lowrank=0.25", "fresh", true],
    ["shuffle=2", "fresh", true],
  ] as const) {
    const student = made(text);
    assert.deepEqual([student.start, student.crs], [start, crs], text);
    assert.ok(student.replaced.length >= 4, text);
  }
  for (const [text, message] of [
    ["magic=3", /'magic=3' names no student/],
    ["blockswap=params=20%", /blockswap chooses by data/],
    ["tucker=", /names no student/],
    ["acdc=1.5", /acdc takes a whole number, got '1.5'/],
    ["hashed=2", /hashed takes a share/],
    ["tucker=many", /'many' says no ranks/],
    ["tucker=0.99", /replaces no layer/],
  ] as const) {
    assert.throws(() => made(text), message, text);
  }
});

suite("tersor distill", { concurrency: 1 }, () => {
  test("student, control and integers; again, it goes on from what is finished", async () => {
    const flags = {
      student: "blocks=BG(2,2)",
      at: "100",
      kd: true,
      control: true,
      int8: true,
    } as const;
    const first = await run("a", flags);
    assert.match(first.notes(), /note: the teacher itself scores [\d.]+ % on the first 40 rows/);
    assert.match(first.printed(), /learns from +softened .*attention transfer \(100\), labels/);
    const report = reportIn("a");
    assert.deepEqual(
      report.models.map((m) => m.name),
      ["teacher", "student", "control", "student int8"],
    );
    const [t, s, c, q] = report.models;
    assert.ok(s!.parameters < t!.parameters && s!.macs < t!.macs);
    assert.equal(c!.parameters, s!.parameters);
    assert.ok(q!.bytes.weights < s!.bytes.weights);
    for (const m of report.models) assert.ok(m.latency.p50Ms > 0 && m.accuracy !== null, m.name);
    assert.equal(report.points.length, 2);
    const page = readFileSync(join(folder, "a/report.html"), "utf8");
    for (const text of ["Accuracy against size", "BG(2,2)", "student int8", "Agresti"]) {
      assert.ok(page.includes(text), text);
    }
    for (const name of ["student", "control", "int8"]) {
      const { graph } = openModel(join(folder, "a", name, "model.onnx"));
      assert.equal(graph.values.get(graph.inputs[0]!)!.type.shape[0], 1);
      assert.ok(existsSync(join(folder, "a", name, "model.wasm")));
    }
    rmSync(join(folder, "a/control"), { recursive: true });
    const second = await run("a", flags);
    assert.match(second.printed(), /this run is finished: step 18/);
    const without = (r: DistilReport) => r.models.map(({ latency: _, ...m }) => m);
    assert.deepEqual(without(reportIn("a")), without(report));
  });

  test("control and student see the same initial weights and batches", () => {
    const identity = (name: string) =>
      loadCheckpoint(join(folder, "a", name, "checkpoints"))!.checkpoint.identity;
    const [student, control] = [identity("student"), identity("control")];
    assert.equal(student.weights, control.weights);
    assert.equal(student.layers, control.layers);
    const plain = (x: typeof student) => ({ ...(x.settings as object), loss: null });
    assert.deepEqual(plain(student), plain(control));
  });

  test("a file is the student, factors start from the teacher's weights; one object for --json", async () => {
    const small = join(folder, "small.onnx");
    writeFileSync(small, toOnnx(smallResidual({ seed: 7, width: 4 })));
    const { objects } = await run("b", { student: small, hint: 1, epochs: 1 });
    assert.equal(objects.length, 1);
    const [said] = objects as DistilReport[];
    assert.match(said!.models[1]!.description, /from given weights/);
    assert.equal(said!.points.length, 2);
    const factors = await run("c", { student: "tucker=params=60%", epochs: 1 });
    assert.match(factors.printed(), /5 parts replaced/);
  });

  test("integers that are larger than the float student are named", () => {
    const { models } = reportIn("a");
    const said = (total: number): string[] => {
      const of = models.map((m) =>
        m.name === "student int8" ? { ...m, bytes: { ...m.bytes, total } } : m,
      );
      return distilFindings({ models: of, drop: () => null });
    };
    assert.match(said(1e6).at(-1)!, /^Student int8 takes 1.00 MB, .* are written out for integers/);
    assert.equal(said(10).length, said(1e6).length - 1);
  });

  test("blocks chosen within a budget by the data, the same again", async () => {
    const flags = { student: "blockswap=params=50%", at: true, epochs: 1 } as const;
    const first = await run("swap", flags);
    assert.match(
      first.printed(),
      /\d+ mixtures of blocks near [\d.]+ k? ?parameters, by Fisher potential/,
    );
    const { models, replaced } = reportIn("swap");
    const [given, chosen] = models.map((m) => m.parameters);
    assert.ok(Math.abs(chosen! - 0.5 * given!) <= 0.05 * given!, `${chosen} of ${given}`);
    assert.ok(replaced.length > 0);
    rmSync(join(folder, "swap"), { recursive: true });
    await run("swap", flags);
    assert.deepEqual(reportIn("swap").replaced, replaced);
  });

  test("refusals say what to do", async () => {
    const cases: readonly (readonly [Asked, RegExp])[] = [
      [{ student: "blocks=G(3)" }, /8 channels do not split evenly/],
      [{ student: "none.onnx" }, /no such file/],
      [{ student: "blockswap=params=many" }, /'params=many' says no budget/],
      [{ student: "blockswap=params=50%", init: "teacher" }, /networks of fresh weights/],
      [{ student: "blockswap=0.2" }, /'0.2' says no budget/],
      [{ student: "blockswap=params=1%" }, /no mixture of blocks has params near/],
      [{ student: "blocks=G(2)", at: true, points: ["stem=nowhere"] }, /named 'nowhere'/],
    ];
    for (const [flags, message] of cases) await assert.rejects(run("d", flags), message);
    const args = ["distill", teacher, "--student", "svd=0.5", "--kd", "T=3", "--out", "d"];
    const bare = await tersor(args, folder);
    assert.equal(bare.code, 1);
    assert.match(bare.stderr, /--data: training data is missing; for example/);
  });
});
