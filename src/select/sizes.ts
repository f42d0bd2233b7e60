/** @file Bytes that a candidate brings to a module: estimates that steer selection within limits. */
import type { Kernel } from "../kernel/ir.ts";
import type { Program } from "../kernel/program.ts";
import type { Candidate, Operand } from "../primitives/primitive.ts";
import { emitModule } from "../targets/wasm/module.ts";
import { byteSize } from "../tensor/tensor.ts";
import { keyOf } from "./costs.ts";
import type { NetworkNode } from "./network.ts";

export interface CandidateSizes {
  /** Constants, packed or as they are, and scratch. */
  readonly memory: number;
  /** WebAssembly of its kernels; what several layers share is counted for each. */
  readonly code: number;
}

/** A module of nothing but kernels. */
const moduleOf = (kernels: readonly Kernel[]): Program => ({
  name: "",
  kernels,
  constants: [],
  init: [],
  steps: [],
  inputs: [],
  outputs: [],
  memoryBytes: 0,
  arenaBytes: 0,
  meta: {},
});

function memoryOf(operand: Operand, { ins, known }: NetworkNode): number {
  switch (operand.kind) {
    case "in":
      return known?.[operand.index] === true ? byteSize(ins[operand.index]!) : 0;
    case "const":
      return byteSize(operand.tensor.type);
    case "made":
      return byteSize(operand.type);
    case "work":
      return operand.bytes;
    default:
      return 0;
  }
}

/** Sizes of candidates, each built once for equal layers. */
export function candidateSizes(): (node: NetworkNode, candidate: Candidate) => CandidateSizes {
  const known = new Map<string, CandidateSizes>();
  return (node, candidate) => {
    const key = keyOf(node, candidate);
    const found = known.get(key);
    if (found !== undefined) return found;
    const { steps } = candidate.implement();
    const operands = steps.flatMap((s) => s.operands);
    const memory = operands.reduce((sum, o) => sum + memoryOf(o, node), 0);
    const kernels = [...new Set(steps.map((s) => s.kernel))];
    const code = kernels.length === 0 ? 0 : emitModule(moduleOf(kernels)).codeBytes;
    known.set(key, { memory, code });
    return { memory, code };
  };
}
