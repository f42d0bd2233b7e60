/** @file Whether results of constants are worth storing in their place. */
import { byteSize, type TensorType } from "../tensor/tensor.ts";

/** Results larger than their operands are only stored up to this size. */
const MAX_GROWTH_BYTES = 4096;

/** Whether results take much more bytes than what they are computed from. */
export function growsStorage(ins: readonly TensorType[], outs: readonly TensorType[]): boolean {
  const bytes = (types: readonly TensorType[]): number =>
    types.reduce((sum, t) => sum + byteSize(t), 0);
  return bytes(outs) > Math.max(bytes(ins), MAX_GROWTH_BYTES);
}
