/**
 * @file The training step as one graph: forward, loss, backward, update. Parameters and optimiser state are inputs
 * whose new values are outputs; compiled, they stay in the program's memory from one step to the next.
 */

import { gradients } from "../autodiff/backward.ts";
import { Calc, num } from "../autodiff/calc.ts";
import { isFused, unfused } from "../autodiff/unfuse.ts";
import { type LayerWeights, layerWeights, type Masks } from "../compress/sparsity/index.ts";
import { type Graph, GraphBuilder, isOp, type Node, type Value } from "../graph/graph.ts";
import type { Op } from "../graph/op.ts";
import { batchNorm } from "../ops/nn/batch-norm.ts";
import { batchNormTraining } from "../ops/nn/batch-norm-training.ts";
import type { StatePair } from "../plan/state.ts";
import { isFloat } from "../tensor/dtype.ts";
import { elementCount, type Tensor, tensorType, zeros } from "../tensor/tensor.ts";
import { UserError } from "../util/errors.ts";
import { averaged, averageKeep, KEEP } from "./average.ts";
import { type ClipOptions, clipped } from "./clip.ts";
import { trainingAttrs } from "./forms.ts";
import { masked, maskedTensor, maskName, maskTensor } from "./masks.ts";
import { type Network, outputsOf, valueNamed } from "./network.ts";
import type { Optimizer } from "./optimizers.ts";
import {
  type DecayRule,
  decayRule,
  type ParameterTag,
  parametersOf,
  tagOfTensor,
  tagsOf,
  withOwnParameters,
} from "./parameters.ts";
import { type ObserveOptions, RANGE_KEEP, RangeTracker, rangeKeep } from "./qat/ranges.ts";
import { type Recompute, type StepParts, withRecompute } from "./recompute.ts";
import { extraState, isLatent, type MaskUpdate, maskedGradient, settled } from "./sparse/update.ts";
import { addTeacher, type TeacherOptions } from "./teacher.ts";

/** What a loss is made of. */
export interface LossInput {
  readonly g: GraphBuilder;
  /** The model's outputs by name. */
  readonly outputs: Readonly<Record<string, Value>>;
  /** Any value of the model by name, such as attention points. */
  value(name: string): Value;
  /** An input of the step beside the model's own, such as targets. Asked for again, it is the same. */
  input(name: string, shape: readonly number[]): Value;
  /** A trained parameter beside the model's own, which is no part of the trained model. */
  parameter(name: string, initial: Tensor): Value;
  readonly student: Network;
  readonly teacher: Network | null;
}

export interface StepOptions extends ClipOptions {
  readonly optimizer: Optimizer;
  /** The number to be made small. */
  loss(input: LossInput): Value;
  /** Which parameters are trained, by name; default all. */
  readonly trains?: (name: string) => boolean;
  /** Weight decay: a number for the weights of convolutions and matrix products, or a rule; default 0. */
  readonly decay?: number | DecayRule;
  /** Normalise by the "batch" (default), by running averages ("frozen"), or by the batch if the scale is "trained". */
  readonly batchNorm?: "batch" | "frozen" | "trained";
  /** Share of the old running average of a batch normalisation that a step keeps; default 0.9. */
  readonly keep?: number;
  /**
   * Keeps averages of parameters and running averages over the steps, of which each keeps this share in the long run
   * (0.999 is usual); default: none.
   */
  readonly average?: number;
  /**
   * "sqrt": keep few activations for the backward pass and compute the others again, at the cost of about one more
   * forward pass; names of values or nodes: keep these; default "none".
   */
  readonly recompute?: "none" | "sqrt" | readonly string[];
  /** Follows the ranges of a model from `prepareQat` with the scheme "minmax"; default: they stay. */
  readonly observe?: ObserveOptions;
  /** Weights that stay 0, by the names of parameters: state, which `withMasks` changes; default none. */
  readonly masks?: Masks;
  /** What becomes of masked weights; default "zero". */
  readonly maskUpdate?: MaskUpdate;
  /** A trained network that sees the same inputs, in evaluation mode; no gradient flows through it. */
  readonly teacher?: Graph | TeacherOptions;
}

/** One tensor that lasts: a parameter, a running average, or optimiser state. */
export interface StateTensor {
  readonly name: string;
  readonly initial: Tensor;
  /** The constant of the model it stands for; none for optimiser state. */
  readonly constant?: Value;
  /** The constant of which it is the average over the steps. */
  readonly averageOf?: Value;
  /** The constant that it masks. */
  readonly maskOf?: Value;
}

export interface TrainingStep {
  readonly graph: Graph;
  /** What is trained: state names its constants. */
  readonly model: Graph;
  readonly pairs: readonly StatePair[];
  readonly state: readonly StateTensor[];
  /** Names of the scalar inputs a step takes: "rate", the optimiser's, and those of `given`. */
  readonly scalars: readonly string[];
  /** Scalars beside the optimiser's as functions of the number of the step, counted from 1. */
  readonly given: Readonly<Record<string, (step: number) => number>>;
  readonly trained: readonly string[];
  /** What is computed twice, and what that saves; null: nothing. */
  readonly recompute: Recompute | null;
}

export { parametersOf } from "./parameters.ts";

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
  private readonly masks = new Map<string, { readonly mask: Value; readonly used: Value }>();
  private readonly maskUpdate: MaskUpdate;
  private readonly tags: ReadonlyMap<Value, ParameterTag>;
  private readonly weights: readonly LayerWeights[];
  /** What each state becomes. */
  private readonly next = new Map<string, Value>();
  private readonly averages: { readonly name: string; readonly next: Value }[] = [];
  private readonly ranges: RangeTracker;

  constructor(model: Graph, options: StepOptions) {
    this.model = withOwnParameters(model);
    this.options = options;
    this.g = new GraphBuilder(`${model.name}-step`);
    this.maskUpdate = options.maskUpdate ?? { kind: "zero" };
    this.parameters = parametersOf(this.model);
    this.tags = tagsOf(this.model);
    this.weights = options.masks === undefined ? [] : layerWeights(this.model, this.parameters);
    this.ranges = new RangeTracker(this.g, this.model, options.observe !== undefined);
  }

  build(): TrainingStep {
    const { g, model, options } = this;
    for (const v of model.inputs) {
      const { name, type } = model.values.get(v)!;
      this.map.set(v, g.input(name, type));
    }
    this.addParameters();
    const teacher = this.addTeacher();
    const position = (): number => g.nodesFrom(0).length;
    const start = position();
    for (const node of model.nodes) this.addNode(node);
    const end = position();
    const loss = this.addLoss(teacher);
    const backward = position();
    const names = [...this.trained.keys()];
    const sources = names.map((n) => this.masks.get(n)?.used ?? this.trained.get(n)!);
    const found = this.ofMasked(names, gradients(g, loss, sources));
    const given = this.given();
    const scalars = ["rate", ...Object.keys(options.optimizer.scalars), ...Object.keys(given)];
    const values = Object.fromEntries(scalars.map((name) => [name, this.scalar(name)]));
    const limited = clipped(g, found, options);
    names.forEach((name, i) => this.update(name, limited[i]!, values));
    const ranges = this.ranges.finish(values[RANGE_KEEP]);
    for (const { name, next } of [...this.averages, ...ranges]) this.keep(name, next);
    if (options.average !== undefined) this.keepAverages(values[KEEP]!);
    const { pairs, state } = this;
    const { graph, recompute } = this.recomputed(g.build(), { start, end, backward });
    return { graph, model, pairs, state, scalars, given, trained: names, recompute };
  }

  private recomputed(graph: Graph, parts: StepParts) {
    const { recompute = "none" } = this.options;
    if (recompute === "none") return { graph, recompute: null };
    const named = (name: string): Value => this.value(valueNamed(this.model, name));
    return withRecompute(graph, parts, recompute === "sqrt" ? null : recompute.map(named));
  }

  private given(): TrainingStep["given"] {
    const { average, observe } = this.options;
    return {
      ...(average !== undefined && { [KEEP]: averageKeep(average) }),
      ...(observe !== undefined && { [RANGE_KEEP]: rangeKeep(observe) }),
    };
  }

  private scalar(name: string): Value {
    return this.g.input(name, tensorType("f32", []));
  }

  private addParameters(): void {
    const { trains = () => true } = this.options;
    for (const [v, name] of this.parameters) {
      if (!trains(name)) continue;
      this.map.set(v, this.addMasked(name, this.model.constants.get(v)!, v));
    }
    if (this.trained.size === 0) {
      throw new UserError("E_ARGUMENT", `no parameter of ${this.model.name} is to be trained`, {
        hint: `the model has ${this.parameters.size} parameters; look at the names you froze`,
      });
    }
  }

  /** A parameter under its mask, if it has one. */
  private addMasked(name: string, initial: Tensor, constant: Value): Value {
    const mask = maskTensor(this.options.masks, name, initial);
    if (mask === null) return this.addParameter(name, initial, constant);
    const own = isLatent(this.maskUpdate) ? initial : maskedTensor(initial, mask);
    const at = this.addParameter(name, own, constant);
    const input = this.g.input(maskName(name), mask.type);
    this.state.push({ name: maskName(name), initial: mask, maskOf: constant });
    const used = masked(this.g, at, input);
    this.masks.set(name, { mask: input, used });
    return used;
  }

  /** Gradients as the optimiser takes them, with the state that masked ones leave. */
  private ofMasked(names: readonly string[], found: readonly Value[]): readonly Value[] {
    return found.map((dense, i) => {
      const name = names[i]!;
      const own = this.masks.get(name);
      if (own === undefined) return dense;
      const parameter = this.trained.get(name)!;
      const extra = extraState(this.g, this.maskUpdate, name, { parameter, dense });
      if (extra !== null) {
        this.keep(extra.name, extra.next(this.slot(extra.name, parameter)));
      }
      return maskedGradient(this.g, this.maskUpdate, { parameter, mask: own.mask, dense });
    });
  }

  private addParameter(name: string, initial: Tensor, constant?: Value): Value {
    if (this.trained.has(name)) {
      throw new UserError("E_ARGUMENT", `there are two parameters named '${name}'`, {
        where: name,
        hint: "give parameters of the loss names that the model does not use",
      });
    }
    const at = this.g.input(name, initial.type);
    this.trained.set(name, at);
    this.state.push({ name, initial, ...(constant !== undefined && { constant }) });
    return at;
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
    let outs: readonly Value[];
    if (isOp(node, batchNorm) && this.byBatch(node)) {
      outs = [this.batchStatistics(node, ins)];
    } else if (isFused(node)) outs = [unfused(g, { ...node, ins })];
    else outs = g.applyAll(node.op as Op, ins, trainingAttrs(this.model, node), node.name);
    node.outs.forEach((v, i) => {
      this.map.set(v, outs[i]!);
      g.setName(outs[i]!, this.model.values.get(v)!.name);
    });
  }

  private byBatch(node: Node): boolean {
    const { batchNorm: by = "batch" } = this.options;
    return by === "trained" ? this.trained.has(this.parameters.get(node.ins[1]!)!) : by === "batch";
  }

  /** A batch normalisation by the statistics of the batch, whose running averages become state. */
  private batchStatistics(node: Node, ins: readonly Value[]): Value {
    const { g } = this;
    const c = new Calc(g);
    const [x, gamma, beta] = ins as [Value, Value, Value];
    const own = node.attrs as { readonly layout: "nhwc" | "nchw"; readonly epsilon: number };
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
      const name = this.freshName(this.model.values.get(v)!.name || `${node.name}.${position}`);
      const old = g.input(name, tensor.type);
      this.state.push({ name, initial: tensor, constant: v });
      this.averages.push({
        name,
        next: c.add(c.mul(old, num(keep)), c.mul(fresh, num(1 - keep))),
      });
    }
    return y!;
  }

  private addTeacher(): Network | null {
    const { teacher } = this.options;
    if (teacher === undefined) return null;
    const inputs = this.model.inputs.map((v) => {
      return { name: this.model.values.get(v)!.name, value: this.value(v) };
    });
    return addTeacher(this.g, teacher, inputs);
  }

  /** The name, with a number where a state has it already. */
  private freshName(base: string): string {
    let name = base;
    for (let n = 2; this.state.some((s) => s.name === name); n++) name = `${base}#${n}`;
    return name;
  }

  private addLoss(teacher: Network | null): Value {
    const { g, model } = this;
    const student: Network = { graph: model, at: (v) => this.value(v) };
    const outputs = outputsOf(student);
    const inputs = new Map<string, Value>();
    const loss = this.options.loss({
      g,
      outputs,
      value: (name) => this.value(valueNamed(model, name)),
      input: (name, shape) => {
        const known = inputs.get(name) ?? g.input(name, tensorType("f32", shape));
        inputs.set(name, known);
        return known;
      },
      parameter: (name, initial) => this.addParameter(name, initial),
      student,
      teacher,
    });
    if (!isFloat(g.typeOf(loss).dtype)) throw new UserError("E_DTYPE", "the loss is no float");
    g.output(loss, "loss");
    for (const [name, v] of Object.entries(outputs)) g.output(v, name);
    return loss;
  }

  private update(name: string, gradient: Value, scalars: Readonly<Record<string, Value>>): void {
    const { optimizer, decay = 0 } = this.options;
    const parameter = this.trained.get(name)!;
    const { initial, constant } = this.state.find((s) => s.name === name)!;
    const tag = constant === undefined ? tagOfTensor(initial) : this.tags.get(constant)!;
    const slots = optimizer.slots.map((s) => [s, this.slot(`${name}:${s}`, parameter)] as const);
    const next = optimizer.update({
      g: this.g,
      parameter,
      gradient,
      rate: scalars["rate"]!,
      decay: decayRule(decay)(name, initial, tag),
      state: Object.fromEntries(slots),
      scalars,
    });
    const own = this.masks.get(name);
    const layer = this.weights.find((w) => w.name === name);
    const parts = { parameter, updated: next.parameter };
    const end = own ? settled(this.g, this.maskUpdate, { ...parts, ...own }, layer) : null;
    this.keep(name, end?.parameter ?? next.parameter);
    if (end !== null) this.keep(maskName(name), end.mask);
    for (const slot of optimizer.slots) this.keep(`${name}:${slot}`, next.state[slot]!);
  }

  /** State of a parameter's type that starts as zeros. */
  private slot(name: string, like: Value): Value {
    const type = this.g.typeOf(like);
    this.state.push({ name, initial: zeros(type) });
    return this.g.input(name, type);
  }

  /** Averages over the steps of all that is the model's. */
  private keepAverages(keep: Value): void {
    for (const { name, initial, constant } of [...this.state]) {
      if (constant === undefined) continue;
      const own = `${name}:average`;
      this.state.push({ name: own, initial, averageOf: constant });
      const old = this.g.input(own, initial.type);
      this.keep(own, averaged(this.g, old, this.next.get(name)!, keep));
    }
  }

  /** The state of the next step. */
  private keep(name: string, next: Value): void {
    const output = `${name}'`;
    this.next.set(name, next);
    this.g.output(next, output);
    this.pairs.push({ input: name, output });
  }
}
