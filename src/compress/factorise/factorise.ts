/** @file Layers of a trained graph in fewer weights: each chosen layer becomes a chain of smaller ordinary ones. */
import type { Executor, Graph, Node, Value } from "../../graph/graph.ts";
import { GraphBuilder } from "../../graph/graph.ts";
import { type RewriteContext, rewrite } from "../../graph/rewrite.ts";
import { type Tensor, toNumbers } from "../../tensor/tensor.ts";
import { UserError } from "../../util/errors.ts";
import { tagCompressed } from "../compressed.ts";
import { withOutputs } from "../quantize/index.ts";
import { cpMethod } from "./cp.ts";
import { type Layer, type LayerChoice, layersOf } from "./layer.ts";
import type { Cost, Factors, Method } from "./method.ts";
import { denseCost, type RankRule, ranksFor, relativeError } from "./ranks.ts";
import { spatialMethod } from "./spatial.ts";
import { inPlace } from "./stages.ts";
import { svdMethod } from "./svd.ts";
import { ttMethod } from "./tensor-train.ts";
import { tuckerMethod } from "./tucker.ts";

export const METHODS: Readonly<Record<string, Method>> = {
  svd: svdMethod,
  tucker: tuckerMethod,
  cp: cpMethod,
  spatial: spatialMethod,
  tt: ttMethod,
};

export interface FactoriseOptions extends LayerChoice {
  /** svd, tucker, cp, spatial or tt. */
  readonly method: string;
  /** For layers the method does not take, such as 1 x 1 convolutions under tucker; default "svd"; null: leave them. */
  readonly otherwise?: string | null;
  readonly ranks: RankRule;
  /** Also where neither parameters nor operations become fewer; default false. */
  readonly always?: boolean;
}

/** One layer that was replaced. */
export interface FactorisedLayer {
  readonly name: string;
  readonly method: string;
  readonly ranks: readonly number[];
  readonly before: Cost;
  readonly after: Cost;
  /** Of the weights, relative in the Frobenius norm, before rounding to the layer's type. */
  readonly error: number;
  /** What the error is at most, where the method says so. */
  readonly bound?: number;
}

export interface Factorised {
  readonly graph: Graph;
  readonly layers: readonly FactorisedLayer[];
  /** Chosen layers that stayed, and why. */
  readonly kept: readonly { readonly name: string; readonly reason: string }[];
}

function methodNamed(name: string): Method {
  const method = Object.hasOwn(METHODS, name) ? METHODS[name] : undefined;
  if (method !== undefined) return method;
  throw new UserError("E_ARGUMENT", `there is no factorisation '${name}'`, {
    hint: `take one of ${Object.keys(METHODS).join(", ")}`,
  });
}

interface Plan {
  readonly layer: Layer;
  readonly method: Method;
  readonly factors: Factors;
}

function planFor(layer: Layer, options: FactoriseOptions): Plan | string {
  const { method: first, otherwise = "svd", ranks: rule, always = false } = options;
  const names = otherwise === null || otherwise === first ? [first] : [first, otherwise];
  const methods = names.map(methodNamed);
  const method = methods.find((m) => m.refuses(layer) === null);
  if (method === undefined) return methods[0]!.refuses(layer)!;
  // Ranks given by number belong to the method asked for.
  if (rule.kind === "fixed" && method !== methods[0]) return methods[0]!.refuses(layer)!;
  const ranks = ranksFor(method, layer, rule);
  const [before, after] = [denseCost(layer), method.cost(layer, ranks)];
  if (!always && after.params >= before.params && after.macs >= before.macs) {
    return `${method.name} at ranks ${ranks.join(", ")} saves neither parameters nor operations`;
  }
  return { layer, method, factors: method.factor(layer, ranks) };
}

function report({ layer, method, factors }: Plan): FactorisedLayer {
  return {
    name: layer.name,
    method: method.name,
    ranks: factors.ranks,
    before: denseCost(layer),
    after: method.cost(layer, factors.ranks),
    error: relativeError(layer, factors),
    ...(factors.bound === undefined ? {} : { bound: factors.bound }),
  };
}

/** Marks the weights of the factors as those of a compressed layer, for weight decay. */
function tagFactors(g: GraphBuilder, made: readonly Node[], others: readonly Value[]): void {
  const weights = made.flatMap((node) =>
    (node.op.parameters ?? []).flatMap((position) => {
      const v = node.ins[position];
      return v === undefined || others.includes(v) || g.constantOf(v) === undefined ? [] : [v];
    }),
  );
  tagCompressed(
    g.meta,
    weights.map((v) => g.nameOf(v)),
  );
}

const substitute = ({ layer, factors }: Plan, ctx: RewriteContext): readonly Value[] =>
  inPlace(ctx, layer, (place) => {
    const start = place.g.nodesFrom(0).length;
    const y = factors.build(place);
    tagFactors(place.g, place.g.nodesFrom(start), place.rest);
    return y;
  });

/**
 * Replaces the chosen layers of a float graph by factors of their weights. Throws UserError when the method is unknown,
 * the ranks do not fit it, or no layer is chosen.
 */
export function factorise(graph: Graph, options: FactoriseOptions): Factorised {
  methodNamed(options.method);
  const layers = layersOf(graph, options);
  if (layers.length === 0) {
    throw new UserError("E_ARGUMENT", `${graph.name} has no layer to factorise`, {
      hint: "layers are float convolutions over two axes without groups, and linear ones; the first and the last take `stem` and `classifier`",
    });
  }
  const plans = new Map<unknown, Plan>();
  const kept: { name: string; reason: string }[] = [];
  for (const layer of layers) {
    const plan = planFor(layer, options);
    if (typeof plan === "string") kept.push({ name: layer.name, reason: plan });
    else plans.set(layer.node, plan);
  }
  const changed = rewrite(graph, (node, ctx) => {
    const plan = plans.get(node);
    return plan === undefined ? null : substitute(plan, ctx);
  });
  return { graph: changed, layers: [...plans.values()].map(report), kept };
}

/** The factors of one layer as a graph of its own, from the layer's operand. */
function alone(graph: Graph, plan: Plan): Graph {
  const { node } = plan.layer;
  const g = new GraphBuilder(plan.layer.name);
  const [x, , ...rest] = node.ins.map((v) => {
    const constant = graph.constants.get(v);
    return constant === undefined
      ? g.input(`in${v}`, graph.values.get(v)!.type)
      : g.constant(constant);
  });
  g.output(plan.factors.build({ g, layer: plan.layer, x: x!, rest }));
  return g.build();
}

/**
 * Relative errors of the layers' results on data, each layer alone behind the original ones, in the order of
 * `layersOf`; layers that stay are left out.
 */
export async function outputErrors(
  graph: Graph,
  options: FactoriseOptions,
  executor: Executor,
  rows: readonly (readonly Tensor[])[],
): Promise<readonly { readonly name: string; readonly error: number }[]> {
  const plans = layersOf(graph, options).flatMap((layer) => {
    const plan = planFor(layer, options);
    return typeof plan === "string" ? [] : [plan];
  });
  const sums = plans.map(() => ({ error: 0, norm: 0 }));
  const graphs = plans.map((plan) => alone(graph, plan));
  const operands = plans.map(({ layer }) => layer.node.ins.filter((v) => !graph.constants.has(v)));
  const exposed = withOutputs(graph, [
    ...operands.flat(),
    ...plans.map((p) => p.layer.node.outs[0]!),
  ]);
  for (const row of rows) {
    const found = await executor(exposed, row);
    let at = 0;
    const ins = operands.map((list) => list.map(() => found[at++]!));
    for (const [i, sum] of sums.entries()) {
      const [got] = await executor(graphs[i]!, ins[i]!);
      const want = toNumbers(found[at + i]!);
      toNumbers(got!).forEach((y, k) => {
        sum.error += (y - want[k]!) ** 2;
        sum.norm += want[k]! ** 2;
      });
    }
  }
  return plans.map(({ layer }, i) => {
    const { error, norm } = sums[i]!;
    return { name: layer.name, error: norm === 0 ? 0 : Math.sqrt(error / norm) };
  });
}
