/** @file Optimisers: what becomes of one parameter and its state, as graph. */
import { Calc, num } from "../autodiff/calc.ts";
import type { GraphBuilder, Value } from "../graph/graph.ts";
import { sqrt } from "../ops/elementwise/sqrt.ts";

/** What an optimiser sees of one parameter in one step. */
export interface UpdateInput {
  readonly g: GraphBuilder;
  readonly parameter: Value;
  readonly gradient: Value;
  /** The learning rate of this step, a scalar. */
  readonly rate: Value;
  /** Weight decay of this parameter. */
  readonly decay: number;
  /** State values by name, each of the parameter's shape. */
  readonly state: Readonly<Record<string, Value>>;
  /** Scalars that the loop gives each step, by name. */
  readonly scalars: Readonly<Record<string, Value>>;
}

export interface Update {
  readonly parameter: Value;
  readonly state: Readonly<Record<string, Value>>;
}

export interface Optimizer {
  readonly name: string;
  /** State of every parameter, which starts as zeros. */
  readonly slots: readonly string[];
  /** Scalars as functions of the number of the step, counted from 1. */
  readonly scalars: Readonly<Record<string, (step: number) => number>>;
  update(input: UpdateInput): Update;
}

export interface SgdOptions {
  readonly momentum?: number;
  readonly nesterov?: boolean;
}

/** Stochastic gradient descent, decay added to the gradient, as PyTorch's SGD. */
export function sgd({ momentum = 0.9, nesterov = false }: SgdOptions = {}): Optimizer {
  return {
    name: "sgd",
    slots: momentum === 0 ? [] : ["momentum"],
    scalars: {},
    update: ({ g, parameter, gradient, rate, decay, state }) => {
      const c = new Calc(g);
      const d = decay === 0 ? gradient : c.add(c.mul(parameter, num(decay)), gradient);
      if (momentum === 0) return { parameter: c.sub(parameter, c.mul(d, rate)), state: {} };
      const m = c.add(c.mul(state["momentum"]!, num(momentum)), d);
      const step = nesterov ? c.add(c.mul(m, num(momentum)), d) : m;
      return { parameter: c.sub(parameter, c.mul(step, rate)), state: { momentum: m } };
    },
  };
}

export interface AdamOptions {
  readonly beta1?: number;
  readonly beta2?: number;
  readonly epsilon?: number;
  /** Decay apart from the gradient (AdamW, arXiv:1711.05101). */
  readonly decoupled?: boolean;
}

/** Adam (arXiv:1412.6980) with corrected bias, as PyTorch's Adam and AdamW. */
export function adam(options: AdamOptions = {}): Optimizer {
  const { beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8, decoupled = false } = options;
  return {
    name: decoupled ? "adamw" : "adam",
    slots: ["first", "second"],
    scalars: {
      correction1: (step) => 1 / (1 - beta1 ** step),
      correction2: (step) => 1 / Math.sqrt(1 - beta2 ** step),
    },
    update: ({ g, parameter, gradient, rate, decay, state, scalars }) => {
      const c = new Calc(g);
      const plain = decay === 0 || decoupled;
      const d = plain ? gradient : c.add(c.mul(parameter, num(decay)), gradient);
      const first = c.add(c.mul(state["first"]!, num(beta1)), c.mul(d, num(1 - beta1)));
      const square = c.mul(c.mul(d, d), num(1 - beta2));
      const second = c.add(c.mul(state["second"]!, num(beta2)), square);
      const root = c.mul(g.apply(sqrt, [second]), scalars["correction2"]!);
      const direction = c.div(c.mul(first, scalars["correction1"]!), c.add(root, num(epsilon)));
      const shrunk =
        decoupled && decay !== 0
          ? c.sub(parameter, c.mul(parameter, c.mul(rate, num(decay))))
          : parameter;
      return {
        parameter: c.sub(shrunk, c.mul(direction, rate)),
        state: { first, second },
      };
    },
  };
}
