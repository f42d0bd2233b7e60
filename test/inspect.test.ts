import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { test } from "node:test";
import { inspectModel } from "../src/inspect.ts";

const MODELS = resolve(import.meta.dirname, "../../shared/data/mlperf-tiny/models");

/** Multiply-accumulates before and after clean-up; parameters, biases included, as the layers add up to. */
const KNOWN: Readonly<Record<string, readonly [number, number, number]>> = {
  kws_dscnn_int8: [2656768, 2656768, 22604],
  ic_resnet8_int8: [12501632, 12501632, 77706],
  vww_mobilenetv1_int8: [7489664, 3733073, 210850],
  ad_autoencoder_int8: [264192, 264192, 265864],
};

for (const [name, [macs, macsClean, params]] of Object.entries(KNOWN)) {
  test(`costs of ${name}`, (t) => {
    const path = join(MODELS, `${name}.tflite`);
    if (!existsSync(path)) {
      t.diagnostic(`not run: ${name}.tflite is not in ../shared/data`);
      return;
    }
    const info = inspectModel(readFileSync(path));
    assert.deepEqual([info.macs, info.macsClean, info.params], [macs, macsClean, params]);
    assert.equal(info.unsupported.length, 0);
  });
}
