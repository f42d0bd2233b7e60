/** @file Pruned models equal the masked ones, here in small; all in full size: `node bench/pruned-models.ts`. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { tinyModel } from "../../bench/models/files.ts";
import { LIGHT } from "../../bench/models/light.ts";
import { mobilenetV2 } from "../../bench/models/mobilenet-v2.ts";
import { squeezenet } from "../../bench/models/squeezenet.ts";
import type { Graph } from "../../src/graph/graph.ts";
import { lenet5 } from "../../src/train/models/lenet5.ts";
import { resnet8 } from "../../src/train/models/resnet8.ts";
import { wideResnet } from "../../src/train/models/wide-resnet.ts";
import { comparePruned } from "../support/pruned.ts";

async function check(graph: Graph, shares: readonly number[] = [0.6]): Promise<void> {
  for (const share of shares) {
    const got = await comparePruned(graph, share);
    assert.ok(got.share >= share, `${got.share} of channels went`);
    assert.ok(got.macs[1] < got.macs[0] && got.bytes[1] < got.bytes[0]);
    assert.ok(got.compiled <= 1e-5, `compiled differs by ${got.compiled}`);
    assert.ok(got.ort <= 1e-5, `ONNX Runtime differs by ${got.ort}`);
  }
}

for (const [name, build] of Object.entries(LIGHT)) {
  test(name, () => check(build({ width: 0.125, side: 32 })));
}
test("mobilenet-v2", () => check(mobilenetV2(32)));
test("squeezenet", () => check(squeezenet(64)));
for (const [name, build] of Object.entries({ lenet5, resnet8 }))
  test(name, () => check(build(), [0.3, 0.6]));
test("wide-resnet", () => check(wideResnet({ depth: 10, width: 1 })));
for (const file of ["kws_dscnn", "ic_resnet8", "ad_autoencoder", "vww_mobilenetv1"]) {
  test(file, async (t) => {
    const found = tinyModel(`${file}_float.tflite`);
    if ("missing" in found) return t.skip(found.missing);
    await check(found.graph, [0.3, 0.6]);
  });
}
