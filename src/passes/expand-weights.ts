/** @file Writes out weights that are made of smaller ones: for what takes weights as constants only. */
import { rewrite } from "../graph/rewrite.ts";
import { evaluating } from "./fold-constants.ts";
import { definePass } from "./pass.ts";

const all = evaluating(() => true);

/** The graph without weights that depend on constants alone; those that are trained stay. */
export const expandWeights = definePass({
  name: "expand-weights",
  doc: "Computes weights that are hashed, products of factors or stacks of ACDC layers, whatever their size.",
  run: (graph) => rewrite(graph, all),
});
