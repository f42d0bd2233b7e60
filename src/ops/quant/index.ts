/** @file The operators between quantised and real values, by name. */
import type { Op } from "../../graph/op.ts";
import { assumeQuant } from "./assume-quant.ts";
import { channelScale } from "./channel-scale.ts";
import { dequantize } from "./dequantize.ts";
import { fakeQuantize, fakeQuantizeBackward } from "./fake-quantize.ts";
import { lsqQuantize, lsqQuantizeBackward } from "./lsq-quantize.ts";
import { lut } from "./lut.ts";
import { quantParams } from "./quant-params.ts";
import { quantize } from "./quantize.ts";
import { requantize } from "./requantize.ts";
import { rowRange } from "./row-range.ts";
import { stripQuant } from "./strip-quant.ts";

export {
  assumeQuant,
  channelScale,
  dequantize,
  fakeQuantize,
  fakeQuantizeBackward,
  lsqQuantize,
  lsqQuantizeBackward,
  lut,
  quantize,
  quantParams,
  requantize,
  rowRange,
  stripQuant,
};

export const quantOps = {
  assume_quant: assumeQuant,
  channel_scale: channelScale,
  dequantize,
  fake_quantize: fakeQuantize,
  fake_quantize_backward: fakeQuantizeBackward,
  lsq_quantize: lsqQuantize,
  lsq_quantize_backward: lsqQuantizeBackward,
  lut,
  quant_params: quantParams,
  quantize,
  requantize,
  row_range: rowRange,
  strip_quant: stripQuant,
} satisfies Record<string, Op>;
