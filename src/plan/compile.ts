/**
 * @file Graph to Program: picks an implementation for every node, packs constants, plans memory, fixes
 * addresses. The graph must already be in target form (see src/pipeline.ts).
 */

import { expandComposites } from "../graph/decompose.ts";
import type { Graph, Node, Value } from "../graph/graph.ts";
import type { Kernel } from "../kernel/ir.ts";
import type { Call, Port, Program } from "../kernel/program.ts";
import type { Implementation, Operand, Primitive, Step } from "../primitives/primitive.ts";
import { plainStorage } from "../primitives/storage.ts";
import { byteSize, type TensorType, tensorType } from "../tensor/tensor.ts";
import { invariant, UserError } from "../util/errors.ts";
import { type KnownValues, knownValues } from "./constants.ts";
import { decodeStep } from "./decode.ts";
import { type Block, planMemory } from "./memory.ts";
import { ConstantPool, placeConstants } from "./pool.ts";

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
  const storage = new Storage(graph, known, schedule);
  return storage.program();
}

interface Scheduled {
  readonly node: Node;
  readonly implementation: Implementation;
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
  const type = (v: Value) => graph.values.get(v)!.type;
  if (node.op.view === true) return { name: "view", inPlace: false, steps: [] };
  const ins = node.ins.map(type);
  const outs = node.outs.map(type);
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

/** A stretch of memory shared by the values that alias each other. */
interface Slot {
  sizeBytes: number;
  first: number;
  last: number;
}

class Storage {
  private readonly graph: Graph;
  private readonly known: KnownValues;
  private readonly schedule: readonly Scheduled[];
  private readonly pool = new ConstantPool();
  private readonly slots: Slot[] = [];
  private readonly slotOf = new Map<Value, number>();
  private readonly lastUse = new Map<Value, number>();
  private readonly workSlots = new Map<string, number>();
  private readonly stepCount: number;

  constructor(graph: Graph, known: KnownValues, schedule: readonly Scheduled[]) {
    this.graph = graph;
    this.known = known;
    this.schedule = schedule;
    this.stepCount = schedule.reduce((n, s) => n + s.implementation.steps.length, 0);
    this.findLastUses();
    this.assignSlots();
  }

  private findLastUses(): void {
    let t = 0;
    for (const { node, implementation } of this.schedule) {
      t += implementation.steps.length;
      for (const v of node.ins) this.lastUse.set(v, Math.max(t - 1, 0));
    }
    for (const v of this.graph.outputs) this.lastUse.set(v, this.stepCount);
    // What reads a view reads the memory it looks at; a view may come after a node that could take it over.
    for (const { node } of [...this.schedule].reverse()) {
      if (node.op.view !== true) continue;
      const seen = Math.max(...node.outs.map((v) => this.lastUse.get(v) ?? 0));
      for (const v of node.ins) this.lastUse.set(v, Math.max(this.lastUse.get(v) ?? 0, seen));
    }
  }

  private sizeOf(v: Value): number {
    return byteSize(this.graph.values.get(v)!.type);
  }

  private newSlot(v: Value, first: number): number {
    const last = Math.max(first, this.lastUse.get(v) ?? first);
    this.slots.push({ sizeBytes: this.sizeOf(v), first, last });
    this.slotOf.set(v, this.slots.length - 1);
    return this.slots.length - 1;
  }

  /** Lets `v` live in the slot of `of`. */
  private alias(v: Value, of: Value): void {
    const index = this.slotOf.get(of);
    if (index === undefined) return;
    const slot = this.slots[index]!;
    slot.last = Math.max(slot.last, this.lastUse.get(v) ?? 0);
    this.slotOf.set(v, index);
  }

  private assignSlots(): void {
    for (const v of this.graph.inputs) this.newSlot(v, 0);
    let t = 0;
    for (const { node, implementation } of this.schedule) {
      const steps = implementation.steps.length;
      if (node.op.view === true) {
        for (const v of node.outs) this.aliasOrCopyOfConstant(v, node.ins[0]!);
        continue;
      }
      const shared = this.inPlaceInput(node, implementation, t);
      node.outs.forEach((v, i) => {
        if (i === 0 && shared !== null) this.alias(v, shared);
        else this.newSlot(v, t);
      });
      for (const step of implementation.steps) this.addWork(node, step, t, steps);
      t += steps;
    }
  }

  private aliasOrCopyOfConstant(v: Value, of: Value): void {
    if (this.slotOf.has(of)) this.alias(v, of);
    else invariant(this.known.tensor(of) !== undefined, () => `view of unknown value %${of}`);
  }

  /** The input whose memory output 0 may take over: its last use is this node, and nobody else sees it. */
  private inPlaceInput(node: Node, implementation: Implementation, t: number): Value | null {
    if (!implementation.inPlace) return null;
    const types = node.ins.map((v) => this.graph.values.get(v)!.type);
    const outs = node.outs.map((v) => this.graph.values.get(v)!.type);
    const index = node.op.inPlace?.(types, node.attrs, outs) ?? null;
    if (index === null) return null;
    const v = node.ins[index]!;
    const slot = this.slotOf.get(v);
    const out = node.outs[0]!;
    if (slot === undefined || this.sizeOf(v) !== this.sizeOf(out)) return null;
    if (node.ins.filter((x) => this.slotOf.get(x) === slot).length !== 1) return null;
    const end = t + implementation.steps.length - 1;
    return this.slots[slot]!.last <= end ? v : null;
  }

  private addWork(node: Node, step: Step, t: number, steps: number): void {
    for (const operand of step.operands) {
      if (operand.kind !== "work") continue;
      const key = this.workKey(node, operand.id);
      const known = this.workSlots.get(key);
      if (known === undefined) {
        this.slots.push({ sizeBytes: operand.bytes, first: t, last: t + steps - 1 });
        this.workSlots.set(key, this.slots.length - 1);
      } else {
        const slot = this.slots[known]!;
        slot.sizeBytes = Math.max(slot.sizeBytes, operand.bytes);
      }
    }
  }

  private workKey(node: Node, id: string): string {
    return `${node.outs[0]}:${id}`;
  }

  program(): CompileResult {
    const kernels: Kernel[] = [];
    const kernelIndex = new Map<string, number>();
    const intern = (kernel: Kernel): number => {
      const key = JSON.stringify({ ...kernel, name: "", dot8: stripName(kernel.dot8) }, bigintText);
      const known = kernelIndex.get(key);
      if (known !== undefined) return known;
      kernels.push(kernel);
      kernelIndex.set(key, kernels.length - 1);
      return kernels.length - 1;
    };
    const bound = this.bindConstants();
    const decode = decodeStep;
    const placed = placeConstants(this.pool, BASE_ADDRESS, intern, decode);
    const blocks: Block[] = this.slots.map((s) => ({ ...s }));
    const plan = planMemory(blocks);
    const arenaBase = placed.end;
    const slotAddress = (slot: number): number => arenaBase + plan.offsets[slot]!;
    const valueAddress = (v: Value): number => {
      const slot = this.slotOf.get(v);
      return slot === undefined ? placed.address(bound.get(v)!) : slotAddress(slot);
    };
    const nodes: CompiledNode[] = [];
    const steps: Call[] = [];
    for (const { node, implementation } of this.schedule) {
      const firstStep = steps.length;
      for (const step of implementation.steps) {
        const bases = step.operands.map((o) => {
          if (o.kind === "in") return valueAddress(node.ins[o.index]!);
          if (o.kind === "out") return valueAddress(node.outs[o.index]!);
          if (o.kind === "const") return placed.address(this.pool.add(o.tensor, o.name, o.storage));
          return slotAddress(this.workSlots.get(this.workKey(node, o.id))!);
        });
        const label = node.name || node.op.name;
        steps.push({ kernel: intern(step.kernel), bases, args: step.args, label });
      }
      nodes.push({
        node,
        ins: node.ins.map((v) => this.graph.values.get(v)!.type),
        outs: node.outs.map((v) => this.graph.values.get(v)!.type),
        implementation: implementation.name,
        firstStep,
        stepCount: steps.length - firstStep,
      });
    }
    const port = (v: Value, name: string): Port => ({
      name,
      type: this.graph.values.get(v)!.type,
      offset: valueAddress(v),
    });
    const program: Program = {
      name: this.graph.name,
      kernels,
      constants: placed.segments,
      init: placed.init,
      steps,
      inputs: this.graph.inputs.map((v) => port(v, this.graph.values.get(v)!.name)),
      outputs: this.graph.outputs.map((v, i) => port(v, this.graph.outputNames[i]!)),
      memoryBytes: arenaBase + plan.arenaBytes,
      arenaBytes: plan.arenaBytes,
      meta: this.graph.meta,
    };
    return { program, nodes, isConstant: (v) => this.known.tensor(v) !== undefined };
  }

  /** Adds every constant some step reads to the pool; returns the pool entry of constant values. */
  private bindConstants(): ReadonlyMap<Value, number> {
    const bound = new Map<Value, number>();
    const need = (v: Value): void => {
      if (this.slotOf.has(v) || bound.has(v)) return;
      const tensor = this.known.tensor(v);
      invariant(tensor !== undefined, () => `value %${v} has neither memory nor a constant`);
      const name = this.graph.values.get(v)?.name ?? "";
      const storage = this.known.storage(v);
      bound.set(v, this.pool.add(tensor, name, storage && plainStorage(storage, tensor.type)));
    };
    for (const { node, implementation } of this.schedule) {
      for (const step of implementation.steps) {
        for (const o of step.operands) {
          if (o.kind === "in") need(node.ins[o.index]!);
          if (o.kind === "const") this.pool.add(o.tensor, o.name, o.storage);
        }
      }
    }
    this.graph.outputs.forEach(need);
    return bound;
  }
}

const stripName = (k: Kernel | undefined): Kernel | undefined =>
  k === undefined ? undefined : { ...k, name: "" };

const bigintText = (_: string, v: unknown): unknown => (typeof v === "bigint" ? `${v}n` : v);
