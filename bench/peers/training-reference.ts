/**
 * @file Writes the weights and batches of the short trainings, for training_reference.py:
 *
 *   node bench/peers/training-reference.ts FOLDER
 *   python bench/peers/training_reference.py FOLDER test/train/pytorch-losses.json
 */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parametersOf } from "../../src/train/step.ts";
import * as cases from "../../test/support/training-cases.ts";

const [folder] = process.argv.slice(2);
if (folder === undefined) {
  console.error("usage: node bench/peers/training-reference.ts FOLDER");
  process.exit(2);
}
mkdirSync(folder, { recursive: true });
const about = cases.trainingCases().map((c) => {
  const parameters = [...parametersOf(c.model)].map(([v, name]) => {
    const { type, data } = c.model.constants.get(v)!;
    return { name, shape: type.shape, values: [...(data as Float32Array)] };
  });
  const batches = cases.batchesOf(c).map((b) => ({ image: [...b.image], labels: b.labels }));
  return { name: c.name, shape: c.shape, parameters, batches };
});
const { STEPS, RATE, MOMENTUM, DECAY } = cases;
const settings = { steps: STEPS, rate: RATE, momentum: MOMENTUM, decay: DECAY };
writeFileSync(join(folder, "cases.json"), JSON.stringify({ ...settings, cases: about }));
