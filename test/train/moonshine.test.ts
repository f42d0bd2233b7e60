/** @file Sizes of WRN with every block type, to the digit: golden tables of the group's papers and code. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { blockType } from "../../src/compress/substitute/block.ts";
import { macsOf, parameterCount } from "../../src/graph/count.ts";
import type { Graph } from "../../src/graph/graph.ts";
import { wideResnet } from "../../src/train/models/wide-resnet.ts";
import { WRN_40_2 } from "../support/wrn-sizes.ts";

/** Thousands of parameters and millions of operations where the source rounds. */
const SMALL: readonly (readonly [number, number, string, number, number])[] = [
  [16, 2, "G(4)", 248_378, 36.03],
  [16, 2, "G(N/4)", 119_354, 20.25],
  [16, 2, "G(N)", 98_186, 14.83],
  [16, 2, "B(2)", 148_698, 23.25],
  [16, 2, "BG(2,4)", 76_122, 12.63],
  [10, 2, "G(N/4)", 58_426, 9.83],
  [10, 2, "G(N)", 49_354, 7.51],
  [10, 2, "B(2)", 77_914, 13.03],
  [10, 2, "BG(2,4)", 41_626, 7.72],
  [10, 1, "G(N)", 14_250, 2.48],
  [10, 1, "B(2)", 20_314, 3.52],
];

const sizes = (graph: Graph): readonly [number, number] => [parameterCount(graph), macsOf(graph)];

test("WRN-40-2 with every block type has the golden size", () => {
  for (const [blocks, want] of Object.entries(WRN_40_2)) {
    assert.deepEqual(sizes(wideResnet({ depth: 40, width: 2, blocks })), want, blocks);
  }
});

test("small students have the golden sizes, a quarter of the work at half the side", () => {
  for (const [depth, width, blocks, params, millions] of SMALL) {
    const name = `WRN-${depth}-${width} ${blocks}`;
    const [got, macs] = sizes(wideResnet({ depth, width, blocks }));
    assert.equal(got, params, name);
    assert.equal((macs / 1e6).toFixed(2), millions.toFixed(2), name);
    const [, less] = sizes(wideResnet({ depth, width, blocks, side: 16 }));
    const head = 64 * width * 10;
    assert.equal(4 * (less - head), macs - head, name);
  }
});

test("blocks may differ from one residual block to the next", () => {
  const mixed = wideResnet({ depth: 10, width: 1, blocks: ["S", "G(4)", "B(2)"] });
  const one = (blocks: string): number =>
    parameterCount(wideResnet({ depth: 10, width: 1, blocks }));
  const got = parameterCount(mixed);
  assert.ok(got < one("S") && got > one("B(2)"), `${got}`);
  const short = () => wideResnet({ depth: 10, width: 1, blocks: ["S"] });
  assert.throws(short, { code: "E_ARGUMENT" });
});

test("block types as written", () => {
  assert.deepEqual(blockType("BG(2, M/4)"), {
    name: "BG(2,M/4)",
    bottleneck: 2,
    grouping: { channels: 4 },
  });
  for (const text of ["", "A(2)", "G(0)", "B(0)", "BG(2,M/0)", "G(M)", "BG(2,N)", "BG(2)"]) {
    assert.throws(() => blockType(text), { code: "E_ARGUMENT" }, text);
  }
  const split = () => wideResnet({ depth: 10, width: 1, blocks: "G(7)" });
  assert.throws(split, { code: "E_ARGUMENT" });
});
