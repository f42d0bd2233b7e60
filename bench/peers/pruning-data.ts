/**
 * @file Writes decoded CIFAR-10 pictures for pruning_torch.py, so that both tools learn from the same pixels:
 *
 *   node bench/peers/pruning-data.ts DATA FOLDER
 *   python bench/peers/pruning_torch.py MODEL.onnx FOLDER --epochs 4 --seeds 1,2,3
 *   tersor prune MODEL.onnx --method l1 --target macs=50% --round-to 4 --config bench/experiments/prune-cifar10.config.ts
 *     --finetune epochs=4,rate=0.05,schedule=cosine --seed 1 --engine native --out FOLDER
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { CIFAR10 } from "../experiments/cifar10.ts";

const [data, folder] = process.argv.slice(2);
if (data === undefined || folder === undefined) {
  console.error("usage: node bench/peers/pruning-data.ts DATA FOLDER");
  process.exit(2);
}
mkdirSync(folder, { recursive: true });
const sets = await CIFAR10.read(data);
for (const [name, set] of Object.entries(sets)) {
  writeFileSync(join(folder, `${name}-pixels.bin`), set.pixels);
  writeFileSync(join(folder, `${name}-labels.bin`), Uint8Array.from(set.labels));
}
