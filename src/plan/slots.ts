/**
 * @file Which values share memory and how long each stretch is live: views alias, element-wise nodes may run
 * in place, scratch lives for one node.
 */
import type { Graph, Node, Value } from "../graph/graph.ts";
import type { Implementation, Step } from "../primitives/primitive.ts";
import type { ChosenNode } from "../select/schedule.ts";
import { byteSize } from "../tensor/tensor.ts";
import { invariant } from "../util/errors.ts";
import type { Block } from "./memory.ts";

/** A node and how it is computed, in order of execution. */
export interface Scheduled extends ChosenNode {
  readonly implementation: Implementation;
}

/** A stretch of memory shared by the values that alias each other. */
interface Slot {
  sizeBytes: number;
  first: number;
  last: number;
}

/** Assigns a slot to every value that is computed, and to every piece of scratch. */
export class SlotTable {
  private readonly graph: Graph;
  private readonly schedule: readonly Scheduled[];
  private readonly isConstant: (v: Value) => boolean;
  private readonly kept: ReadonlySet<Value>;
  private readonly slots: Slot[] = [];
  private readonly slotOf = new Map<Value, number>();
  private readonly lastUse = new Map<Value, number>();
  private readonly workSlots = new Map<string, number>();
  private readonly stepCount: number;

  /** `kept`: inputs whose memory lasts from one run to the next, so that nothing else may use it. */
  constructor(
    graph: Graph,
    schedule: readonly Scheduled[],
    isConstant: (v: Value) => boolean,
    kept: ReadonlySet<Value> = new Set(),
  ) {
    this.graph = graph;
    this.schedule = schedule;
    this.isConstant = isConstant;
    this.kept = kept;
    this.stepCount = schedule.reduce((n, s) => n + s.implementation.steps.length, 0);
    this.findLastUses();
    this.assignSlots();
  }

  /** Lifetimes for the memory planner, one block a slot. */
  blocks(): Block[] {
    return this.slots.map((s) => ({ ...s }));
  }

  /** The slot of a computed value; undefined for constants and views of them. */
  slot(v: Value): number | undefined {
    return this.slotOf.get(v);
  }

  workSlot(node: Node, id: string): number {
    const slot = this.workSlots.get(this.workKey(node, id));
    invariant(slot !== undefined, () => `no scratch '${id}' for node '${node.name}'`);
    return slot;
  }

  private findLastUses(): void {
    let t = 0;
    for (const { node, implementation } of this.schedule) {
      t += implementation.steps.length;
      for (const v of node.ins) this.lastUse.set(v, Math.max(t - 1, 0));
    }
    for (const v of [...this.graph.outputs, ...this.kept]) this.lastUse.set(v, this.stepCount);
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
        for (const v of node.outs) this.view(v, node.ins[0]!);
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

  private view(v: Value, of: Value): void {
    if (this.slotOf.has(of)) this.alias(v, of);
    else invariant(this.isConstant(of), () => `view of unknown value %${of}`);
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
}
