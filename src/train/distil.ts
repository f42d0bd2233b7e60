/** @file A ready-made loss for students: labels, the teacher's softened outputs, its attention, hints. */
import { Calc, num } from "../autodiff/calc.ts";
import type { GraphBuilder, Value } from "../graph/graph.ts";
import { conv } from "../ops/nn/conv.ts";
import { tensorOf } from "../tensor/tensor.ts";
import { UserError } from "../util/errors.ts";
import { makeRng } from "../util/rng.ts";
import { attentionTransfer, crossEntropy, distillation, meanSquaredError } from "./losses.ts";
import { logitsOf, type Network } from "./network.ts";
import { attentionPoints, type Feature, featureNamed } from "./points.ts";
import type { LossInput } from "./step.ts";

/** Names of values or nodes; one name for both networks, or one each. */
export type PointNames = string | { readonly student: string; readonly teacher: string };

export interface DistilOptions {
  /** Default 4. */
  readonly temperature?: number;
  /** Share of Hinton's term; the labels' is the rest. Default 0. */
  readonly alpha?: number;
  /** Weight of attention transfer; 1000 is usual (techniques: 3 / points times this at every point). Default 0. */
  readonly beta?: number;
  /** Weight of the mean FitNets hint; default 0. */
  readonly hint?: number;
  /** Where attention and hints are taken; default: the last output of each resolution. */
  readonly points?: readonly PointNames[];
  /** Name of the input of target distributions [batch, classes]; default "target". */
  readonly target?: string;
  /** Name of an input with the teacher's outputs [batch, classes], as `teacherOutputs` gives them; default: the teacher runs. */
  readonly outputs?: string;
  /** Of the hints' regressors; default 1. */
  readonly seed?: number;
}

/** The same place in both networks. */
export interface PointPair {
  readonly student: Feature;
  readonly teacher: Feature;
}

const sizeOf = ({ height, width }: Feature): string => `${height}x${width}`;

const listed = (features: readonly Feature[]): string =>
  features.length === 0
    ? "none"
    : features.map((f) => `'${f.name}' ${sizeOf(f)}x${f.channels}`).join(", ");

function mismatch(student: readonly Feature[], teacher: readonly Feature[]): UserError {
  const got = `student: ${listed(student)}; teacher: ${listed(teacher)}`;
  return new UserError("E_SHAPE", `attention points of different resolutions. ${got}`, {
    hint: "give points of equal height and width by name",
  });
}

/** Pairs of points by name, or the last outputs of each resolution. Throws UserError when they do not fit. */
export function pointPairs(
  student: Network,
  teacher: Network,
  names?: readonly PointNames[],
): readonly PointPair[] {
  const found = (network: Network, side: "student" | "teacher"): readonly Feature[] =>
    names === undefined
      ? attentionPoints(network.graph)
      : names.map((n) => featureNamed(network.graph, typeof n === "string" ? n : n[side]));
  const [s, t] = [found(student, "student"), found(teacher, "teacher")];
  const fits = s.length === t.length && s.every((f, i) => sizeOf(f) === sizeOf(t[i]!));
  if (!fits || s.length === 0) throw mismatch(s, t);
  return s.map((f, i) => ({ student: f, teacher: t[i]! }));
}

/** The feature with its channels last. */
function pictureOf(c: Calc, network: Network, { value, layout }: Feature): Value {
  return c.transpose(network.at(value), layout === "nhwc" ? [0, 1, 2, 3] : [0, 2, 3, 1]);
}

/**
 * A FitNets hint (arXiv:1412.6550): the mean squared difference of the features [batch, height, width, channels];
 * where channels differ the student's go through a trained 1x1 convolution, which `parameter` makes.
 */
export function hintLoss(
  g: GraphBuilder,
  student: Value,
  teacher: Value,
  regressor: (shape: readonly number[]) => Value,
): Value {
  const [from, to] = [student, teacher].map((v) => g.typeOf(v).shape[3]!) as [number, number];
  if (from === to) return meanSquaredError(g, student, teacher);
  const attrs = {
    layout: "nhwc" as const,
    stride: [1, 1],
    padBegin: [0, 0],
    padEnd: [0, 0],
    dilation: [1, 1],
    groups: 1,
  };
  const y = g.apply(conv, [student, regressor([to, 1, 1, from])], attrs, "hint");
  return meanSquaredError(g, y, teacher);
}

/** A loss that asks for a teacher where it needs one. */
export function distil(options: DistilOptions): (input: LossInput) => Value {
  const { temperature = 4, alpha = 0, target = "target" } = options;
  const { beta = 0, hint = 0, outputs } = options;
  return (input) => {
    const { g, student } = input;
    const c = new Calc(g);
    const logits = logitsOf(student);
    // An input of the step also where labels weigh nothing, so that loops need not tell.
    const labels = input.input(target, c.shape(logits));
    const terms: Value[] = [];
    const add = (weight: number, term: () => Value): void => {
      if (weight !== 0) terms.push(c.mul(term(), num(weight)));
    };
    add(1 - alpha, () => crossEntropy(g, logits, labels));
    const says = (): Value =>
      outputs === undefined ? logitsOf(teacherOf(input)) : input.input(outputs, c.shape(logits));
    add(alpha, () => distillation(g, logits, says(), temperature));
    if (beta !== 0 || hint !== 0) {
      const pairs = pointPairs(student, teacherOf(input), options.points);
      for (const [i, pair] of pairs.entries()) {
        const s = pictureOf(c, student, pair.student);
        const t = pictureOf(c, teacherOf(input), pair.teacher);
        add((beta * 3) / pairs.length, () => attentionTransfer(g, s, t));
        const regressor = regressorOf(input, `hint${i}.weight`, (options.seed ?? 1) + i);
        add(hint / pairs.length, () => hintLoss(g, s, t, regressor));
      }
    }
    if (terms.length === 0) throw new UserError("E_ARGUMENT", "every term of the loss weighs 0");
    return terms.reduce((a, b) => c.add(a, b));
  };
}

function teacherOf({ teacher }: LossInput): Network {
  if (teacher !== null) return teacher;
  throw new UserError("E_ARGUMENT", "this loss needs a teacher", {
    hint: "give the training step the option `teacher`",
  });
}

/** Makes initial weights [outputs, 1, 1, inputs] of variance 1 / inputs. */
const regressorOf =
  ({ parameter }: LossInput, name: string, seed: number) =>
  (shape: readonly number[]): Value => {
    const rng = makeRng(seed);
    const [outputs, , , inputs] = shape as [number, number, number, number];
    const draw = (): number => rng.normal() / Math.sqrt(inputs);
    const data = Float32Array.from({ length: outputs * inputs }, draw);
    return parameter(name, tensorOf("f32", shape, data));
  };
