/** @file `tersor train` with every kind of sparsity: the share that was promised, and the same bits after a resumption. */
import assert from "node:assert/strict";
import { copyFileSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, suite, test } from "node:test";
import { type LayerWeights, layerWeights } from "../src/compress/sparsity/index.ts";
import { openModel } from "../src/node.ts";
import { loadModel, toOnnx } from "../src/pipeline.ts";
import { strides } from "../src/tensor/shape.ts";
import type { SparsityConfig, TrainConfig } from "../src/train/config.ts";
import { Net } from "../src/train/net.ts";
import { parametersOf, withOwnParameters } from "../src/train/parameters.ts";
import { rowsOf, withBatch } from "../src/train/with-batch.ts";
import { writeDigits } from "../test/support/digits.ts";
import { runOrt, seededFeeds } from "../test/support/whole-models.ts";
import type { Io } from "./io.ts";
import { trainSettings } from "./train-config.ts";
import { train } from "./train-run.ts";

const folder = mkdtempSync(join(tmpdir(), "tersor-sparse-"));
after(() => rmSync(folder, { recursive: true, force: true }));
const paths = writeDigits(join(folder, "data"), 80, 40);

const io: Io = {
  ...{ json: false, verbose: false, width: 100, print: () => {}, note: () => {} },
  ...{ object: () => {}, progress: () => {} },
};

const BASE: TrainConfig = {
  model: ({ batch, seed }) => {
    const net = new Net("tiny", { seed });
    const x = net.input("image", [batch, 28, 28, 1]);
    const a = net.relu(net.batchNorm(net.conv2d(x, 8, "conv1", { stride: 4 }), "bn1"));
    const b = net.relu(net.batchNorm(net.conv2d(a, 12, "conv2", { stride: 2 }), "bn2"));
    return net.build(net.linear(net.flatten(b), 10, "head"));
  },
  data: { train: paths.train, eval: paths.test, batch: 20, augment: { shift: 1 } },
  schedule: { kind: "cosine", rate: 0.05 },
  epochs: 4,
  checkpoint: { every: 6, keep: 9 },
};
/** Trains into a folder, from a checkpoint of another where one is named; the weights that came out. */
async function trained(out: string, config: Partial<TrainConfig>, from?: string) {
  const at = join(folder, out);
  if (from !== undefined) {
    mkdirSync(join(at, "checkpoints"), { recursive: true });
    const name = "checkpoints/step-000000006.ckpt";
    copyFileSync(join(folder, from, name), join(at, name));
  }
  const got = await train(trainSettings({ ...BASE, ...config }, folder, { out: at }), {}, io);
  const graph = withOwnParameters(got!.model);
  const bytes = readFileSync(join(at, "model.onnx"));
  return { got: got!, weights: layerWeights(graph, parametersOf(graph)), bytes };
}

function share(weights: readonly LayerWeights[]): number {
  const all = weights.flatMap(({ tensor }) => [...(tensor.data as Float32Array)]);
  return all.filter((w) => w === 0).length / all.length;
}

/** Largest number of weights in a group of m neighbours along the inputs. */
function mostOf({ tensor, inAxis }: LayerWeights, m: number): number {
  const w = tensor.data as Float32Array;
  const [step, size] = [strides(tensor.type.shape)[inAxis]!, tensor.type.shape[inAxis]!];
  const counts = new Map<number, number>();
  w.forEach((x, i) => {
    if (x === 0) return;
    const input = Math.floor(i / step) % size;
    const first = i - (input % m) * step;
    counts.set(first, (counts.get(first) ?? 0) + 1);
  });
  return Math.max(...counts.values());
}

const RATIO = 0.7;
const CASES: Readonly<Record<string, SparsityConfig>> = {
  nm: { method: "nm=1:4", srste: 2e-4 },
  movement: { method: "movement", ratio: RATIO, gradual: { end: 3, every: 2 } },
  snip: { method: "snip", ratio: RATIO, regrow: { every: 5, share: 0.4 } },
  grown: { method: "magnitude", ratio: RATIO, gradual: { end: 2.5 }, regrow: { every: 3 } },
};

suite("tersor train with sparsity", { concurrency: 1 }, () => {
  for (const [name, sparsity] of Object.entries(CASES)) {
    test(`${name}: the share, and the same bits from a checkpoint`, async () => {
      const { weights, bytes, got } = await trained(name, { sparsity });
      assert.ok(got.value! > 20, `${got.value} % of ten classes`);
      if (name === "nm") {
        // The first convolution has one input, which stays whole.
        const [first, ...others] = weights;
        assert.equal(share([first!]), 0);
        for (const w of others) assert.equal(mostOf(w, 4), 1, w.name);
        assert.equal(share(others), 0.75);
      } else {
        const count = weights.reduce((n, w) => n + w.tensor.data.length, 0);
        assert.equal(share(weights), Math.round(RATIO * count) / count);
      }
      const again = await trained(`${name}-again`, { sparsity }, name);
      assert.deepEqual(again.bytes, bytes);
    });
  }

  test("the best model is one that is as sparse as it is to be", async () => {
    const sparsity = { method: "magnitude", ratio: 0.98, gradual: { begin: 3, end: 4, every: 4 } };
    const { got, weights } = await trained("best", { sparsity, evaluate: { keep: "best" } });
    assert.ok(share(weights) > 0.979, `${share(weights)} zeros, ${got.value} %`);
  });

  test("a model that is built is written for one row, one of a file for the file's rows", async () => {
    const rows = (bytes: Uint8Array) => rowsOf(loadModel(bytes).graph);
    const build = { build: "mlp", inputs: 784, hidden: [4] };
    const { bytes } = await trained("one-row", { model: build, epochs: 0.5 });
    assert.equal(rows(bytes), 1);
    const file = join(folder, "three.onnx");
    writeFileSync(file, toOnnx(withBatch(loadModel(bytes).graph, 3)));
    const again = await trained("three-rows", { model: { file }, epochs: 0.5 });
    assert.equal(rows(again.bytes), 3);
    const feeds = seededFeeds(loadModel(again.bytes).graph, 1);
    assert.equal((await runOrt(again.bytes, feeds))[0]!.length, 30);
  });

  test("zeros of a file stay, and nothing else is 0", async () => {
    const file = join(folder, "snip/model.onnx");
    const sparsity = { method: "zeros" };
    const before = openModel(file).graph;
    const { weights } = await trained("zeros", { model: { file }, sparsity, epochs: 1 });
    const own = withOwnParameters(before);
    const were = layerWeights(own, parametersOf(own));
    assert.equal(share(weights), share(were));
    assert.notDeepEqual(weights[0]!.tensor.data, were[0]!.tensor.data);
  });
});
