/** @file The preprocessing flags. */
import { type Command, Option } from "commander";
import type { Preprocess } from "../src/data/preprocess.ts";
import { numberList, realNumber, wholeNumber } from "./options.ts";

export interface PreprocessOptions {
  readonly scale?: number;
  readonly mean?: readonly number[];
  readonly std?: readonly number[];
  readonly layout?: "nchw" | "nhwc";
  readonly channelOrder?: "rgb" | "bgr";
  readonly resize?: "stretch" | "fit-height";
  readonly dtype?: string;
  readonly quantScale?: number;
  readonly zeroPoint?: number;
}

/** Flags for x = (value * scale - mean) / std and for how values are stored. */
export const withPreprocess = (command: Command): Command =>
  command
    .option("--scale <x>", "multiply values first, for example 0.00392157", realNumber())
    .option("--mean <list>", "then subtract, one number or one per channel", numberList)
    .option("--std <list>", "then divide, one number or one per channel", numberList)
    .addOption(new Option("--layout <l>", "layout of an image input").choices(["nchw", "nhwc"]))
    .addOption(new Option("--channel-order <o>", "colours of an image").choices(["rgb", "bgr"]))
    .addOption(
      new Option("--resize <how>", "fitting images to the input").choices([
        "stretch",
        "fit-height",
      ]),
    )
    .option("--dtype <type>", "element type of raw bytes: u8, i8, f32 …")
    .option("--quant-scale <x>", "raw values stand for (q - zero point) * this", realNumber())
    .option("--zero-point <n>", "zero point of raw values", wholeNumber(Number.MIN_SAFE_INTEGER));

const one = (list: readonly number[]): number | readonly number[] =>
  list.length === 1 ? list[0]! : list;

/** The settings given by flags, over those of the configuration. */
export function preprocessOf(options: PreprocessOptions, base: Preprocess = {}): Preprocess {
  const { mean, std, scale, layout, channelOrder, resize, dtype, quantScale, zeroPoint } = options;
  return {
    ...base,
    ...(scale === undefined ? {} : { scale }),
    ...(mean === undefined ? {} : { mean: one(mean) }),
    ...(std === undefined ? {} : { std: one(std) }),
    ...(layout === undefined ? {} : { layout }),
    ...(channelOrder === undefined ? {} : { channelOrder }),
    ...(resize === undefined ? {} : { resize }),
    ...(dtype === undefined ? {} : { dtype }),
    ...(quantScale === undefined ? {} : { quantScale }),
    ...(zeroPoint === undefined ? {} : { zeroPoint }),
  };
}
