/** @file What models say of pictures, in batches. */
import type { Graph } from "../../src/graph/graph.ts";
import { compile } from "../../src/pipeline.ts";
import { createSession } from "../../src/runtime/session.ts";
import { tensorOf } from "../../src/tensor/tensor.ts";
import type { PictureSet } from "../../src/train/data/sets.ts";
import { evaluationBatches } from "../../src/train/data/source.ts";

export interface Normalisation {
  readonly mean: readonly number[];
  readonly std: readonly number[];
}

/** The class with the largest output for each picture, by the compiled model (WebAssembly). */
export async function predictions(
  model: Graph,
  set: PictureSet,
  normal: Normalisation,
  threads = 1,
): Promise<Uint8Array> {
  const session = await createSession(compile(model).program, { threads });
  const { type } = model.values.get(model.inputs[0]!)!;
  const found = new Uint8Array(set.count);
  let at = 0;
  const source = evaluationBatches(set, { batch: type.shape[0]!, ...normal });
  for (let n = 0; n < source.batchesPerEpoch; n++) {
    const { feeds, labels } = await source.batch(n);
    const image = feeds["image"] as Float32Array;
    const logits = session.run([tensorOf("f32", type.shape, image)])[0]!.data as Float32Array;
    for (let i = 0; i < labels.length; i++) {
      const row = logits.subarray(i * set.classes, (i + 1) * set.classes);
      found[at++] = row.indexOf(Math.max(...row));
    }
  }
  session.close();
  return found;
}

/** Share of positions where both are equal, in per cent with two decimals. */
export function percentEqual(a: ArrayLike<number>, b: ArrayLike<number>): number {
  let equal = 0;
  for (let i = 0; i < a.length; i++) if (a[i] === b[i]) equal++;
  return Math.round((1e4 * equal) / a.length) / 100;
}
