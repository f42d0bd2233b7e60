/** @file A merged table gives what the two gave, for every byte. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { GraphBuilder } from "../graph/graph.ts";
import { interpret } from "../graph/interpret.ts";
import { lut } from "../ops/quant/lut.ts";
import { tensorOf, tensorType, toNumbers } from "../tensor/tensor.ts";
import { makeRng } from "../util/rng.ts";
import { mergeLuts } from "./merge-luts.ts";

for (const dtype of ["i8", "u8"] as const) {
  test(`two look-ups of ${dtype} become one`, () => {
    const rng = makeRng(1);
    const lowest = dtype === "i8" ? -128 : 0;
    const bytes = Array.from({ length: 256 }, (_, i) => lowest + i);
    const table = () =>
      tensorOf(
        dtype,
        [256],
        bytes.map(() => lowest + rng.int(256)),
      );
    const g = new GraphBuilder("g");
    const x = g.input("x", tensorType(dtype, [256]));
    const first = g.apply(lut, [x, g.constant(table())], {});
    const second = g.apply(lut, [first, g.constant(table())], {});
    g.output(g.apply(lut, [second, g.constant(table())], {}), "y");
    const graph = g.build();
    const merged = mergeLuts.run(graph);
    assert.equal(merged.nodes.length, 1);
    const feed = [tensorOf(dtype, [256], bytes)];
    const [want] = interpret(graph, feed);
    assert.deepEqual(toNumbers(interpret(merged, feed)[0]!), toNumbers(want!));
  });
}

test("a result that is read twice keeps its table", () => {
  const g = new GraphBuilder("g");
  const x = g.input("x", tensorType("i8", [3]));
  const table = g.constant(tensorOf("i8", [256], new Array<number>(256).fill(7)));
  const y = g.apply(lut, [x, table], {});
  g.output(y, "y");
  g.output(g.apply(lut, [y, table], {}), "z");
  const graph = g.build();
  assert.equal(mergeLuts.run(graph), graph);
});
