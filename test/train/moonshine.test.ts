/** @file Sizes of WRN with every block type, to the digit: golden tables of the group's papers and code. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { blockType } from "../../src/compress/substitute/block.ts";
import { macsOf, parameterCount } from "../../src/graph/count.ts";
import { type Graph, isOp, typeOf } from "../../src/graph/graph.ts";
import { relu } from "../../src/ops/elementwise/relu.ts";
import { elementCount } from "../../src/tensor/tensor.ts";
import { wideResnet } from "../../src/train/models/wide-resnet.ts";
import { studentOf } from "../../src/train/student/student.ts";
import { SMALL_WRN, WRN_40_2 } from "../support/wrn-sizes.ts";

const sizes = (graph: Graph): readonly [number, number] => [parameterCount(graph), macsOf(graph)];

test("WRN-40-2 with every block type has the golden size", () => {
  for (const [blocks, want] of Object.entries(WRN_40_2)) {
    assert.deepEqual(sizes(wideResnet({ depth: 40, width: 2, blocks })), want, blocks);
  }
});

test("small networks have the golden sizes, a quarter of the work at half the side", () => {
  for (const [depth, width, blocks, params, macs] of SMALL_WRN) {
    const name = `WRN-${depth}-${width} ${blocks}`;
    assert.deepEqual(sizes(wideResnet({ depth, width, blocks })), [params, macs], name);
    const [, less] = sizes(wideResnet({ depth, width, blocks, side: 16 }));
    const head = 64 * width * 10;
    assert.equal(4 * (less - head), macs - head, name);
  }
});

test("students of a teacher have the golden sizes, block by block", () => {
  const teacher = wideResnet({ depth: 40, width: 2 });
  for (const [blocks, want] of Object.entries(WRN_40_2)) {
    // Blocks with groups alone are checked in substitute-sizes.test.ts.
    if (!blocks.startsWith("B")) continue;
    assert.deepEqual(sizes(studentOf(teacher, { blocks, weights: "teacher" }).graph), want, blocks);
  }
  for (const [depth, width, blocks, params, macs] of SMALL_WRN) {
    if (blocks === "S") continue;
    const small = wideResnet({ depth, width });
    const { graph } = studentOf(small, { blocks });
    assert.deepEqual(sizes(graph), [params, macs], `WRN-${depth}-${width} ${blocks}`);
  }
});

/** One for each element through a ReLU between convolutions, and the bias: what the papers' code counts more. */
function reported(graph: Graph, macs: number): number {
  const relus = graph.nodes.filter((n) => isOp(n, relu));
  return relus.reduce((sum, n) => sum + elementCount(typeOf(graph, n.outs[0]!).shape), macs + 10);
}

test("multiply-adds as the papers' code counts them", () => {
  const teacher = wideResnet({ depth: 40, width: 2 });
  assert.equal(reported(teacher, macsOf(teacher)), 328_303_882);
  // WRN-28-10 with --conv G8B2. ReLUs within blocks are not counted; those outside are any WRN-28-10's.
  const wide = wideResnet({ depth: 28, width: 10, blocks: "LowRank(0.01)" });
  assert.equal((reported(wide, 755_423_488) / 1e6).toFixed(3), "757.734");
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
