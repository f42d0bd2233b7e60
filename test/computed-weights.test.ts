/** @file Weights made of smaller ones (ACDC, Tensor-Train, Tucker): stored small in ONNX, the same when read again. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { collectStats, plainWeights, quantizeGraph } from "../src/compress/quantize/index.ts";
import { parameterCount } from "../src/graph/count.ts";
import type { Graph } from "../src/graph/graph.ts";
import { interpret } from "../src/graph/interpret.ts";
import { compiledExecutor } from "../src/optimize/executor.ts";
import { cleanGraph, compile, loadModel, toOnnx, trainableGraph } from "../src/pipeline.ts";
import { mlp } from "../src/train/models/mlp.ts";
import { wideResnet } from "../src/train/models/wide-resnet.ts";
import { studentFromText } from "../src/train/student/recipe.ts";
import { runOrt, seededFeeds, worstDifference, worstOutput } from "./support/whole-models.ts";

const teacher = wideResnet({ depth: 10, width: 4, side: 8 });
const wide = mlp({ inputs: 512, hidden: [512, 512] });

/** Students, and the share of the dense file that theirs may take. */
const STUDENTS: readonly (readonly [string, Graph, number])[] = [
  ["acdc=4", teacher, 0.3],
  ["tttensor=0.25", teacher, 0.4],
  ["acdc=2", wide, 0.1],
];

for (const [text, original, share] of STUDENTS) {
  test(`${text} of ${original.name}: a small ONNX file, which ONNX Runtime runs and which reads as it was`, async () => {
    const student = studentFromText(original, text).graph;
    const feeds = seededFeeds(student, 1);
    const want = interpret(student, feeds);
    const onnx = toOnnx(student);
    const [ran] = await runOrt(onnx, feeds);
    assert.ok(worstDifference(ran!, [...(want[0]!.data as Float32Array)], "relative") < 1e-4);
    const bound = share * toOnnx(original).length;
    assert.ok(onnx.length < bound, `${onnx.length} bytes, expected ${bound}`);
    const again = trainableGraph(loadModel(onnx).graph);
    assert.ok(worstOutput(interpret(again, feeds), want, "relative") < 1e-5);
    // Small factors may have been multiplied.
    const counts = [again, trainableGraph(student)].map(parameterCount);
    assert.ok(Math.abs(counts[0]! - counts[1]!) < 0.02 * counts[1]!, `${counts}`);
    assert.ok(Math.abs(toOnnx(again).length - onnx.length) < 0.05 * onnx.length, "written again");
    const compiled = await compiledExecutor()(cleanGraph(again), feeds);
    assert.ok(worstOutput(compiled, want, "relative") < 1e-4);
  });
}

test("computed weights in 8 bits: integers as of dense ones", async () => {
  for (const text of ["acdc=4", "tttensor=0.25"]) {
    const read = loadModel(toOnnx(studentFromText(teacher, text).graph)).graph;
    const float = plainWeights(cleanGraph(read));
    const stats = await collectStats(float, compiledExecutor(), [seededFeeds(float, 1)]);
    const graph = quantizeGraph(float, stats, { observer: { kind: "min-max" } });
    const names = compile(graph).nodes.map((n) => n.implementation);
    const floats = names.filter((n) => n.startsWith("f32_linear") || n.startsWith("f32_conv"));
    assert.deepEqual(floats, [], text);
  }
});
