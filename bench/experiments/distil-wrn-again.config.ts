import { defineTraining } from "../../src/train/index.ts";
import first from "./distil-wrn.config.ts";

/** A second cycle of the student of distil-wrn.config.ts, over six other views. */
export default defineTraining({
  ...first,
  data: { ...first.data, augment: { shift: 4, mirror: true, views: 6 } },
  schedule: { kind: "one-cycle", rate: 0.05, rising: 0.1 },
  epochs: 17,
});
