/** @file The weights of a training step that have masks. */
import { type LayerWeights, layerWeights } from "../../compress/sparsity/index.ts";
import type { TypedArray } from "../../tensor/dtype.ts";
import type { Tensor } from "../../tensor/tensor.ts";
import { UserError } from "../../util/errors.ts";
import { maskName } from "../masks.ts";
import { parametersOf } from "../parameters.ts";
import type { TrainingStep } from "../step.ts";
import type { MaskUpdate } from "./update.ts";

/** The masked weights as they are in a state. Throws UserError when the step was made without masks. */
export function maskedWeights(
  { model }: Pick<TrainingStep, "model">,
  state: ReadonlyMap<string, TypedArray>,
): readonly LayerWeights[] {
  const found = layerWeights(model, parametersOf(model)).filter((w) => state.has(maskName(w.name)));
  if (found.length === 0) {
    throw new UserError("E_ARGUMENT", `no weights of ${model.name} have masks`, {
      hint: "give the training step masks of the weights that are to be pruned, of ones at first",
    });
  }
  return found.map((w): LayerWeights => {
    const tensor = { type: w.tensor.type, data: state.get(w.name)! } as Tensor;
    return { ...w, tensor };
  });
}

/** State that a `maskUpdate` keeps. Throws UserError when the step was made without it. */
export function stateOf(
  state: ReadonlyMap<string, TypedArray>,
  name: string,
  kind: MaskUpdate["kind"],
): TypedArray {
  const found = state.get(name);
  if (found !== undefined) return found;
  throw new UserError("E_ARGUMENT", `the training step keeps no '${name}'`, {
    hint: `make it with maskUpdate: { kind: "${kind}" }`,
  });
}
