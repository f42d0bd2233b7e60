/** @file trilu: keeps the upper or lower triangle of the last two axes, the rest is zero. */
import { defineOp } from "../../graph/op.ts";
import { add, affine, i32, max, min, sub } from "../../kernel/build.ts";
import { elementCount, tensorType, zeros } from "../../tensor/tensor.ts";
import { axesText, axisLabels, expectInputs, movedQuant, mover, refuse } from "./check.ts";
import { movementKernel } from "./strided.ts";

export interface TriluAttrs {
  readonly upper: boolean;
  /** Shifts the diagonal: 1 is the one above the main diagonal, -1 the one below. */
  readonly k: number;
}

export const trilu = defineOp<TriluAttrs>({
  name: "trilu",
  quant: "integer",
  infer(ins, { k }) {
    expectInputs(ins, 1);
    const { dtype, shape } = ins[0]!;
    if (shape.length < 2) refuse("E_SHAPE", `expected 2 axes or more, got [${shape}]`);
    if (!Number.isInteger(k)) refuse("E_SHAPE", `k is ${k}, expected a whole number`);
    return [tensorType(dtype, shape, movedQuant(ins))];
  },
  axes([x]) {
    const labels = axisLabels("x", x!.shape.length);
    return axesText([labels], [labels]);
  },
  eval([x], { upper, k }, [type]) {
    const out = zeros(type!);
    const move = mover(out, x!);
    const [rows, columns] = type!.shape.slice(-2) as [number, number];
    const zero = type!.quant?.zeroPoint[0] ?? 0;
    out.data.forEach((_, i) => {
      const distance = (i % columns) - (Math.floor(i / columns) % rows);
      if (upper ? distance >= k : distance <= k) move(i, i);
      else if (zero !== 0) out.data[i] = zero;
    });
    return [out];
  },
  lower(types, { upper, k: diagonal }, outTypes) {
    const { k, ins, outs } = movementKernel("trilu", types, outTypes);
    const { shape, quant } = types[0]!;
    const [rows, columns] = shape.slice(-2) as [number, number];
    const zero = quant?.zeroPoint[0] ?? 0;
    const [x, y] = [ins[0]!, outs[0]!];
    k.forParallel("b", 0, elementCount(shape.slice(0, -2)), (b) =>
      k.forParallel("r", 0, rows, (r) => {
        const row = k.let("row", affine([b, rows * columns], [r, columns]));
        const first = add(r, diagonal + (upper ? 0 : 1));
        const cut = k.let("cut", min(max(first, i32(0)), i32(columns)));
        const at = k.let("at", add(row, cut));
        const rest = k.let("rest", sub(i32(columns), cut));
        if (upper) {
          k.fill(y, row, zero, cut);
          k.copy(y, at, x, at, rest);
        } else {
          k.copy(y, row, x, row, cut);
          k.fill(y, at, zero, rest);
        }
      }),
    );
    return k.build();
  },
  permute(attrs, perm) {
    const rank = perm.length;
    return perm[rank - 1] === rank - 1 && perm[rank - 2] === rank - 2 ? attrs : null;
  },
  samples: [
    { ins: [tensorType("f32", [2, 4, 5])], attrs: { upper: true, k: 0 } },
    { ins: [tensorType("f32", [4, 5])], attrs: { upper: false, k: -1 } },
    { ins: [tensorType("i64", [3, 3])], attrs: { upper: true, k: 7 } },
    { ins: [tensorType("f16", [3, 2])], attrs: { upper: false, k: 1 } },
    { ins: [tensorType("bool", [3, 3])], attrs: { upper: false, k: 5 } },
    {
      ins: [tensorType("i8", [3, 4], { scale: [0.5], zeroPoint: [-9], axis: null })],
      attrs: { upper: true, k: -1 },
    },
  ],
});
