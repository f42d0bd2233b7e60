/**
 * @file Hashed weights as a function of the model (ONNX's FunctionProto), written once and called by each layer: the
 * file has the vector of weights, and a runtime computes the virtual tensor from it, at load where it folds constants.
 * 32-bit products are made of halves, because integers of ONNX operators are wide and signed.
 */
import type { HashedWeightsAttrs } from "../../../ops/nn/hashed-weights.ts";
import { HASHED_FUNCTION } from "../functions.ts";
import type { FunctionProto } from "../proto.ts";
import type { Draft } from "../wire.ts";
import type { ExportEntry } from "./context.ts";
import { Body } from "./function-body.ts";
import { int, ints } from "./writer.ts";

const MIX = "Mix32";
const WORD = 2 ** 32;

/** MurmurHash3's finaliser on i64 that hold 32 bits. */
function mixFunction(): Draft<FunctionProto> {
  const b = new Body();
  const folded = (h: string, shift: number): string =>
    b.emit("BitwiseXor", [h, b.emit("Div", [h, 2 ** shift])]);
  const times = (h: string, factor: number): string => {
    const low = b.emit("Mul", [h, factor & 0xffff]);
    const high = b.emit("Mod", [b.emit("Mul", [h, factor >>> 16]), 65536]);
    return b.emit("Mod", [b.emit("Add", [low, b.emit("Mul", [high, 65536])]), WORD]);
  };
  folded(times(folded(times(folded("x", 16), 0x85ebca6b), 13), 0xc2b2ae35), 16);
  return b.build(MIX, ["x"]);
}

/** hashPlace and hashSign of src/ops/nn/hash.ts for all elements, and the weights there. */
function hashedFunction(): Draft<FunctionProto> {
  const b = new Body();
  const shape = b.argument("shape", "ints");
  const seed = b.emit("Mod", [b.argument("seed", "int"), WORD]);
  const mix = (x: string): string => b.call(MIX, [x]);
  const size = b.emit("ReduceProd", [shape], { keepdims: int(false) });
  const i = b.emit("Range", [0, size, 1]);
  const hash = (own: string): string => mix(b.emit("BitwiseXor", [i, mix(own)]));
  const wide = b.emit("Mul", [hash(seed), b.emit("Size", ["w"])]);
  const taken = b.emit("Gather", ["w", b.emit("Div", [wide, WORD])]);
  const bit = b.emit("Mod", [hash(b.emit("BitwiseXor", [seed, 0x9e3779b9])), 2]);
  const sign = b.emit("Sub", [1, b.emit("Add", [bit, bit])]);
  const signed = b.emit("Mul", [taken, b.emit("CastLike", [sign, "w"])]);
  b.emit("Reshape", [signed, shape]);
  return b.build(HASHED_FUNCTION, ["w"], ["shape", "seed"]);
}

/** What the call of a hashed layer needs in the model. */
export const hashedFunctions = (): readonly Draft<FunctionProto>[] => [
  mixFunction(),
  hashedFunction(),
];

export const hashedExports = {
  hashed_weights: {
    run: (x) =>
      x.w.call(HASHED_FUNCTION, [x.raw(0)], {
        shape: ints(x.attrs.shape),
        seed: int(x.attrs.seed),
      }),
  } satisfies ExportEntry<HashedWeightsAttrs>,
};
