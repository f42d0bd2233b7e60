/** @file The MLPerf Tiny reference models through the whole stack: counted, cleaned, compiled, exported. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { exportOnnx } from "../src/formats/onnx/export.ts";
import { importTflite } from "../src/formats/tflite/index.ts";
import type { Graph } from "../src/graph/graph.ts";
import { interpret } from "../src/graph/interpret.ts";
import { verifyGraph } from "../src/graph/verify.ts";
import { verifyProgram } from "../src/kernel/verify-program.ts";
import { cleanGraph, compile, loadModel } from "../src/pipeline.ts";
import { createSession } from "../src/runtime/session.ts";
import { emitModule } from "../src/targets/wasm/module.ts";
import { type Tensor, toNumbers } from "../src/tensor/tensor.ts";
import {
  macsOf,
  mlperfTiny,
  runOrt,
  seededFeeds,
  worstDifference,
  worstOutput,
} from "./support/whole-models.ts";

interface Known {
  readonly file: string;
  readonly macs: number;
  /** After clean-up. */
  readonly cleanMacs: number;
  readonly seeds: readonly number[];
}

const MODELS: readonly Known[] = [
  { file: "ic_resnet8_float", macs: 12_501_632, cleanMacs: 12_501_632, seeds: [1] },
  { file: "ic_resnet8_int8", macs: 12_501_632, cleanMacs: 12_501_632, seeds: [1] },
  { file: "kws_dscnn_float", macs: 2_656_768, cleanMacs: 2_656_768, seeds: [1, 2] },
  { file: "kws_dscnn_int8", macs: 2_656_768, cleanMacs: 2_656_768, seeds: [1, 2] },
  { file: "vww_mobilenetv1_float", macs: 7_489_664, cleanMacs: 3_742_091, seeds: [1] },
  { file: "vww_mobilenetv1_int8", macs: 7_489_664, cleanMacs: 3_733_073, seeds: [1] },
  { file: "ad_autoencoder_float", macs: 264_192, cleanMacs: 264_192, seeds: [1, 2] },
  { file: "ad_autoencoder_int8", macs: 264_192, cleanMacs: 264_192, seeds: [1, 2] },
];

const isInteger = (known: Known): boolean => known.file.endsWith("int8");
/** Relative to the largest output. */
const FLOAT = 1e-5;
const EXPORTED = 1e-4;
/** Of the last layer, between ONNX Runtime and the same integer arithmetic here. */
const STEPS = 1;
/** Null: the one the engine's probe chooses; the dot8 form cannot be forced where it is not exact. */
const VARIANTS = ["base", "fma", null] as const;

/** Every kind of code this engine runs gives the interpreter's results. */
async function checkCompiled(clean: Graph, known: Known, cases: readonly Case[]): Promise<string> {
  const { program } = compile(clean, { verify: true });
  verifyProgram(program);
  const ran: string[] = [];
  for (const variant of VARIANTS) {
    const session = await createSession(program, variant === null ? {} : { variant });
    ran.push(session.variant);
    for (const { feeds, want } of cases) {
      const worst = worstOutput(session.run(feeds), want, "relative");
      assert.ok(worst <= (isInteger(known) ? 0 : FLOAT), `${session.variant}: ${worst}`);
    }
    session.close();
  }
  return ran.join(", ");
}

/**
 * ONNX Runtime computes int8 files in the arithmetic "float" (docs/ir.md), whose single steps away from
 * TensorFlow Lite's add up to some 20 of the result on random inputs: the model is compared in "float".
 */
async function ortDifference(
  known: Known,
  bytes: Uint8Array,
  exported: Uint8Array,
  feeds: readonly Tensor[],
  want: readonly Tensor[],
): Promise<number> {
  const [got] = await runOrt(exported, feeds);
  if (!isInteger(known)) return worstDifference(got!, toNumbers(want[0]!), "relative");
  const same = cleanGraph(importTflite(bytes, { arith: "float" }).graph);
  return worstDifference(got!, toNumbers(interpret(same, feeds)[0]!), "absolute");
}

interface Case {
  readonly feeds: readonly Tensor[];
  readonly want: readonly Tensor[];
}

for (const known of MODELS) {
  test(known.file, async (t) => {
    const bytes = mlperfTiny(`${known.file}.tflite`);
    if (bytes === null) return t.diagnostic("the MLPerf Tiny models are not here: not tested");
    const { graph } = loadModel(bytes);
    verifyGraph(graph);
    const clean = cleanGraph(graph, { verify: true });
    assert.equal(macsOf(graph), known.macs);
    assert.equal(macsOf(clean), known.cleanMacs);
    const tolerance = isInteger(known) ? 0 : FLOAT;
    const cases = known.seeds.map((seed): Case => {
      const feeds = seededFeeds(graph, seed);
      const want = interpret(graph, feeds);
      const worst = worstOutput(interpret(clean, feeds), want, "relative");
      assert.ok(worst <= tolerance, `clean-up changes results by ${worst}`);
      return { feeds, want };
    });
    t.diagnostic(`variants run: ${await checkCompiled(clean, known, cases)}`);
    const exported = exportOnnx(clean);
    for (const { feeds, want } of cases) {
      const worst = await ortDifference(known, bytes, exported, feeds, want);
      t.diagnostic(`ONNX Runtime differs by ${worst}`);
      assert.ok(worst <= (isInteger(known) ? STEPS : EXPORTED), `ONNX Runtime differs by ${worst}`);
    }
  });
}

const CODE_LIMIT = 40 * 1024;

for (const file of MODELS.map((m) => m.file).filter((f) => /^(kws|ic)/.test(f))) {
  test(`the code of ${file} is small`, (t) => {
    const bytes = mlperfTiny(`${file}.tflite`);
    if (bytes === null) return t.diagnostic("the MLPerf Tiny models are not here: not tested");
    const { codeBytes } = emitModule(compile(cleanGraph(loadModel(bytes).graph)).program);
    t.diagnostic(`${codeBytes} bytes of code`);
    assert.ok(codeBytes <= CODE_LIMIT, `${codeBytes} bytes`);
  });
}
