/** @file Finds bytes that a compiled node reads although something else has overwritten them. */
import type { Value } from "../../src/graph/graph.ts";
import type { Program } from "../../src/kernel/program.ts";
import type { CompileResult } from "../../src/plan/compile.ts";
import { sizeOf } from "../../src/tensor/dtype.ts";
import { byteSize } from "../../src/tensor/tensor.ts";

const CONSTANT = -1;
const INPUT = -2;
const NOBODY = -3;

/** For each node the nodes that make its operands, found through views; INPUT and CONSTANT are always fine. */
function makersOf({ nodes }: CompileResult): (readonly number[])[] {
  const maker = new Map<Value, number>();
  return nodes.map(({ node, stepCount }, i) => {
    const from = node.ins.flatMap((v) => maker.get(v) ?? []);
    const isView = stepCount === 0;
    for (const v of node.outs) {
      if (!isView) maker.set(v, i);
      else if (from[0] !== undefined) maker.set(v, from[0]);
    }
    return [...from, i];
  });
}

function initialOwners(program: Program): Int32Array {
  const owner = new Int32Array(program.memoryBytes).fill(NOBODY);
  for (const c of program.constants) owner.fill(CONSTANT, c.offset, c.offset + c.bytes.length);
  for (const call of program.init) {
    program.kernels[call.kernel]!.buffers.forEach((b, i) => {
      const start = call.bases[i]!;
      if (b.role === "out") owner.fill(CONSTANT, start, start + b.size * sizeOf(b.dtype));
    });
  }
  for (const p of program.inputs) owner.fill(INPUT, p.offset, p.offset + byteSize(p.type));
  return owner;
}

/**
 * Follows one inference byte by byte. Null, or the first step whose operand was last written by a node
 * that does not make it.
 */
export function foreignRead(compiled: CompileResult): string | null {
  const { program, nodes } = compiled;
  const makers = makersOf(compiled);
  const owner = initialOwners(program);
  for (const [n, { firstStep, stepCount }] of nodes.entries()) {
    const fine = new Set([CONSTANT, INPUT, ...makers[n]!]);
    for (const call of program.steps.slice(firstStep, firstStep + stepCount)) {
      const { buffers } = program.kernels[call.kernel]!;
      for (const [i, b] of buffers.entries()) {
        const [start, end] = [call.bases[i]!, call.bases[i]! + b.size * sizeOf(b.dtype)];
        if (b.role !== "in" && b.role !== "const") continue;
        const bad = owner.subarray(start, end).findIndex((o) => !fine.has(o));
        if (bad >= 0) return `${call.label}: ${b.name} byte ${bad} is of ${owner[start + bad]}`;
      }
      buffers.forEach((b, i) => {
        const start = call.bases[i]!;
        if (b.role === "out" || b.role === "work")
          owner.fill(n, start, start + b.size * sizeOf(b.dtype));
      });
    }
  }
  return null;
}
