/** @file The operators between quantised and real values, by name. */
import type { Op } from "../../graph/op.ts";
import { assumeQuant } from "./assume-quant.ts";
import { dequantize } from "./dequantize.ts";
import { lut } from "./lut.ts";
import { quantize } from "./quantize.ts";
import { requantize } from "./requantize.ts";
import { stripQuant } from "./strip-quant.ts";

export { assumeQuant, dequantize, lut, quantize, requantize, stripQuant };

export const quantOps = {
  assume_quant: assumeQuant,
  dequantize,
  lut,
  quantize,
  requantize,
  strip_quant: stripQuant,
} satisfies Record<string, Op>;
