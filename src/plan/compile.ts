/**
 * @file Graph to Program: picks an implementation for every node, packs constants, plans memory, fixes
 * addresses. The graph must already be in target form (see src/pipeline.ts).
 */

import { expandComposites } from "../graph/decompose.ts";
import { type Graph, type Node, typeOf, type Value } from "../graph/graph.ts";
import type { Kernel } from "../kernel/ir.ts";
import type { Call, Port, Program } from "../kernel/program.ts";
import type { Implementation, Operand, Primitive, Step } from "../primitives/primitive.ts";
import { plainStorage } from "../primitives/storage.ts";
import { byteSize, type TensorType, tensorType } from "../tensor/tensor.ts";
import { invariant, UserError } from "../util/errors.ts";
import { type KnownValues, knownValues } from "./constants.ts";
import { decodeStep } from "./decode.ts";
import { KernelTable } from "./kernel-table.ts";
import { type MemoryPlan, planMemory } from "./memory.ts";
import { ConstantPool, type PlacedConstants, placeConstants } from "./pool.ts";
import { type Scheduled, SlotTable } from "./slots.ts";

export interface CompileOptions {
  /** Primitives to choose from, most preferred first, by op name. */
  readonly primitives: Readonly<Record<string, readonly Primitive[]>>;
}

/** What was chosen for each node, for reports. */
export interface CompiledNode {
  readonly node: Node;
  readonly ins: readonly TensorType[];
  readonly outs: readonly TensorType[];
  readonly implementation: string;
  /** Range of Program.steps that computes it. */
  readonly firstStep: number;
  readonly stepCount: number;
}

export interface CompileResult {
  readonly program: Program;
  readonly nodes: readonly CompiledNode[];
  /** Is this value (of the compiled nodes) known at compile time? */
  readonly isConstant: (v: Value) => boolean;
}

/** Memory below this address stays unused, so that 0 is no valid buffer. */
const BASE_ADDRESS = 64;

export function compileGraph(source: Graph, options: CompileOptions): CompileResult {
  const graph = expandComposites(source, (op) => op.lower === undefined);
  const known = knownValues(graph);
  const schedule = chooseAll(graph, known, options);
  return new Assembly(graph, known, schedule).result();
}

function chooseAll(graph: Graph, known: KnownValues, options: CompileOptions): Scheduled[] {
  const out: Scheduled[] = [];
  for (const node of graph.nodes) {
    if (known.folded.has(node)) continue;
    out.push({ node, implementation: choose(graph, node, known, options) });
  }
  return out;
}

function choose(
  graph: Graph,
  node: Node,
  known: KnownValues,
  options: CompileOptions,
): Implementation {
  if (node.op.view === true) return { name: "view", inPlace: false, steps: [] };
  const ins = node.ins.map((v) => typeOf(graph, v));
  const outs = node.outs.map((v) => typeOf(graph, v));
  const input = {
    ins,
    outs,
    attrs: node.attrs,
    constants: node.ins.map(known.tensor),
    storage: node.ins.map(known.storage),
    values: node.ins,
  };
  for (const primitive of options.primitives[node.op.name] ?? []) {
    const found = primitive.implement(input);
    if (found !== null) return found;
  }
  if (node.op.lower === undefined) {
    throw new UserError("E_UNSUPPORTED", `${node.op.name} '${node.name}' has no compiled form`, {
      where: node.name,
    });
  }
  const kernel = node.op.lower(ins, node.attrs, outs);
  return { name: `${node.op.name}_default`, inPlace: true, steps: [defaultStep(kernel, node)] };
}

/** Binds a default loop nest: inputs, then outputs, then scratch. */
function defaultStep(kernel: Kernel, node: Node): Step {
  const nIn = node.ins.length;
  const nOut = node.outs.length;
  const operands = kernel.buffers.map((b, i): Operand => {
    if (i < nIn) return { kind: "in", index: i };
    if (i < nIn + nOut) return { kind: "out", index: i - nIn };
    return { kind: "work", id: b.name, bytes: byteSize(tensorType(b.dtype, [b.size])) };
  });
  return { kernel, operands, args: [] };
}

/** Packs constants, plans memory, fixes addresses. */
class Assembly {
  private readonly graph: Graph;
  private readonly known: KnownValues;
  private readonly schedule: readonly Scheduled[];
  private readonly pool = new ConstantPool();
  private readonly table = new KernelTable();
  private readonly slots: SlotTable;
  private readonly bound = new Map<Value, number>();
  private readonly placed: PlacedConstants;
  private readonly plan: MemoryPlan;

  constructor(graph: Graph, known: KnownValues, schedule: readonly Scheduled[]) {
    this.graph = graph;
    this.known = known;
    this.schedule = schedule;
    this.slots = new SlotTable(graph, schedule, (v) => known.tensor(v) !== undefined);
    this.bindConstants();
    this.placed = placeConstants(this.pool, BASE_ADDRESS, (k) => this.table.intern(k), decodeStep);
    this.plan = planMemory(this.slots.blocks());
  }

  /** Adds every constant some step reads to the pool. */
  private bindConstants(): void {
    for (const { node, implementation } of this.schedule) {
      for (const o of implementation.steps.flatMap((step) => step.operands)) {
        if (o.kind === "in") this.bind(node.ins[o.index]!);
        if (o.kind === "const") this.pool.add(o.tensor, o.name, o.storage);
      }
    }
    for (const v of this.graph.outputs) this.bind(v);
  }

  private bind(v: Value): void {
    if (this.slots.slot(v) !== undefined || this.bound.has(v)) return;
    const tensor = this.known.tensor(v);
    invariant(tensor !== undefined, () => `value %${v} has neither memory nor a constant`);
    const storage = this.known.storage(v);
    const name = this.graph.values.get(v)?.name ?? "";
    this.bound.set(v, this.pool.add(tensor, name, storage && plainStorage(storage, tensor.type)));
  }

  private slotAddress(slot: number): number {
    return this.placed.end + this.plan.offsets[slot]!;
  }

  private valueAddress(v: Value): number {
    const slot = this.slots.slot(v);
    return slot === undefined ? this.placed.address(this.bound.get(v)!) : this.slotAddress(slot);
  }

  private operandAddress(node: Node, o: Operand): number {
    switch (o.kind) {
      case "in":
        return this.valueAddress(node.ins[o.index]!);
      case "out":
        return this.valueAddress(node.outs[o.index]!);
      case "const":
        return this.placed.address(this.pool.add(o.tensor, o.name, o.storage));
      case "work":
        return this.slotAddress(this.slots.workSlot(node, o.id));
    }
  }

  private call(node: Node, step: Step): Call {
    return {
      kernel: this.table.intern(step.kernel),
      bases: step.operands.map((o) => this.operandAddress(node, o)),
      args: step.args,
      label: node.name || node.op.name,
    };
  }

  private port(v: Value, name: string): Port {
    return { name, type: typeOf(this.graph, v), offset: this.valueAddress(v) };
  }

  result(): CompileResult {
    const { graph } = this;
    const steps: Call[] = [];
    const nodes = this.schedule.map(({ node, implementation }): CompiledNode => {
      const firstStep = steps.length;
      for (const step of implementation.steps) steps.push(this.call(node, step));
      return {
        node,
        ins: node.ins.map((v) => typeOf(graph, v)),
        outs: node.outs.map((v) => typeOf(graph, v)),
        implementation: implementation.name,
        firstStep,
        stepCount: steps.length - firstStep,
      };
    });
    const program: Program = {
      name: graph.name,
      kernels: this.table.kernels,
      constants: this.placed.segments,
      init: this.placed.init,
      steps,
      inputs: graph.inputs.map((v) => this.port(v, graph.values.get(v)!.name)),
      outputs: graph.outputs.map((v, i) => this.port(v, graph.outputNames[i]!)),
      memoryBytes: this.placed.end + this.plan.arenaBytes,
      arenaBytes: this.plan.arenaBytes,
      meta: graph.meta,
    };
    return { program, nodes, isConstant: (v) => this.known.tensor(v) !== undefined };
  }
}
