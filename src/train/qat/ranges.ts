/**
 * @file Ranges of activations that a training step observes: moving averages of each batch's least and largest value,
 * which follow for some steps and then stay.
 */
import { Calc } from "../../autodiff/calc.ts";
import { type Graph, type GraphBuilder, isOp, type Node, type Value } from "../../graph/graph.ts";
import { max } from "../../ops/elementwise/max.ts";
import { min } from "../../ops/elementwise/min.ts";
import { sub } from "../../ops/elementwise/sub.ts";
import { fakeQuantize, quantParams, rowRange } from "../../ops/quant/index.ts";
import { reduceMax, reduceMin } from "../../ops/reduce/index.ts";
import type { StateTensor } from "../step.ts";

export interface ObserveOptions {
  /** Steps at the start in which ranges follow; then they stay. */
  readonly steps: number;
  /** The share of the old range that each of them keeps; default 0.99. */
  readonly keep?: number;
}

/** The scalar of a step: the share of the old ranges that it keeps. */
export const RANGE_KEEP = "range_keep";

export const rangeKeep =
  ({ steps, keep = 0.99 }: ObserveOptions) =>
  (step: number): number =>
    step <= steps ? keep : 1;

/** A range and what is seen of it in one step. */
interface Tracked {
  readonly names: readonly [string, string];
  readonly old: readonly [Value, Value];
  readonly seen: (readonly [Value, Value])[];
}

export interface NextRange {
  readonly name: string;
  readonly next: Value;
}

/** The observed ranges of a step under construction. */
export class RangeTracker {
  private readonly g: GraphBuilder;
  private readonly model: Graph;
  /** By the node that makes scale and zero point of a range. */
  private readonly tracked = new Map<Node, Tracked>();
  private readonly producers = new Map<Value, Node>();
  private readonly active: boolean;

  /** `active`: else ranges are constants. */
  constructor(g: GraphBuilder, model: Graph, active: boolean) {
    this.g = g;
    this.model = model;
    this.active = active;
    for (const node of model.nodes) {
      if (isOp(node, quantParams)) this.producers.set(node.outs[0]!, node);
    }
  }

  /** The state that stands for the range a node reads, if it is one that is observed. */
  declare(node: Node): { readonly state: readonly StateTensor[]; readonly ins: readonly Value[] } {
    const tensors = node.ins.map((v) => this.model.constants.get(v));
    const [least, largest] = tensors;
    if (!this.active || !isOp(node, quantParams) || least === undefined || largest === undefined) {
      return { state: [], ins: [] };
    }
    const names = node.ins.map((v, i) => this.model.values.get(v)!.name || `${node.name}.${i}`);
    const ins = names.map((name) => this.g.input(name, least.type));
    const pair = <T>(list: readonly T[]): readonly [T, T] => [list[0]!, list[1]!];
    this.tracked.set(node, { names: pair(names), old: pair(ins), seen: [] });
    const state = [least, largest].map((initial, i) => ({
      name: names[i]!,
      initial,
      constant: node.ins[i]!,
    }));
    return { state, ins };
  }

  /** Looks at what a fake quantiser rounds; `x` is its operand in the step. */
  observe(node: Node, x: Value): void {
    const source = isOp(node, fakeQuantize) ? this.producers.get(node.ins[1]!) : undefined;
    const range = source && this.tracked.get(source);
    if (range === undefined || this.model.constants.has(node.ins[0]!)) return;
    const [least, largest] = this.g.applyAll(rowRange, [x], {}, node.name);
    const whole = { axes: [0], keepDims: false };
    range.seen.push([
      this.g.apply(reduceMin, [least!], whole),
      this.g.apply(reduceMax, [largest!], whole),
    ]);
  }

  /** The ranges of the next step. */
  finish(keep: Value | undefined): readonly NextRange[] {
    if (keep === undefined) return [];
    const c = new Calc(this.g);
    return [...this.tracked.values()].flatMap(({ names, old, seen }) =>
      [min, max].map((op, end) => {
        const fresh = seen.map((pair) => pair[end]!).reduce((a, b) => this.g.apply(op, [a, b]));
        const share = this.g.apply(sub, [c.scalar(1, fresh), keep]);
        const move = c.mul(c.sub(fresh, old[end]!), share);
        return { name: names[end]!, next: c.add(old[end]!, move) };
      }),
    );
  }
}
