/**
 * @file The training step as one graph: forward, loss, backward, update. Parameters and optimiser state are inputs
 * whose new values are outputs; compiled, they stay in the program's memory from one step to the next.
 */

import { gradients } from "../autodiff/backward.ts";
import { Calc, num } from "../autodiff/calc.ts";
import { isFused, unfused } from "../autodiff/unfuse.ts";
import { type Graph, GraphBuilder, isOp, type Node, type Value } from "../graph/graph.ts";
import type { Op } from "../graph/op.ts";
import { min } from "../ops/elementwise/min.ts";
import { sqrt } from "../ops/elementwise/sqrt.ts";
import { batchNorm } from "../ops/nn/batch-norm.ts";
import { batchNormTraining } from "../ops/nn/batch-norm-training.ts";
import { reduceSumSquare } from "../ops/reduce/index.ts";
import type { StatePair } from "../plan/state.ts";
import { isFloat } from "../tensor/dtype.ts";
import { elementCount, type Tensor, tensorType, zeros } from "../tensor/tensor.ts";
import { UserError } from "../util/errors.ts";
import type { Optimizer } from "./optimizers.ts";
import { RangeTracker } from "./qat/ranges.ts";

/** What a loss is made of. */
export interface LossInput {
  readonly g: GraphBuilder;
  /** The model's outputs by name. */
  readonly outputs: Readonly<Record<string, Value>>;
  /** Any value of the model by name, such as attention points. */
  value(name: string): Value;
  /** An input of the step beside the model's own, such as targets. */
  input(name: string, shape: readonly number[]): Value;
}

export interface StepOptions {
  readonly optimizer: Optimizer;
  /** The number to be made small. */
  loss(input: LossInput): Value;
  /** Which parameters are trained, by name; default all. */
  readonly trains?: (name: string) => boolean;
  /** Weight decay by name and tensor; default 0. */
  readonly decay?: (name: string, tensor: Tensor) => number;
  /**
   * "batch": normalise by the batch and keep running averages; "frozen": by the averages there are. Default
   * "batch".
   */
  readonly batchNorm?: "batch" | "frozen";
  /** Share of the old running average that a step keeps; default 0.9. */
  readonly keep?: number;
  /** Largest norm of all gradients together; default none. */
  readonly clipNorm?: number;
}

/** One tensor that lasts: a parameter, a running average, or optimiser state. */
export interface StateTensor {
  readonly name: string;
  readonly initial: Tensor;
  /** The constant of the model it stands for; none for optimiser state. */
  readonly constant?: Value;
}

export interface TrainingStep {
  readonly graph: Graph;
  readonly pairs: readonly StatePair[];
  readonly state: readonly StateTensor[];
  /** Names of the scalar inputs a step takes: "rate" and the optimiser's own. */
  readonly scalars: readonly string[];
  readonly trained: readonly string[];
}

/** Constants of the model that are learned, with a name each. */
export function parametersOf(graph: Graph): ReadonlyMap<Value, string> {
  const found = new Map<Value, string>();
  const taken = new Set<string>();
  for (const node of graph.nodes) {
    for (const position of node.op.parameters ?? []) {
      const v = node.ins[position];
      const tensor = v === undefined ? undefined : graph.constants.get(v);
      if (v === undefined || tensor === undefined || found.has(v)) continue;
      if (tensor.type.dtype !== "f32") continue;
      const base = graph.values.get(v)!.name || `${node.name || node.op.name}.${position}`;
      let name = base;
      for (let n = 2; taken.has(name); n++) name = `${base}#${n}`;
      taken.add(name);
      found.set(v, name);
    }
  }
  return found;
}

/** Builds the step of a float model whose first axis is the batch. */
export function trainingStep(model: Graph, options: StepOptions): TrainingStep {
  return new StepBuilder(model, options).build();
}

class StepBuilder {
  private readonly model: Graph;
  private readonly options: StepOptions;
  private readonly g: GraphBuilder;
  private readonly map = new Map<Value, Value>();
  private readonly state: StateTensor[] = [];
  private readonly pairs: StatePair[] = [];
  private readonly parameters: ReadonlyMap<Value, string>;
  /** Trained parameters as values of the step. */
  private readonly trained = new Map<string, Value>();
  private readonly averages: { readonly name: string; readonly next: Value }[] = [];
  private readonly ranges: RangeTracker;

  constructor(model: Graph, options: StepOptions) {
    this.model = model;
    this.options = options;
    this.g = new GraphBuilder(`${model.name}-step`);
    this.parameters = parametersOf(model);
    this.ranges = new RangeTracker(this.g, model, options.optimizer);
  }

  build(): TrainingStep {
    const { g, model, options } = this;
    for (const v of model.inputs) {
      const { name, type } = model.values.get(v)!;
      this.map.set(v, g.input(name, type));
    }
    this.addParameters();
    for (const node of model.nodes) this.addNode(node);
    const loss = this.addLoss();
    const names = [...this.trained.keys()];
    const found = gradients(
      g,
      loss,
      names.map((n) => this.trained.get(n)!),
    );
    const rate = this.scalar("rate");
    const scalars = Object.keys(options.optimizer.scalars);
    const given = Object.fromEntries(scalars.map((s) => [s, this.scalar(s)]));
    const clipped = this.clip(found);
    names.forEach((name, i) => this.update(name, clipped[i]!, rate, given));
    for (const { name, next } of [...this.averages, ...this.ranges.finish(given)]) {
      this.keep(name, next);
    }
    return {
      graph: g.build(),
      pairs: this.pairs,
      state: this.state,
      scalars: ["rate", ...scalars],
      trained: names,
    };
  }

  private scalar(name: string): Value {
    return this.g.input(name, tensorType("f32", []));
  }

  private addParameters(): void {
    const { trains = () => true } = this.options;
    for (const [v, name] of this.parameters) {
      if (!trains(name)) continue;
      const tensor = this.model.constants.get(v)!;
      const at = this.g.input(name, tensor.type);
      this.map.set(v, at);
      this.trained.set(name, at);
      this.state.push({ name, initial: tensor, constant: v });
    }
    if (this.trained.size === 0) {
      throw new UserError("E_ARGUMENT", `no parameter of ${this.model.name} is to be trained`, {
        hint: `the model has ${this.parameters.size} parameters; look at the names you froze`,
      });
    }
  }

  private value(v: Value): Value {
    let at = this.map.get(v);
    if (at === undefined) {
      at = this.g.constant(this.model.constants.get(v)!, this.model.values.get(v)!.name);
      this.map.set(v, at);
    }
    return at;
  }

  private addNode(node: Node): void {
    const { g } = this;
    const observed = this.ranges.declare(node);
    this.state.push(...observed.state);
    const ins = observed.ins.length > 0 ? observed.ins : node.ins.map((v) => this.value(v));
    this.ranges.observe(node, ins[0]!);
    const mapped: Node = { ...node, ins };
    let outs: readonly Value[];
    if (isOp(node, batchNorm) && this.options.batchNorm !== "frozen") {
      outs = [this.batchStatistics(node, ins)];
    } else if (isFused(node)) outs = [unfused(g, mapped)];
    else outs = g.applyAll(node.op as Op, ins, node.attrs, node.name);
    node.outs.forEach((v, i) => {
      this.map.set(v, outs[i]!);
      g.setName(outs[i]!, this.model.values.get(v)!.name);
    });
  }

  /** A batch normalisation by the statistics of the batch, whose running averages become state. */
  private batchStatistics(node: Node, ins: readonly Value[]): Value {
    const { g } = this;
    const c = new Calc(g);
    const [x, gamma, beta] = ins as [Value, Value, Value];
    const attrs = node.attrs as { readonly layout: "nhwc" | "nchw"; readonly epsilon: number };
    const own = { layout: attrs.layout, epsilon: attrs.epsilon };
    const [y, mean, variance] = g.applyAll(batchNormTraining, [x, gamma, beta], own, node.name);
    const { keep = 0.9 } = this.options;
    const count = elementCount(c.shape(x)) / elementCount(c.shape(gamma));
    const unbiased = c.mul(variance!, num(count / Math.max(1, count - 1)));
    for (const [position, fresh] of [
      [3, mean!],
      [4, unbiased],
    ] as const) {
      const v = node.ins[position]!;
      const tensor = this.model.constants.get(v);
      if (tensor === undefined) continue;
      const name = this.model.values.get(v)!.name || `${node.name}.${position}`;
      const old = g.input(name, tensor.type);
      this.state.push({ name, initial: tensor, constant: v });
      this.averages.push({
        name,
        next: c.add(c.mul(old, num(keep)), c.mul(fresh, num(1 - keep))),
      });
    }
    return y!;
  }

  private addLoss(): Value {
    const { g, model } = this;
    const outputs = Object.fromEntries(
      model.outputs.map((v, i) => [model.outputNames[i]!, this.value(v)]),
    );
    const byName = new Map([...model.values].map(([v, info]) => [info.name, v]));
    const loss = this.options.loss({
      g,
      outputs,
      value: (name) => {
        const v = byName.get(name);
        if (v === undefined) {
          throw new UserError("E_ARGUMENT", `${model.name} has no value named '${name}'`);
        }
        return this.value(v);
      },
      input: (name, shape) => g.input(name, tensorType("f32", shape)),
    });
    if (!isFloat(g.typeOf(loss).dtype)) throw new UserError("E_DTYPE", "the loss is no float");
    g.output(loss, "loss");
    for (const [name, v] of Object.entries(outputs)) g.output(v, name);
    return loss;
  }

  /** All gradients times one factor, so that their norm is at most `clipNorm`. */
  private clip(found: readonly Value[]): readonly Value[] {
    const { clipNorm } = this.options;
    if (clipNorm === undefined) return found;
    const c = new Calc(this.g);
    const squares = found.map((v) => {
      const axes = c.shape(v).map((_, i) => i);
      return this.g.apply(reduceSumSquare, [v], { axes, keepDims: false });
    });
    const norm = this.g.apply(sqrt, [squares.reduce((a, b) => c.add(a, b))]);
    const ratio = c.div(num(clipNorm), c.add(norm, num(1e-6)));
    const factor = this.g.apply(min, [ratio, c.scalar(1, ratio)]);
    return found.map((v) => c.mul(v, factor));
  }

  private update(
    name: string,
    gradient: Value,
    rate: Value,
    scalars: Readonly<Record<string, Value>>,
  ): void {
    const { optimizer, decay = () => 0 } = this.options;
    const parameter = this.trained.get(name)!;
    const type = this.g.typeOf(parameter);
    const initial = this.state.find((s) => s.name === name)!.initial;
    const slots = optimizer.slots.map((slot): readonly [string, Value] => {
      const own = `${name}:${slot}`;
      this.state.push({ name: own, initial: zeros(type) });
      return [slot, this.g.input(own, type)];
    });
    const next = optimizer.update({
      g: this.g,
      parameter,
      gradient,
      rate,
      decay: decay(name, initial),
      state: Object.fromEntries(slots),
      scalars,
    });
    this.keep(name, next.parameter);
    for (const slot of optimizer.slots) this.keep(`${name}:${slot}`, next.state[slot]!);
  }

  /** The state of the next step. */
  private keep(name: string, next: Value): void {
    const output = `${name}'`;
    this.g.output(next, output);
    this.pairs.push({ input: name, output });
  }
}
