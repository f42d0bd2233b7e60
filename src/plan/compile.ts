/**
 * @file Graph to Program: picks an implementation for every node, packs constants, plans memory, fixes
 * addresses. The graph must already be in target form (see src/pipeline.ts).
 */

import { expandComposites } from "../graph/decompose.ts";
import { type Graph, type Node, typeOf, type Value } from "../graph/graph.ts";
import type { Call, Port, Program } from "../kernel/program.ts";
import { type Capabilities, WASM } from "../primitives/capabilities.ts";
import type { Candidate, Operand, Step } from "../primitives/primitive.ts";
import { plainStorage } from "../primitives/storage.ts";
import { enumerateCandidates, type PrimitiveTable } from "../select/candidates.ts";
import { firstChoice } from "../select/first-choice.ts";
import { type KnownValues, knownValues } from "../select/known-values.ts";
import type { NetworkNode, Selector } from "../select/network.ts";
import { applySelection, type ChosenNetwork } from "../select/schedule.ts";
import type { TensorType } from "../tensor/tensor.ts";
import { invariant } from "../util/errors.ts";
import { compactConstants } from "./compact.ts";
import { decodeStep } from "./decode.ts";
import { KernelTable } from "./kernel-table.ts";
import { type MemoryPlan, planMemory } from "./memory.ts";
import { ConstantPool, type PlacedConstants, placeConstants } from "./pool.ts";
import { type Scheduled, SlotTable } from "./slots.ts";
import { copyState, type StatePair, type StateValues, statePair } from "./state.ts";

export interface CompileOptions {
  /** Primitives to choose from, most preferred first, by op name. */
  readonly primitives: PrimitiveTable;
  /** What kernels are written for; default: WebAssembly. */
  readonly caps?: Capabilities;
  /** Chooses among the candidates; default: the first of each node. */
  readonly select?: Selector;
  /** What one run leaves for the next, by the names of inputs and outputs. */
  readonly state?: readonly StatePair[];
}

/** What was chosen for each node, for reports. */
export interface CompiledNode {
  readonly node: Node;
  readonly ins: readonly TensorType[];
  readonly outs: readonly TensorType[];
  readonly implementation: string;
  /** The chosen candidate, and what it was chosen from. */
  readonly candidate: Candidate;
  readonly choice: NetworkNode;
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
  const { primitives, caps = WASM, select = firstChoice } = options;
  const logical = expandComposites(source, (op) => op.lower === undefined);
  const known = knownValues(logical);
  const network = enumerateCandidates(logical, known, primitives, caps);
  const chosen = applySelection(network, select(network));
  // Conversions of constants are nodes of the chosen graph that need not run.
  const converted = chosen.graph.values.size !== logical.values.size;
  const values = converted ? knownValues(chosen.graph) : known;
  const state = (options.state ?? []).map((pair) => statePair(chosen.graph, pair));
  return new Assembly(chosen.graph, values, implementAll(chosen), caps, state).result();
}

/** Builds what was chosen. */
function implementAll({ nodes }: ChosenNetwork): Scheduled[] {
  return nodes.map((chosen) => ({ ...chosen, implementation: chosen.candidate.implement() }));
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
  private readonly state: readonly StateValues[];
  private readonly unpacks: boolean;

  constructor(
    graph: Graph,
    known: KnownValues,
    schedule: readonly Scheduled[],
    { vectorBytes: align, unpacks }: Capabilities,
    state: readonly StateValues[],
  ) {
    this.unpacks = unpacks;
    this.graph = graph;
    this.known = known;
    this.schedule = schedule;
    this.state = state;
    const kept = new Set(state.map((s) => s.input));
    this.slots = new SlotTable(graph, schedule, (v) => known.tensor(v) !== undefined, kept);
    this.bindConstants();
    this.placed = placeConstants(
      this.pool,
      BASE_ADDRESS,
      (k) => this.table.intern(k),
      decodeStep,
      align,
    );
    this.plan = planMemory(this.slots.blocks(), align);
  }

  /** Adds every constant some step reads to the pool. */
  private bindConstants(): void {
    for (const { node, implementation } of this.schedule) {
      for (const o of implementation.steps.flatMap((step) => step.operands)) {
        if (o.kind === "in") this.bind(node.ins[o.index]!);
        if (o.kind === "const" || o.kind === "made") this.constant(o);
      }
    }
    for (const v of this.graph.outputs) this.bind(v);
  }

  /** The pool's entry of a packed constant. */
  private constant(o: Extract<Operand, { readonly kind: "const" | "made" }>): number {
    if (o.kind === "const") return this.pool.add(o.tensor, o.name, o.storage);
    return this.pool.addMade(o.from, o.name, o, o.storage);
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
      case "made":
        return this.placed.address(this.constant(o));
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

  /** The call that moves a new state to the place of the old one; null where it was computed there. */
  private stateCopy({ input, output }: StateValues): Call | null {
    const bases = [this.valueAddress(output), this.valueAddress(input)];
    if (bases[0] === bases[1]) return null;
    const kernel = this.table.intern(copyState(typeOf(this.graph, input)));
    return { kernel, bases, args: [], label: this.graph.values.get(input)!.name };
  }

  result(): CompileResult {
    const { graph } = this;
    const steps: Call[] = [];
    const nodes = this.schedule.map(({ node, candidate, choice, implementation }): CompiledNode => {
      const firstStep = steps.length;
      for (const step of implementation.steps) steps.push(this.call(node, step));
      return {
        node,
        ins: node.ins.map((v) => typeOf(graph, v)),
        outs: node.outs.map((v) => typeOf(graph, v)),
        implementation: candidate.name,
        candidate,
        choice,
        firstStep,
        stepCount: steps.length - firstStep,
      };
    });
    for (const pair of this.state) {
      const copy = this.stateCopy(pair);
      if (copy !== null) steps.push(copy);
    }
    const old = new Set(this.state.map((pair) => pair.input));
    const fresh = new Set(this.state.map((pair) => pair.output));
    const inputs = graph.inputs.filter((v) => !old.has(v));
    const state = this.state.map(({ input }) => this.port(input, graph.values.get(input)!.name));
    const program: Program = {
      name: graph.name,
      kernels: this.table.kernels,
      constants: this.placed.segments,
      init: this.placed.init,
      steps,
      inputs: inputs.map((v) => this.port(v, graph.values.get(v)!.name)),
      outputs: graph.outputs
        .map((v, i) => this.port(v, graph.outputNames[i]!))
        .filter((_, i) => !fresh.has(graph.outputs[i]!)),
      ...(state.length === 0 ? {} : { state }),
      memoryBytes: this.placed.end + this.plan.arenaBytes,
      arenaBytes: this.plan.arenaBytes,
      meta: graph.meta,
    };
    const compact = this.unpacks ? compactConstants(program, this.table) : program;
    return { program: compact, nodes, isConstant: (v) => this.known.tensor(v) !== undefined };
  }
}
