/** @file The kernel that writes hashed weights where they are read, once, when a model is loaded. */
import { add, cast, div, type ExprLike, KernelBuilder, mul } from "../../kernel/build.ts";
import type { Expr, Kernel } from "../../kernel/ir.ts";
import { emitVirtual, mixedSeeds } from "../../ops/nn/hash.ts";
import type { PackedHashed } from "../storage.ts";
import { MOST_LOOPS, type PieceLoop } from "./pieces.ts";

const NAMES = ["a", "b", "c", "d"].slice(0, MOST_LOOPS);

/**
 * Buffers: the vector of weights, the packed tensor, then the factors of rows if there are any. Args: those of
 * expandCalls. One code for all layers; sizes differ.
 */
export function expandKernel({ weights, factors }: PackedHashed, size: number): Kernel {
  const k = new KernelBuilder(factors === undefined ? "expand_hashed" : "expand_hashed_scaled");
  const source = k.buffer("weights", "f32", weights.data.length, "const");
  const target = k.buffer("packed", "f32", size, "out");
  const scale = factors && k.buffer("factors", "f32", factors.data.length, "const");
  const hash = {
    place: k.arg("place", "i32"),
    sign: k.arg("sign", "i32"),
    count: k.let("count", cast("i64", "extend_u", k.arg("weights_count", "i32"))),
  };
  const row = k.arg("row", "i32");
  k.fill(target, 0, 0, k.arg("zeros", "i32"));
  const first = { to: k.arg("to", "i32"), from: k.arg("from", "i32") };
  const loops = NAMES.map((name) => ({
    name,
    count: k.arg(`${name}_count`, "i32"),
    to: k.arg(`${name}_to`, "i32"),
    from: k.arg(`${name}_from`, "i32"),
  }));
  const nest = (depth: number, to: ExprLike, from: Expr): void => {
    const loop = loops[depth];
    if (loop === undefined) {
      const value = emitVirtual(k, source, from, hash);
      k.store(target, to, scale ? mul(value, k.load(scale, div(from, row))) : value);
      return;
    }
    k.for(loop.name, 0, loop.count, (i) => {
      const next = (start: ExprLike, step: Expr): Expr => k.let("i", add(start, mul(i, step)));
      nest(depth - 1, next(to, loop.to), next(from, loop.from));
    });
  };
  nest(loops.length - 1, first.to, first.from);
  return k.build();
}

const ONCE: PieceLoop = { count: 1, to: 0, from: 0 };

/** The arguments of each call of expandKernel for a packed tensor of `size` elements; the first call fills with zeros. */
export function expandCalls(
  { weights, seed, row, pieces }: PackedHashed,
  size: number,
): readonly (readonly number[])[] {
  const { place, sign } = mixedSeeds(seed);
  return pieces.map(({ to, from, loops }, i) => {
    const nest = NAMES.flatMap((_, d) => {
      const { count, to, from } = loops[d] ?? ONCE;
      return [count, to, from];
    });
    const written = pieces.reduce((n, p) => n + p.loops.reduce((m, l) => m * l.count, 1), 0);
    const zeros = i === 0 && written < size ? size : 0;
    return [place, sign, weights.data.length, row, zeros, to, from, ...nest];
  });
}
