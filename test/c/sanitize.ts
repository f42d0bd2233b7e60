/**
 * @file The MLPerf Tiny and PP-OCR models as C under the address and undefined-behaviour sanitizers, by one thread
 * and by two. `node test/c/sanitize.ts [--cpu name] [--filter text]`.
 */
import type { Graph } from "../../src/graph/graph.ts";
import { interpret } from "../../src/graph/interpret.ts";
import { cleanGraph, compile, loadModel } from "../../src/pipeline.ts";
import { capsOfCpu } from "../../src/primitives/capabilities.ts";
import { type CpuName, cpuOf } from "../../src/targets/c/cpu.ts";
import { toNumbers } from "../../src/tensor/tensor.ts";
import { CC, runC } from "../support/c-run.ts";
import { mlperfTiny, ocrModel, seededFeeds, worstOutput } from "../support/whole-models.ts";

const TINY = ["ad_autoencoder", "ic_resnet8", "kws_dscnn", "vww_mobilenetv1"].flatMap((name) => [
  `${name}_float.tflite`,
  `${name}_int8.tflite`,
]);
const OCR: readonly (readonly [file: string, shape: readonly number[]])[] = [
  ["ch_ppocr_mobile_v2.0_cls_infer.onnx", [1, 3, 48, 192]],
  ["ch_PP-OCRv4_det_infer.onnx", [1, 3, 320, 320]],
];

export const SANITIZERS = [
  "-std=gnu99",
  "-O1",
  "-g1",
  "-Wall",
  "-Wextra",
  "-Werror",
  "-fsanitize=address,undefined,float-cast-overflow",
  "-fno-sanitize-recover=all",
];

interface Model {
  readonly name: string;
  readonly graph: Graph;
}

/** The models that are on this machine. */
function models(filter: string): Model[] {
  const tiny = TINY.map((file) => ({ file, bytes: mlperfTiny(file), options: {} }));
  const ocr = OCR.map(([file, x]) => ({ file, bytes: ocrModel(file), options: { shapes: { x } } }));
  return [...tiny, ...ocr].flatMap(({ file, bytes, options }) => {
    if (bytes === null || !file.includes(filter)) return [];
    return [{ name: file, graph: cleanGraph(loadModel(bytes, options).graph) }];
  });
}

export interface Sanitized {
  readonly name: string;
  /** Of the output, relative to the interpreter's; null: not compared, as the interpreter is slow. */
  readonly difference: number | null;
}

/** Most multiplications that the interpreter is asked for. */
const COMPARED = /ad_autoencoder|ic_|kws_|cls/;

/** Builds and runs all models found. Throws with the sanitizer's report. */
export async function runSanitized(cpu: CpuName, filter = ""): Promise<readonly Sanitized[]> {
  const jobs = models(filter).map(({ name, graph }) => ({
    name,
    graph,
    program: compile(graph, { caps: capsOfCpu(cpuOf(cpu)) }).program,
    feeds: seededFeeds(graph, 1),
  }));
  if (jobs.length === 0) return [];
  const flags = [...SANITIZERS, ...cpuOf(cpu).flags];
  const got = await runC(jobs, flags, { weights: "file", threads: "all", cpu });
  return jobs.map(({ name, graph, feeds }, i) => {
    if (!COMPARED.test(name)) return { name, difference: null };
    const want = interpret(graph, feeds);
    const exact = name.endsWith("int8.tflite");
    const same = exact && String(got[i]!.map(toNumbers)) === String(want.map(toNumbers));
    return { name, difference: same ? 0 : worstOutput(got[i]!, want, "relative") };
  });
}

async function main(args: readonly string[]): Promise<number> {
  const value = (flag: string): string | undefined => {
    const at = args.indexOf(flag);
    return at < 0 ? undefined : args[at + 1];
  };
  if (CC === null) {
    console.error("no C compiler");
    return 66;
  }
  const cpu = (value("--cpu") ?? "portable") as CpuName;
  for (const { name, difference } of await runSanitized(cpu, value("--filter"))) {
    const compared = difference === null ? "not compared" : `differs by ${difference}`;
    console.log(`${name} for ${cpu}: clean, ${compared}`);
  }
  return 0;
}

if (import.meta.main) process.exitCode = await main(process.argv.slice(2));
