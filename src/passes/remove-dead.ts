/** @file Drops what no output depends on. */
import { eliminateDead } from "../graph/rewrite.ts";
import { definePass } from "./pass.ts";

export const removeDead = definePass({
  name: "remove-dead",
  doc: "Drops nodes and constants that no output depends on. Inputs stay.",
  run: eliminateDead,
});
