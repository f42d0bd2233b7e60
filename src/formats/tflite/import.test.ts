/** @file The importer on small models of each operator, on options, and on what it must refuse. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { encode } from "flatbuffers/js/flexbuffers.js";
import { tfliteCases } from "../../../test/support/tflite-cases.ts";
import { type WriteModel, writeTflite } from "../../../test/support/tflite-writer.ts";
import { interpret } from "../../graph/interpret.ts";
import { verifyGraph } from "../../graph/verify.ts";
import { scalarOf, tensorOf, toNumbers } from "../../tensor/tensor.ts";
import { UserError } from "../../util/errors.ts";
import { readFlexNumbers } from "./flexbuffer.ts";
import { importTflite, tfliteOperators } from "./index.ts";
import { ADD_OPTIONS, FULLY_CONNECTED_OPTIONS } from "./schema.ts";

const refusal = (bytes: Uint8Array): UserError => {
  try {
    importTflite(bytes);
  } catch (error) {
    assert.ok(error instanceof UserError, String(error));
    return error;
  }
  throw new assert.AssertionError({ message: "the file was taken" });
};

const addModel = (shape: readonly number[], change: Partial<WriteModel> = {}): Uint8Array =>
  writeTflite({
    tensors: [
      { name: "a", shape, shapeSignature: [-1, ...shape.slice(1)] },
      { name: "b", shape, data: Float32Array.from({ length: 6 }, (_, i) => i) },
      { name: "sum", shape },
    ],
    operators: [
      { op: "ADD", inputs: [0, 1], outputs: [2], options: ADD_OPTIONS, values: { activation: 1 } },
    ],
    inputs: [0],
    outputs: [2],
    ...change,
  });

test("every operator case imports to a valid graph with the declared shapes", () => {
  for (const { name, bytes } of tfliteCases) {
    const { graph, diagnostics } = importTflite(bytes);
    assert.doesNotThrow(() => verifyGraph(graph), name);
    const notes = diagnostics.filter((d) => d.where !== "state");
    assert.deepEqual(notes, [], name);
  }
});

test("every built-in operator of the importer has a case", () => {
  const covered = new Set(tfliteCases.map((c) => c.name.split(" ")[0]));
  const missing = tfliteOperators().filter((op) => !covered.has(op));
  assert.deepEqual(missing, ["RIGHT_SHIFT", "TFLite_Detection_PostProcess"]);
});

test("a fused activation becomes a node; constants are views of the file", () => {
  const bytes = addModel([2, 3]);
  const { graph, diagnostics } = importTflite(bytes, { name: "m" });
  assert.deepEqual(
    graph.nodes.map((n) => n.op.name),
    ["add", "relu"],
  );
  assert.equal([...graph.constants.values()][0]!.data.buffer, bytes.buffer);
  assert.match(diagnostics[0]!.message, /\[\?, 3\] is open; \[2, 3\] is taken/);
  const [y] = interpret(graph, [tensorOf("f32", [2, 3], [-9, 0, 1, 2, -9, 1])]);
  assert.deepEqual(toNumbers(y!), [0, 1, 3, 5, 0, 6]);
  assert.deepEqual(graph.outputNames, ["sum"]);
});

test("input shapes can be changed and inputs frozen", () => {
  const model = writeTflite({
    tensors: [
      { name: "x", shape: [1, 4] },
      { name: "w", shape: [2, 4], data: new Float32Array(8).fill(1) },
      { name: "y", shape: [1, 2] },
    ],
    operators: [
      { op: "FULLY_CONNECTED", inputs: [0, 1, -1], outputs: [2], options: FULLY_CONNECTED_OPTIONS },
    ],
    inputs: [0],
    outputs: [2],
  });
  const batch = importTflite(model, { shapes: { x: [5, 4] } }).graph;
  assert.deepEqual(batch.values.get(batch.outputs[0]!)!.type.shape, [5, 2]);
  const fixed = importTflite(model, { fix: { x: tensorOf("f32", [1, 4], [1, 2, 3, 4]) } }).graph;
  assert.equal(fixed.inputs.length, 0);
  assert.deepEqual(toNumbers(interpret(fixed, [])[0]!), [10, 10]);
  assert.throws(() => importTflite(model, { fix: { x: scalarOf("f32", 1) } }), /input 'x' is f32/);
  assert.throws(() => importTflite(model, { shapes: { z: [1] } }), /no input 'z'/);
});

test("all unsupported operators are named at once", () => {
  const model = writeTflite({
    tensors: ["a", "b", "c"].map((name) => ({ name, shape: [2] })),
    operators: [
      { op: "HASHTABLE", inputs: [0], outputs: [1] },
      { op: "MyOp", inputs: [1], outputs: [2] },
    ],
    inputs: [0],
    outputs: [2],
  });
  const error = refusal(model);
  assert.equal(error.code, "E_UNSUPPORTED");
  assert.match(error.message, /HASHTABLE, MyOp/);
});

test("damaged files are refused with a reason", () => {
  const whole = addModel([2, 3]);
  assert.equal(refusal(whole.slice(0, 40)).code, "E_FORMAT");
  assert.match(refusal(Uint8Array.from([8, 0, 0, 0, 65, 66, 67, 68])).message, /identifier/);
  const twice = { op: "ADD", inputs: [0, 1], outputs: [2] };
  assert.match(refusal(addModel([2, 3], { operators: [twice, twice] })).message, /also defined by/);
  const cycle = { op: "ADD", inputs: [2, 1], outputs: [2] };
  assert.match(
    refusal(addModel([2, 3], { operators: [cycle] })).message,
    /before anything computes/,
  );
  assert.match(refusal(addModel([2, 4])).message, /needs 32 bytes, the file has 24/);
  assert.match(refusal(addModel([2, 3], { outputs: [9] })).message, /tensor 9 does not exist/);
});

test("detection options come from a FlexBuffers map", () => {
  const options = { max_detections: 10, num_classes: 90, nms_iou_threshold: 0.5, y_scale: 10.5 };
  assert.deepEqual(
    { ...readFlexNumbers(encode({ ...options, flag: true, text: "x" })) },
    {
      ...options,
      flag: 1,
    },
  );
  assert.throws(() => readFlexNumbers(Uint8Array.of(1, 2, 3)), UserError);
});

test("a detection model imports", () => {
  const custom = encode({
    max_detections: 3,
    max_classes_per_detection: 1,
    num_classes: 2,
    nms_score_threshold: 0.1,
    nms_iou_threshold: 0.5,
    y_scale: 10,
    x_scale: 10,
    h_scale: 5,
    w_scale: 5,
  });
  const model = writeTflite({
    tensors: [
      { name: "boxes", shape: [1, 4, 4] },
      { name: "scores", shape: [1, 4, 3] },
      { name: "anchors", shape: [4, 4], data: new Float32Array(16).fill(0.5) },
      { name: "out_boxes", shape: [1, 3, 4] },
      { name: "out_classes", shape: [1, 3] },
      { name: "out_scores", shape: [1, 3] },
      { name: "out_count", shape: [1] },
    ],
    operators: [
      { op: "TFLite_Detection_PostProcess", inputs: [0, 1, 2], outputs: [3, 4, 5, 6], custom },
    ],
    inputs: [0, 1],
    outputs: [3, 4, 5, 6],
  });
  const { graph, diagnostics } = importTflite(model);
  verifyGraph(graph);
  assert.deepEqual(diagnostics, []);
  assert.equal(graph.outputs.length, 4);
});
