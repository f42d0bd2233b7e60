import assert from "node:assert/strict";
import { test } from "node:test";
import { prunableGroups } from "../../src/compress/prune/groups.ts";
import { maskChannels } from "../../src/compress/prune/mask.ts";
import { removeChannels } from "../../src/compress/prune/remove.ts";
import { interpret } from "../../src/graph/interpret.ts";
import { verifyGraph } from "../../src/graph/verify.ts";
import { makeRng } from "../../src/util/rng.ts";
import { seededFeeds, worstOutput } from "../support/whole-models.ts";
import { randomGraph } from "./random-graph.ts";

test("random graphs without some channels equal those graphs with the channels at 0", () => {
  let pruned = 0;
  for (let seed = 1; seed <= 150; seed++) {
    const rng = makeRng(seed);
    const graph = randomGraph(rng, { size: 10, quantised: seed % 4 === 0 });
    const groups = prunableGroups(graph);
    if (groups.length === 0) continue;
    pruned++;
    const kept = new Map(
      groups.map((g) => {
        const keep = [...rng.permutation(g.count)].slice(0, 1 + rng.int(g.count - 1));
        return [g, keep.sort((a, b) => a - b)] as const;
      }),
    );
    const small = removeChannels(graph, kept);
    verifyGraph(small);
    const feeds = seededFeeds(graph, seed);
    const want = interpret(maskChannels(graph, kept), feeds);
    const got = worstOutput(interpret(small, feeds), want, "relative");
    assert.ok(got <= 1e-5, `seed ${seed}: differs by ${got}`);
  }
  assert.ok(pruned > 40, `only ${pruned} graphs had channels to remove`);
});
