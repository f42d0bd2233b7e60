/** @file Small models written to files, for tests of the command line. */
import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { formatNpy } from "../../src/data/npy.ts";
import { exportOnnx } from "../../src/formats/onnx/export.ts";
import { GraphBuilder } from "../../src/graph/graph.ts";
import { relu } from "../../src/ops/elementwise/relu.ts";
import { conv } from "../../src/ops/nn/conv.ts";
import { linear } from "../../src/ops/nn/linear.ts";
import { reduceMean } from "../../src/ops/reduce/reduce-mean.ts";
import { type Tensor, tensorOf, tensorType } from "../../src/tensor/tensor.ts";
import { makeRng } from "../../src/util/rng.ts";

export const CLASSES = 4;
const SIDE = 8;

function reals(shape: readonly number[], scale: number, seed: number): Tensor {
  const rng = makeRng(seed);
  const n = shape.reduce((a, b) => a * b, 1);
  return tensorOf(
    "f32",
    shape,
    Float32Array.from({ length: n }, () => scale * rng.normal()),
  );
}

/**
 * An ONNX classifier of 8 x 8 images with one channel: convolution, ReLU, mean, linear. The last layer's
 * weights depend on `seed`.
 */
export function smallClassifier(seed = 1): Uint8Array {
  const g = new GraphBuilder("small");
  const x = g.input("x", tensorType("f32", [1, 1, SIDE, SIDE]));
  const attrs = {
    layout: "nchw",
    stride: [1, 1],
    padBegin: [1, 1],
    padEnd: [1, 1],
    dilation: [1, 1],
    groups: 1,
  } as const;
  const c = g.apply(conv, [x, g.constant(reals([8, 1, 3, 3], 0.4, 3))], attrs, "conv");
  const r = g.apply(relu, [c], {}, "relu");
  const m = g.apply(reduceMean, [r], { axes: [2, 3], keepDims: false }, "mean");
  const y = g.apply(linear, [m, g.constant(reals([CLASSES, 8], 1, seed))], {}, "head");
  g.output(y, "y");
  return exportOnnx(g.build());
}

/** A folder with model.onnx, data.npy (60 rows) and other.npy (40 other rows). */
export function modelFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "tersor-test-"));
  writeFileSync(join(folder, "model.onnx"), smallClassifier());
  writeFileSync(join(folder, "data.npy"), formatNpy(reals([60, 1, SIDE, SIDE], 1, 11)));
  writeFileSync(join(folder, "other.npy"), formatNpy(reals([40, 1, SIDE, SIDE], 1, 12)));
  return folder;
}
