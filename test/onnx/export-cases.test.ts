/** @file Exports a sample of the ONNX node tests' graphs and compares ONNX Runtime with the interpreter. */
import assert from "node:assert/strict";
import { test } from "node:test";
import * as ort from "onnxruntime-node";
import { exportOnnx } from "../../src/formats/onnx/export.ts";
import { importOnnx, readModel } from "../../src/formats/onnx/import.ts";
import { TENSOR } from "../../src/formats/onnx/proto.ts";
import { tensorOfProto } from "../../src/formats/onnx/tensors.ts";
import { decodeMessage } from "../../src/formats/onnx/wire.ts";
import type { Graph } from "../../src/graph/graph.ts";
import { interpret } from "../../src/graph/interpret.ts";
import { DTYPES, type DType } from "../../src/tensor/dtype.ts";
import { bytesOf, type Tensor } from "../../src/tensor/tensor.ts";
import { type Case, readCases } from "./archive.ts";
import { importFreezing } from "./case.ts";
import { difference } from "./compare.ts";
import { skipReason } from "./skip.ts";

const EVERY = 9;
const TYPES: Partial<Record<DType, ort.Tensor.Type>> = {
  f32: "float32",
  f64: "float64",
  i8: "int8",
  u8: "uint8",
  i16: "int16",
  u16: "uint16",
  i32: "int32",
  u32: "uint32",
  i64: "int64",
  u64: "uint64",
  bool: "bool",
};
/** What ONNX Runtime says about models that are valid but beyond it. */
const BEYOND = /Could not find an implementation|Unsupported data type|invalid model/;

function graphOf(c: Case): { graph: Graph; feeds: readonly Tensor[] } {
  const names = readModel(c.model).graph!.input.map((i) => i.name);
  const read = (bytes: Uint8Array): Tensor =>
    tensorOfProto(decodeMessage(TENSOR, bytes, "data"), undefined);
  const data = new Map(c.dataSets[0]!.inputs.map((bytes, i) => [names[i]!, read(bytes)]));
  const { graph } = importFreezing(c.model, data);
  return { graph, feeds: graph.inputs.map((v) => data.get(graph.values.get(v)!.name)!) };
}

/** ONNX Runtime's results, or null when it cannot run the model. */
async function runOrt(graph: Graph, feeds: readonly Tensor[]): Promise<readonly Tensor[] | null> {
  const types = graph.outputs.map((v) => graph.values.get(v)!.type);
  if ([...types, ...feeds.map((f) => f.type)].some((t) => TYPES[t.dtype] === undefined))
    return null;
  try {
    const session = await ort.InferenceSession.create(exportOnnx(graph), { logSeverityLevel: 4 });
    const named = graph.inputs.map((v, i) => {
      const { type } = feeds[i]!;
      const copy = bytesOf(feeds[i]!).slice();
      const data = DTYPES[type.dtype].view(copy.buffer, 0, feeds[i]!.data.length);
      const tensor = new ort.Tensor(TYPES[type.dtype]!, data as Float32Array, [...type.shape]);
      return [graph.values.get(v)!.name, tensor] as const;
    });
    const results = await session.run(Object.fromEntries(named));
    await session.release();
    return graph.outputNames.map((name, i) => {
      const { dims, data } = results[name]!;
      return { type: { dtype: types[i]!.dtype, shape: dims }, data: data as Float32Array };
    });
  } catch (error) {
    if (BEYOND.test((error as Error).message)) return null;
    throw error;
  }
}

test("exported graphs give the same results imported again and in ONNX Runtime", async (t) => {
  const cases = readCases();
  if (cases === null) {
    return t.diagnostic("skipped: no onnx-backend-tests.tar.gz in the shared data");
  }
  let compared = 0;
  for (const [i, c] of cases.entries()) {
    if (i % EVERY !== 0 || skipReason(c.name, "interpreter") !== null) continue;
    if (c.name.startsWith("test_cumprod")) continue;
    const { graph, feeds } = graphOf(c);
    const want = interpret(graph, feeds);
    const again = interpret(importOnnx(exportOnnx(graph)).graph, feeds);
    const got = await runOrt(graph, feeds);
    if (got !== null) compared++;
    want.forEach((w, k) => {
      assert.equal(difference(again[k]!, w, 1e-6), null, `${c.name}, imported again`);
      if (got !== null) assert.equal(difference(got[k]!, w, 1e-5), null, `${c.name}, ONNX Runtime`);
    });
  }
  assert.ok(compared > 100, `${compared} compared`);
});
