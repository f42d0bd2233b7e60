/**
 * @file Early exits: classifiers on features inside a network (BranchyNet, Teerapittayanon et al., arXiv:1709.01686).
 * What they are is kept in the graph's metadata, so that it survives training and a file.
 */
import { inlineGraph, sameInputs } from "../../autodiff/inline.ts";
import {
  type Graph,
  GraphBuilder,
  isOp,
  type Node,
  typeOf,
  type Value,
} from "../../graph/graph.ts";
import { relu } from "../../ops/elementwise/relu.ts";
import { batchNorm } from "../../ops/nn/batch-norm.ts";
import { conv } from "../../ops/nn/conv.ts";
import { linear } from "../../ops/nn/linear.ts";
import { reduceMean } from "../../ops/reduce/reduce-mean.ts";
import { permuteTensor } from "../../passes/rules.ts";
import { tensorOf } from "../../tensor/tensor.ts";
import { UserError } from "../../util/errors.ts";
import { makeRng, type Rng } from "../../util/rng.ts";
import { attentionPoints, type Feature, featureNamed } from "../points.ts";
import { drawn } from "../student/fresh-weights.ts";

export interface ExitOptions {
  /** Names of values or nodes [batch, height, width, channels] of either layout; default: the last output of each
   * resolution but the last one. */
  readonly points?: readonly string[];
  /** Channels of a 3 x 3 convolution, normalisation and ReLU in front of the mean; default: none. */
  readonly conv?: number;
  /** Of the branches' weights; default 1. */
  readonly seed?: number;
}

/** An exit of a graph: the output with its logits, and the value it branches off. */
export interface Exit {
  readonly name: string;
  readonly point: string;
}

const KEY = "tersor.exits";

/** The exits of a graph, in order; none: it has no exits. Throws UserError E_MODEL when its metadata is damaged. */
export function exitsOf(graph: Graph): readonly Exit[] {
  const text = graph.meta[KEY];
  if (text === undefined) return [];
  try {
    const list = JSON.parse(text) as Exit[];
    const known = (e: Exit): boolean =>
      typeof e.point === "string" && graph.outputNames.includes(e.name);
    if (Array.isArray(list) && list.every(known)) return list;
  } catch {
    // Reported below.
  }
  throw new UserError("E_MODEL", `metadata '${KEY}' does not fit the model`, {
    hint: "remove it; the model then counts as one without exits",
  });
}

/** Is this the name of a parameter of one of the exits? For `trains`, when the network itself is to stay. */
export const isOfExit = (exits: readonly Exit[], name: string): boolean =>
  exits.some((e) => name.startsWith(`${e.name}.`));

function pointsOf(graph: Graph, names: ExitOptions["points"]): readonly Feature[] {
  if (names !== undefined) return names.map((n) => featureNamed(graph, n));
  const found = attentionPoints(graph).slice(0, -1);
  if (found.length > 0) return found;
  throw new UserError("E_MODEL", `${graph.name} has no place for an exit`, {
    hint: "exits branch off pictures of features of several resolutions; name places yourself",
  });
}

/** Classes of the first output [rows, classes]. */
function classesOf(graph: Graph): number {
  const { shape } = typeOf(graph, graph.outputs[0]!);
  const [, classes = 0] = shape;
  if (shape.length === 2 && classes > 1) return classes;
  throw new UserError("E_SHAPE", `the first output of ${graph.name} is [${shape}]`, {
    where: graph.outputNames[0]!,
    hint: "exits need scores of classes there: [rows, classes]",
  });
}

class Branch {
  private readonly g: GraphBuilder;
  private readonly name: string;
  private readonly rng: Rng;
  private readonly layout: Feature["layout"];

  constructor(g: GraphBuilder, name: string, layout: Feature["layout"], rng: Rng) {
    this.g = g;
    this.name = name;
    this.layout = layout;
    this.rng = rng;
  }

  private channels(x: Value): number {
    return this.g.typeOf(x).shape[this.layout === "nhwc" ? 3 : 1]!;
  }

  private full(name: string, count: number, value: number): Value {
    const t = tensorOf("f32", [count], new Float32Array(count).fill(value));
    return this.g.constant(t, `${this.name}.${name}`);
  }

  /** Normalisation and ReLU. */
  active(x: Value, name: string): Value {
    const c = this.channels(x);
    const parts = Object.entries({ gamma: 1, beta: 0, mean: 0, variance: 1 });
    const ins = [x, ...parts.map(([part, value]) => this.full(`${name}.${part}`, c, value))];
    const attrs = { layout: this.layout, epsilon: 1e-5 };
    return this.g.apply(relu, [this.g.apply(batchNorm, ins, attrs, `${this.name}.${name}`)]);
  }

  conv(x: Value, outputs: number): Value {
    const first = drawn(this.rng, [outputs, this.channels(x), 3, 3], 1);
    const w = this.layout === "nchw" ? first : permuteTensor(first, [0, 2, 3, 1]);
    const attrs = {
      layout: this.layout,
      stride: [1, 1],
      padBegin: [1, 1],
      padEnd: [1, 1],
      dilation: [1, 1],
      groups: 1,
    };
    const own = `${this.name}.conv`;
    return this.g.apply(conv, [x, this.g.constant(w, `${own}.weight`)], attrs, own);
  }

  head(x: Value, classes: number): Value {
    const c = this.channels(x);
    const axes = this.layout === "nhwc" ? [1, 2] : [2, 3];
    const mean = this.g.apply(reduceMean, [x], { axes, keepDims: false }, `${this.name}.mean`);
    const data = Float32Array.from(
      { length: classes * c },
      () => (2 * this.rng.next() - 1) / Math.sqrt(c),
    );
    const w = this.g.constant(tensorOf("f32", [classes, c], data), `${this.name}.head.weight`);
    return this.g.apply(linear, [mean, w, this.full("head.bias", classes, 0)], {}, this.name);
  }
}

/** Is the value the result of an activation? Else the branch begins with one. */
const isActive = (producer: Node | undefined): boolean =>
  producer?.op.scalar !== undefined && !isOp(producer, batchNorm);

/**
 * The graph with a classifier at each point, as further outputs exit1, exit2, ... behind its own first one. Throws
 * UserError when there is no place for one, or the first output is no classification.
 */
export function withExits(graph: Graph, options: ExitOptions = {}): Graph {
  if (exitsOf(graph).length > 0) {
    throw new UserError("E_ARGUMENT", `${graph.name} has exits already`);
  }
  const classes = classesOf(graph);
  const points = pointsOf(graph, options.points);
  const rng = makeRng(options.seed ?? 1);
  const g = new GraphBuilder(graph.name);
  Object.assign(g.meta, graph.meta);
  const copy = inlineGraph(g, graph, sameInputs(g, graph));
  g.output(copy.outs[0]!, graph.outputNames[0]!);
  const places = new Map(graph.nodes.flatMap((n, i) => n.outs.map((v) => [v, i] as const)));
  const ordered = [...points].sort((a, b) => places.get(a.value)! - places.get(b.value)!);
  const exits = ordered.map(({ value, layout }, i): Exit => {
    const name = `exit${i + 1}`;
    const point = `${name}.point`;
    const at = copy.value(value);
    const branch = new Branch(g, name, layout, rng);
    const producer = graph.nodes[places.get(value)!];
    const start = isActive(producer) ? at : branch.active(at, "norm");
    const c = options.conv;
    const last = c === undefined ? start : branch.active(branch.conv(start, c), "conv.norm");
    g.output(branch.head(last, classes), name);
    return { name, point: graph.values.get(value)!.name || point };
  });
  g.meta[KEY] = JSON.stringify(exits);
  return g.build();
}
