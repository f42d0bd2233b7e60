/** @file Structured layers, trained from scratch or by distillation. */
export { type AcdcOptions, acdcStack } from "./acdc.ts";
export { crsDecay } from "./decay.ts";
export { type HashedOptions, hashedConv, hashedLinear } from "./hashed.ts";
export { linearShuffle } from "./shuffle.ts";
export { type Pointwise, type Site, type Substitute, separable, type Window } from "./site.ts";
export {
  lowRank,
  type TensorTrainOptions,
  type TuckerTensorOptions,
  ttLinear,
  ttTensor,
  tuckerTensor,
} from "./tensors.ts";
export { structuredBlock, structuredLinear } from "./types.ts";
