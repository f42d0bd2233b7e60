/** @file Losses of networks with early exits: all heads on labels, or exits on what the last head says. */
import { Calc, num } from "../../autodiff/calc.ts";
import type { GraphBuilder, Value } from "../../graph/graph.ts";
import { floor } from "../../ops/elementwise/floor.ts";
import { softmax } from "../../ops/reduce/index.ts";
import { UserError } from "../../util/errors.ts";
import { crossEntropy } from "../losses.ts";
import { logitsOf } from "../network.ts";
import type { LossInput } from "../step.ts";
import { exitsOf } from "./branches.ts";

export interface ExitLossOptions {
  /** "joint": labels everywhere. "self": exits also learn the last head's softened outputs. Default "joint". */
  readonly mode?: "joint" | "self";
  /** Of the exits' losses beside the last head's, one number or one each; default 0.5. */
  readonly weights?: number | readonly number[];
  /** Under "self": temperature (default 3), and the share of the softened outputs (default 0.7). */
  readonly temperature?: number;
  readonly alpha?: number;
  /** Name of the input of target distributions [batch, classes]; default "target". */
  readonly target?: string;
}

const STEPS = 2 ** 24;

/**
 * Softened outputs of a head as a target, to 2^-24. Rounding has no gradient, so the head is not drawn towards those
 * who learn from it.
 */
function asTarget(g: GraphBuilder, logits: Value, temperature: number): Value {
  const c = new Calc(g);
  const axis = c.shape(logits).length - 1;
  const p = g.apply(softmax, [c.mul(logits, num(1 / temperature))], { axis });
  return c.mul(g.apply(floor, [c.mul(p, num(STEPS))]), num(1 / STEPS));
}

/** What the loss takes of the step's. */
type Asked = Pick<LossInput, "g" | "outputs" | "input"> & {
  readonly student: Pick<LossInput["student"], "graph" | "at">;
};

/** The loss of a network that `withExits` made. Throws UserError when it has no exits, or weights do not fit them. */
export function exitLoss(options: ExitLossOptions = {}): (input: Asked) => Value {
  const { mode = "joint", weights = 0.5, temperature = 3, alpha = 0.7 } = options;
  return ({ g, student, outputs, input }) => {
    const c = new Calc(g);
    const exits = exitsOf(student.graph);
    const each = typeof weights === "number" ? exits.map(() => weights) : weights;
    if (exits.length === 0 || each.length !== exits.length) {
      throw new UserError("E_ARGUMENT", `${each.length} weights for ${exits.length} exits`, {
        hint: "withExits adds exits; give one weight for each, or one for all",
      });
    }
    const last = logitsOf(student);
    const labels = input(options.target ?? "target", c.shape(last));
    const soft = mode === "self" ? asTarget(g, last, temperature) : null;
    const own = (logits: Value): Value => {
      const hard = crossEntropy(g, logits, labels);
      if (soft === null) return hard;
      const softened = c.mul(logits, num(1 / temperature));
      const learned = c.mul(crossEntropy(g, softened, soft), num(alpha * temperature ** 2));
      return c.add(learned, c.mul(hard, num(1 - alpha)));
    };
    return exits.reduce(
      (sum, { name }, i) => c.add(sum, c.mul(own(outputs[name]!), num(each[i]!))),
      crossEntropy(g, last, labels),
    );
  };
}
