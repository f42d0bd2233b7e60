/**
 * @file The models of the benchmarks, each in f32 and int8. Nets of MLPerf Tiny: both files as given. Others:
 * int8 is our quantisation after training, calibrated on seeded normal inputs. That is realistic for speed, and
 * says nothing about accuracy.
 */
import { collectStats, quantizeGraph } from "../../src/compress/quantize/index.ts";
import { randomFeed } from "../../src/feeds.ts";
import { type Graph, typeOf } from "../../src/graph/graph.ts";
import { compiledExecutor } from "../../src/optimize/executor.ts";
import { cleanGraph } from "../../src/pipeline.ts";
import { type Found, ppOcr, tinyModel } from "./files.ts";
import { mobilenetV2 } from "./mobilenet-v2.ts";
import { resnet18 } from "./resnet-18.ts";
import { squeezenet } from "./squeezenet.ts";
import { transformer } from "./transformer.ts";

export const DTYPES = ["f32", "int8"] as const;
export type ModelDType = (typeof DTYPES)[number];

export interface BenchModel {
  /** Short, for tables and the command line. */
  readonly name: string;
  /** The group that "must show" figures name. */
  readonly group: "tiny" | "ocr" | "random";
  /** The clean graph. */
  readonly load: (dtype: ModelDType) => Promise<Found>;
}

const CALIBRATION_ROWS = 4;
const CALIBRATION_SEED = 100;

/** Quantised on seeded normal inputs. */
export async function quantized(float: Graph): Promise<Graph> {
  const rows = Array.from({ length: CALIBRATION_ROWS }, (_, row) =>
    float.inputs.map((v, i) => randomFeed(typeOf(float, v), CALIBRATION_SEED + 10 * row + i)),
  );
  const stats = await collectStats(float, compiledExecutor(), rows);
  return quantizeGraph(float, stats, { observer: { kind: "min-max" } });
}

const tiny = (name: string, file: string): BenchModel => ({
  name,
  group: "tiny",
  load: async (dtype) => tinyModel(`${file}_${dtype === "f32" ? "float" : "int8"}.tflite`),
});

const other = (name: string, group: "ocr" | "random", load: () => Found): BenchModel => ({
  name,
  group,
  load: async (dtype) => {
    const found = load();
    if ("missing" in found || dtype === "f32") return found;
    return { graph: await quantized(found.graph) };
  },
});

const random = (name: string, build: () => Graph): BenchModel =>
  other(name, "random", () => ({ graph: cleanGraph(build()) }));

const DETECTOR = "ch_PP-OCRv4_det_infer.onnx";
const CLASSIFIER = "ch_ppocr_mobile_v2.0_cls_infer.onnx";

export const MODELS: readonly BenchModel[] = [
  tiny("kws", "kws_dscnn"),
  tiny("ic", "ic_resnet8"),
  tiny("vww", "vww_mobilenetv1"),
  tiny("ad", "ad_autoencoder"),
  other("ocr-cls", "ocr", () => ppOcr(CLASSIFIER, [1, 3, 48, 192])),
  other("ocr-det-320", "ocr", () => ppOcr(DETECTOR, [1, 3, 320, 320])),
  other("ocr-det-640", "ocr", () => ppOcr(DETECTOR, [1, 3, 640, 640])),
  random("mobilenet-v2", mobilenetV2),
  random("resnet-18", resnet18),
  random("squeezenet", squeezenet),
  random("transformer", transformer),
];
