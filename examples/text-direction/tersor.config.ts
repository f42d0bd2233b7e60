import { defineConfig } from "../../src/index.ts";

/** What PaddleOCR does before its text-direction classifier. Paths are relative to this file. */
export default defineConfig({
  data: "../../out/text-direction/calibration",
  eval: "../../out/text-direction/evaluation",
  preprocess: {
    resize: "fit-height",
    channelOrder: "bgr",
    layout: "nchw",
    scale: 1 / 255,
    mean: 0.5,
    std: 0.5,
  },
  metric: "top1",
  maxDrop: 1,
  seed: 1,
});
