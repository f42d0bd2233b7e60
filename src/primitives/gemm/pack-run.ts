/**
 * @file Packs weights that are not known at compile time (training): the same panels as those packed beforehand,
 * made by a kernel before each product.
 */
import { add, affine, constant, KernelBuilder, mul } from "../../kernel/build.ts";
import type { Kernel } from "../../kernel/ir.ts";
import type { Step } from "../primitive.ts";
import { transpose4 } from "../vector/lanes.ts";
import { type ConvGeometry, type Loops, panelWidth } from "./geometry.ts";

/** Elements of the packed weights and of the packed bias. */
export interface PackedSizes {
  readonly weights: number;
  readonly bias: number;
}

export function packedSizes(g: ConvGeometry, loops: Loops): PackedSizes {
  const bias = g.groups * loops.panels * panelWidth(loops.tile);
  return { weights: bias * loops.runs * loops.runLength, bias };
}

/** The call that packs inputs 1 (weights [O, K]) and, when there is one, 2 (bias) into the work areas. */
export function packStep(g: ConvGeometry, loops: Loops, hasBias: boolean): Step {
  const sizes = packedSizes(g, loops);
  const work = (id: string, count: number) => ({ kind: "work", id, bytes: 4 * count }) as const;
  return {
    kernel: packKernel(g, loops, sizes, hasBias),
    operands: [
      { kind: "in", index: 1 },
      ...(hasBias ? [{ kind: "in", index: 2 } as const] : []),
      work("weights", sizes.weights),
      ...(hasBias ? [work("bias", sizes.bias)] : []),
    ],
    args: [],
  };
}

function packKernel(g: ConvGeometry, loops: Loops, sizes: PackedSizes, hasBias: boolean): Kernel {
  const width = panelWidth(loops.tile);
  const perGroup = g.n / g.groups;
  const depth = loops.runs * loops.runLength;
  const k = new KernelBuilder(`pack_weights_${width}`);
  const w = k.buffer("w", "f32", g.n * depth, "in");
  const bias = hasBias ? k.buffer("bias", "f32", g.n, "in") : null;
  const packed = k.buffer("packed", "f32", sizes.weights, "out");
  const packedBias = hasBias ? k.buffer("packed_bias", "f32", sizes.bias, "out") : null;
  /** One panel of `channels` output channels from channel `first`, the panel's first element `to`. */
  const panel = (
    index: ReturnType<typeof mul>,
    first: ReturnType<typeof mul>,
    channels: number,
  ): void => {
    const to = k.let("to", mul(index, depth * width));
    const from = k.let("from", mul(first, depth));
    if (channels < width) k.fill(packed, to, 0, depth * width);
    const whole = depth - (depth % 4);
    for (let j = 0; j + 4 <= channels; j += 4) {
      const rows = (i: ReturnType<typeof mul>) =>
        [0, 1, 2, 3].map((c) => k.let("v", k.load(w, affine(from, i, (j + c) * depth), "f32x4")));
      k.for(
        "k",
        0,
        whole,
        (i) => {
          const at = k.let("at", affine(to, [i, width], j));
          transpose4(k, rows(i)).forEach((v, r) => k.store(packed, add(at, r * width), v));
        },
        { step: 4 },
      );
      k.for("k", whole, depth, (i) => {
        for (let c = 0; c < 4; c++) {
          k.store(
            packed,
            affine(to, [i, width], j + c),
            k.load(w, affine(from, i, (j + c) * depth)),
          );
        }
      });
    }
    for (let j = channels - (channels % 4); j < channels; j++) {
      k.for("k", 0, depth, (i) => {
        k.store(packed, affine(to, [i, width], j), k.load(w, affine(from, i, j * depth)));
      });
    }
    if (bias !== null && packedBias !== null) {
      const at = k.let("bias_at", mul(index, width));
      if (channels < width) k.fill(packedBias, at, 0, width);
      k.copy(packedBias, at, bias, first, channels);
    }
  };
  const full = Math.floor(perGroup / width);
  const rest = perGroup % width;
  k.for("group", 0, g.groups, (group) => {
    const base = k.let("base", mul(group, loops.panels));
    const first = k.let("first", mul(group, perGroup));
    k.for("panel", 0, full, (p) => panel(add(base, p), affine(first, [p, width]), width));
    if (rest > 0) panel(add(base, constant("i32", full)), add(first, full * width), rest);
  });
  return k.build();
}
