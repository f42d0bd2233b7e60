/** @file What a pass is, and how a list of them is run. */
import type { Graph } from "../graph/graph.ts";
import { verifyGraph } from "../graph/verify.ts";
import { invariant } from "../util/errors.ts";

/** A pure function on graphs that keeps the meaning; the same object back means nothing changed. */
export interface Pass {
  /** kebab-case; names the pass in traces and golden files. */
  readonly name: string;
  /** What it does, in one sentence, and what it leaves alone. */
  readonly doc: string;
  readonly run: (graph: Graph) => Graph;
}

export const definePass = (pass: Pass): Pass => ({ ...pass, doc: pass.doc.replace(/\s+/g, " ") });

/** Told after each application of a pass that changed the graph. */
export interface PassEvent {
  readonly pass: string;
  readonly before: Graph;
  readonly after: Graph;
}

export interface RunPassesOptions {
  /** Check the graph after each pass; default false. */
  readonly verify?: boolean;
  readonly trace?: (event: PassEvent) => void;
}

/** Applies the passes in order, once each. */
export function runPasses(
  graph: Graph,
  passes: readonly Pass[],
  options: RunPassesOptions = {},
): Graph {
  let current = graph;
  for (const pass of passes) {
    const next = pass.run(current);
    if (next === current) continue;
    if (options.verify === true) verifyGraph(next);
    options.trace?.({ pass: pass.name, before: current, after: next });
    current = next;
  }
  return current;
}

const MAX_ROUNDS = 1000;

/** Applies `step` until it returns its argument. */
export function repeat(graph: Graph, step: (graph: Graph) => Graph): Graph {
  let current = graph;
  for (let round = 0; round < MAX_ROUNDS; round++) {
    const next = step(current);
    if (next === current) return current;
    current = next;
  }
  invariant(false, () => "a pass changes the graph without end");
}

/** One pass that applies several in order, again and again until none changes anything. */
export function untilStable(name: string, passes: readonly Pass[]): Pass {
  return definePass({
    name,
    doc: `Repeats ${passes.map((p) => p.name).join(", ")} until nothing changes.`,
    run: (graph) => repeat(graph, (g) => runPasses(g, passes)),
  });
}
