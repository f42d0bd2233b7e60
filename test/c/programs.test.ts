/** @file Programs and the MLPerf Tiny models as C: warnings, sanitizers, results, headers, determinism. */
import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { interpret } from "../../src/graph/interpret.ts";
import { cleanGraph, compile, loadModel } from "../../src/pipeline.ts";
import { emitC } from "../../src/targets/c/emit.ts";
import { toNumbers } from "../../src/tensor/tensor.ts";
import { CC, runC, STRICT } from "../support/c-run.ts";
import { interpretProgram, smallFeeds, smallProgram } from "../support/small-program.ts";
import { mlperfTiny, seededFeeds, worstOutput } from "../support/whole-models.ts";

const SANITIZE = ["-std=gnu99", "-fsanitize=address,undefined"];
const NO_COMPILER = "skipped: no C compiler";

for (const [what, flags, weights] of [
  ["without warnings", STRICT, "inline"],
  ["with the weights in a file", STRICT, "file"],
  ["under sanitizers", [...SANITIZE, "-fno-sanitize-recover=all"], "inline"],
] as const) {
  test(`a small program as C ${what}`, async (t) => {
    if (CC === null) return t.diagnostic(NO_COMPILER);
    const program = smallProgram();
    const jobs = [1, 2, 3].map((seed) => ({ program, feeds: smallFeeds(seed) }));
    const got = await runC(jobs, flags, { weights });
    jobs.forEach(({ feeds }, i) => {
      const want = interpretProgram(program, feeds);
      assert.ok(worstOutput([got[i]![0]!], [want[0]!], "relative") <= 1e-6);
      assert.deepEqual(toNumbers(got[i]![1]!), toNumbers(want[1]!));
    });
  });
}

test("a constant that a kernel writes to lies in the arena", async (t) => {
  if (CC === null) return t.diagnostic(NO_COMPILER);
  const small = smallProgram();
  const [x, q] = smallFeeds();
  // The last step halves y; aimed at the constant b it must not touch the const table.
  const steps = small.steps.map((s) => (s.kernel === 3 ? { ...s, bases: [256] } : s));
  const program = { ...small, steps };
  const want = interpretProgram(program, [x, q]);
  const [got] = await runC([{ program, feeds: [x, q] }], STRICT);
  assert.ok(worstOutput(got!, want, "relative") <= 1e-6);
});

test("the header is C++, and an input's name may be anything", (t) => {
  if (CC === null || spawnSync("g++", ["--version"]).status !== 0) {
    return t.diagnostic("skipped: no C++ compiler");
  }
  const folder = mkdtempSync(join(tmpdir(), "tersor-c-"));
  try {
    const small = smallProgram();
    const inputs = small.inputs.map((p, i) => ({ ...p, name: ["*/ int", "INT"][i]! }));
    const steps = small.steps.map((s) => ({ ...s, label: "i8x3 mem_thing /* f32x5" }));
    const { files } = emitC({ ...small, inputs, steps, name: "class ??/\n */" }, { name: "int" });
    for (const [name, content] of files) writeFileSync(join(folder, name), content);
    const main = `#include "int.h"\nint main() { return int_input_int(0) == 0 && int_input_INT_2(0) == 0; }\n`;
    writeFileSync(join(folder, "main.cc"), main);
    const flags = ["-Wall", "-Wextra", "-Werror", "-pedantic", "-c"];
    execFileSync("g++", ["-std=c++11", ...flags, "main.cc"], { cwd: folder, stdio: "pipe" });
    execFileSync(CC, [...STRICT, "-c", "int.c"], { cwd: folder, stdio: "pipe" });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
});

test("the same program gives the same bytes; weights in a file leave the source", () => {
  const a = emitC(smallProgram());
  assert.deepEqual([...a.files], [...emitC(smallProgram()).files]);
  assert.deepEqual([...a.files.keys()], ["model.c", "model.h"]);
  const beside = emitC(smallProgram(), { weights: "file", name: "net" });
  assert.deepEqual([...beside.files.keys()], ["net.c", "net.h", "net_weights.bin"]);
  assert.equal(beside.files.get("net_weights.bin")!.length, beside.weightsBytes);
  assert.ok(beside.files.get("net.c")!.length < a.files.get("model.c")!.length / 1.5);
});

const MODELS = ["kws_dscnn_float", "kws_dscnn_int8", "ic_resnet8_float", "ic_resnet8_int8"];

for (const [what, flags] of [
  ["without warnings", STRICT],
  ["under sanitizers", [...SANITIZE, "-fno-sanitize-recover=all"]],
] as const) {
  test(`KWS and IC as C ${what}`, async (t) => {
    if (CC === null) return t.diagnostic(NO_COMPILER);
    const found = MODELS.flatMap((name) => {
      const bytes = mlperfTiny(`${name}.tflite`);
      if (bytes === null) return [];
      const graph = cleanGraph(loadModel(bytes).graph);
      return [{ name, graph, program: compile(graph).program, feeds: seededFeeds(graph, 1) }];
    });
    if (found.length === 0) return t.diagnostic("skipped: the shared data is absent");
    const got = await runC(found, flags);
    found.forEach(({ name, graph, feeds }, i) => {
      const want = interpret(graph, feeds);
      if (name.endsWith("int8"))
        assert.deepEqual(got[i]!.map(toNumbers), want.map(toNumbers), name);
      else assert.ok(worstOutput(got[i]!, want, "relative") <= 1e-5, name);
    });
  });
}
