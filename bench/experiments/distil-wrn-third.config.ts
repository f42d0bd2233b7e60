import { defineTraining } from "../../src/train/index.ts";
import again from "./distil-wrn-again.config.ts";

/** A third cycle: longer, over eight more views. */
export default defineTraining({
  ...again,
  data: { ...again.data, augment: { shift: 4, mirror: true, views: 8 } },
  epochs: 30,
});
