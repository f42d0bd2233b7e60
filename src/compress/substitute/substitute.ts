/**
 * @file Dense convolutions of any graph become grouped, depthwise-separable or bottleneck ones (techniques of Moonshine,
 * arXiv:1711.02613), with the weights that come nearest to the original ones by least squares. Biases, residuals and
 * activations move to the last part; what stands behind stays.
 */
import type { Graph, Node } from "../../graph/graph.ts";
import { rewrite } from "../../graph/rewrite.ts";
import { UserError } from "../../util/errors.ts";
import { type Layer, layersOf } from "../factorise/layer.ts";
import { matOf, squaredNorm } from "../factorise/linear-algebra.ts";
import type { Cost } from "../factorise/method.ts";
import { denseCost } from "../factorise/ranks.ts";
import { inPlace } from "../factorise/stages.ts";
import type { Moments } from "./moments.ts";
import { rootOf, weighted } from "./project.ts";
import { type Form, formOf, type SubstituteType, substituteType } from "./type.ts";
import { type Between, formCost, type Written, written } from "./write.ts";

export interface SubstituteOptions {
  /** As `substituteType` reads it, for all layers or by the layer's name; "S" leaves a layer. */
  readonly block: string | ((layer: string) => string);
  /**
   * Layers by name, among all dense convolutions over two axes. Default: those with a window of more than one position,
   * but the first and the last multiplying layer.
   */
  readonly layers?: (name: string) => boolean;
  /**
   * What stands between the convolutions. "nothing" (default): the substitute is linear and the least-squares answer.
   * "norm": a batch normalisation that starts as the identity, so that an inference is the same. "relu": normalisation
   * and ReLU, Moonshine's block; it computes something else, and the weights are only where training starts.
   */
  readonly between?: Between;
  /** Second moments of what the layers see (`inputMoments`): results count instead of weights. */
  readonly moments?: Moments;
  /** Also where neither parameters nor operations become fewer; default false. */
  readonly always?: boolean;
}

/** One convolution that was replaced. */
export interface SubstitutedLayer {
  readonly name: string;
  readonly block: string;
  readonly form: Form;
  readonly before: Cost;
  readonly after: Cost;
  /** Of the linear part's weights, relative in the Frobenius norm. */
  readonly error: number;
  /** The same of results on inputs with the given moments; null: none were given. */
  readonly resultError: number | null;
}

export interface Substituted {
  readonly graph: Graph;
  readonly layers: readonly SubstitutedLayer[];
  /** Chosen layers that stayed, and why. */
  readonly kept: readonly { readonly name: string; readonly reason: string }[];
}

interface Plan {
  readonly layer: Layer;
  readonly type: SubstituteType;
  readonly form: Form;
}

/** The convolutions that a choice takes. */
export function substitutable(graph: Graph, only?: (name: string) => boolean): readonly Layer[] {
  const windows = ({ kernel }: Layer): boolean => kernel.height * kernel.width > 1;
  const found =
    only === undefined
      ? layersOf(graph).filter(windows)
      : layersOf(graph, { only, stem: true, classifier: true });
  return found.filter((l) => l.geometry !== null);
}

function planFor(layer: Layer, options: SubstituteOptions, text: string): Plan | string {
  const { between = "nothing", always = false } = options;
  const type = substituteType(text);
  const form = formOf(type, layer.kernel);
  if (typeof form === "string") return form;
  const [before, after] = [denseCost(layer), formCost(layer, form, between)];
  if (!always && after.params >= before.params && after.macs >= before.macs) {
    return `${type.name} saves neither parameters nor operations`;
  }
  return { layer, type, form };
}

/** Norm of the difference over that of the weights, both times the root of the moments where there are some. */
function errorOf(layer: Layer, dense: Float64Array, moments?: Moments): number {
  const { outputs, inputs, height, width, data } = layer.kernel;
  const taps = height * width;
  const own = moments?.get(layer.node);
  const root = own === undefined ? null : rootOf(own);
  const norm = (x: Float64Array): number => {
    const rows = matOf(outputs, inputs * taps, x);
    return Math.sqrt(squaredNorm(root === null ? x : weighted(rows, root).data));
  };
  const whole = norm(data);
  return whole === 0 ? 0 : norm(dense.map((x, i) => x - data[i]!)) / whole;
}

function plansOf(graph: Graph, options: SubstituteOptions) {
  const layers = substitutable(graph, options.layers);
  const plans = new Map<Node, Plan>();
  const kept: { name: string; reason: string }[] = [];
  for (const layer of layers) {
    const { block } = options;
    const text = typeof block === "string" ? block : block(layer.name);
    if (text === "S") continue;
    const plan = planFor(layer, options, text);
    if (typeof plan === "string") kept.push({ name: layer.name, reason: plan });
    else plans.set(layer.node, plan);
  }
  if (plans.size === 0) {
    const [one] = kept;
    throw new UserError("E_ARGUMENT", `no convolution of ${graph.name} is replaced`, {
      hint:
        one === undefined
          ? "float convolutions over two axes without groups are; by default not the first one, and none of 1 x 1: name them"
          : `${one.name}: ${one.reason}`,
    });
  }
  return { plans, kept };
}

/** What the replaced layers will cost, without their weights: sums over all of them, and which stay. */
export function substituteCost(graph: Graph, options: SubstituteOptions) {
  const { plans, kept } = plansOf(graph, options);
  const { between = "nothing" } = options;
  const layers = [...plans.values()].map(({ layer, form, type }) => ({
    ...{ name: layer.name, block: type.name, form },
    ...{ before: denseCost(layer), after: formCost(layer, form, between) },
  }));
  return { layers, kept };
}

/**
 * Replaces convolutions of a float graph. Throws UserError when the block is unknown or no layer can be replaced.
 */
export function substitute(graph: Graph, options: SubstituteOptions): Substituted {
  const { plans, kept } = plansOf(graph, options);
  const { between = "nothing", moments } = options;
  const made = new Map<Node, Written>();
  for (const [node, { layer, form }] of plans) {
    made.set(node, written(layer, form, between, moments?.get(node)));
  }
  const changed = rewrite(graph, (node, ctx) => {
    const own = made.get(node);
    return own === undefined ? null : inPlace(ctx, plans.get(node)!.layer, own.build);
  });
  const layers = [...plans].map(([node, { layer, type, form }]): SubstitutedLayer => {
    const { dense } = made.get(node)!;
    return {
      ...{ name: layer.name, block: type.name, form },
      ...{ before: denseCost(layer), after: formCost(layer, form, between) },
      error: errorOf(layer, dense),
      resultError: moments === undefined ? null : errorOf(layer, dense, moments),
    };
  });
  return { graph: changed, layers, kept };
}
