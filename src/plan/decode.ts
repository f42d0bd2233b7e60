/** @file The kernel that turns half-precision stored weights into f32 once, at load. */
import { KernelBuilder } from "../kernel/build.ts";
import type { Kernel } from "../kernel/ir.ts";
import type { DType } from "../tensor/dtype.ts";

/** Buffers: stored weights, f32 weights. */
export function decodeStep(storage: DType, count: number): Kernel {
  const k = new KernelBuilder(`decode_${storage}`);
  const src = k.buffer("src", storage, count, "const");
  const dst = k.buffer("dst", "f32", count, "out");
  k.for("i", 0, count, (i) => k.store(dst, i, k.load(src, i)));
  return k.build();
}
