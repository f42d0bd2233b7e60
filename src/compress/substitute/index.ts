/** @file Grouped, depthwise and bottleneck substitutes of trained convolutions. */
export { type BlockType, blockType } from "./block.ts";
export { inputMoments, type Moments } from "./moments.ts";
export {
  type Substituted,
  type SubstitutedLayer,
  type SubstituteOptions,
  substitutable,
  substitute,
  substituteCost,
} from "./substitute.ts";
export { type Form, type SubstituteType, substituteType } from "./type.ts";
export type { Between } from "./write.ts";
