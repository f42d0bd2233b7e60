/** @file The kernel that turns stored weights into f32 once, at load. */
import { affine, cast, KernelBuilder, mul } from "../kernel/build.ts";
import type { Kernel } from "../kernel/ir.ts";
import type { PackedShort } from "../primitives/storage.ts";

/** Buffers: stored weights, f32 weights; for 8-bit ones then the scales. */
export function decodeStep(storage: PackedShort, count: number): Kernel {
  const k = new KernelBuilder(`decode_${storage.dtype}`);
  const src = k.buffer("src", storage.dtype, count, "const");
  const dst = k.buffer("dst", "f32", count, "out");
  if (storage.dtype !== "i8") {
    k.forParallel("i", 0, count, (i) => k.store(dst, i, k.load(src, i)));
    return k.build();
  }
  const { block, width } = storage;
  const scale = k.buffer("scale", "f32", storage.scale.length, "const");
  k.forParallel("b", 0, count / block, (b) => {
    k.forParallel("r", 0, block / width, (r) => {
      k.for("j", 0, width, (j) => {
        const at = k.let("at", affine([b, block], [r, width], j));
        const real = cast("f32", "convert_s", k.load(src, at));
        k.store(dst, at, mul(real, k.load(scale, affine([b, width], j))));
      });
    });
  });
  return k.build();
}
