/**
 * @file Quantisation-aware training: puts fake quantisers into a float model, exactly where `quantizeGraph` puts real
 * ones. The result is an ordinary float graph that the training step takes and the compiler runs; `convertQat`
 * makes it an integer model.
 */
import { Calc, num } from "../../autodiff/calc.ts";
import { type CalibrationStats, layerName } from "../../compress/quantize/calibrate.ts";
import type { Observer } from "../../compress/quantize/observer.ts";
import { BIAS_LIMIT, checkBits, weightSteps } from "../../compress/quantize/params.ts";
import { type Form, writeQuantised } from "../../compress/quantize/places.ts";
import { type SharedRanges, sharedRanges } from "../../compress/quantize/ranges.ts";
import {
  layerMap,
  type Selection,
  type SelectionOptions,
  selectNodes,
} from "../../compress/quantize/selection.ts";
import { evalTensors } from "../../graph/apply.ts";
import { type Graph, type Node, typeOf, type Value } from "../../graph/graph.ts";
import type { RewriteContext } from "../../graph/rewrite.ts";
import { abs } from "../../ops/elementwise/abs.ts";
import { max as larger } from "../../ops/elementwise/max.ts";
import { channelScale, fakeQuantize, lsqQuantize, quantParams } from "../../ops/quant/index.ts";
import { foldAffine } from "../../passes/fold-affine.ts";
import { DTYPES } from "../../tensor/dtype.ts";
import {
  elementCount,
  scalarOf,
  type Tensor,
  tensorOf,
  toNumbers,
  zeros,
} from "../../tensor/tensor.ts";
import { UserError } from "../../util/errors.ts";
import { withOwnParameters } from "../parameters.ts";
import { lsqScale, lsqScales } from "./lsq.ts";

export interface QatOptions extends SelectionOptions {
  /**
   * "minmax": a weight's scale is the largest magnitude of its channel in every step, ranges of activations are
   * observed (`observe` of the step). "lsq": both scales are learned; weights of 8 bits, where there is nothing to gain, are
   * scaled as in "minmax".
   */
  readonly scheme: "minmax" | "lsq";
  /** Bits of weights and activations, 2 to 8; default 8. Integer models take activations of 8 bits only. */
  readonly weightBits?: number;
  readonly activationBits?: number;
  /**
   * Bits of the first and the last layer's weights; default 8. Their inputs and the results of the model have as many,
   * or those of other activations if these are more.
   */
  readonly edgeBits?: number;
  /** How the ranges of activations are chosen at the start; default min-max. */
  readonly observer?: Observer;
}

/** Integers of activations. */
interface Levels {
  readonly min: number;
  readonly max: number;
}

const levels = (bits: number): Levels => ({ min: -(2 ** (bits - 1)), max: 2 ** (bits - 1) - 1 });

/** Scale and zero point as values of the graph. */
interface Params extends Levels {
  readonly scale: Value;
  readonly zero: Value;
}

function check(graph: Graph, calibration: CalibrationStats, options: QatOptions): void {
  if (calibration.graph !== graph) {
    throw new UserError("E_ARGUMENT", "the calibration statistics belong to another graph");
  }
  const { weightBits = 8, activationBits = 8, edgeBits = 8 } = options;
  checkBits(weightBits, "weights");
  checkBits(activationBits, "activations");
  checkBits(edgeBits, "first and last layer");
  const fakes: readonly unknown[] = [fakeQuantize, lsqQuantize];
  const done = graph.nodes.find(
    (node) => fakes.includes(node.op) || node.outs.some((v) => typeOf(graph, v).quant),
  );
  if (done !== undefined) {
    throw new UserError(
      "E_MODEL",
      `${graph.name} is quantised already: '${layerName(graph, done)}'`,
      {
        where: layerName(graph, done),
        hint: "start from the float model",
      },
    );
  }
  if (foldAffine.run(graph) === graph) return;
  throw new UserError("E_MODEL", `${graph.name} has batch norms or scalings that are not folded`, {
    hint: "clean the model first (cleanGraph), then collect statistics and prepare the clean one",
  });
}

/** The values and layers whose bits are those of the edges. */
interface Edges {
  readonly layers: ReadonlySet<Node>;
  readonly roots: ReadonlySet<Value>;
}

function edgesOf(g: Graph, selection: Selection, root: (v: Value) => Value): Edges {
  const layers = g.nodes.filter((n) => selection.nodes.has(n) && layerMap(g, n) !== null);
  const ends = layers.length === 0 ? [] : [layers[0]!, layers.at(-1)!];
  const values = [...g.inputs, ...ends.map((n) => n.ins[0]!), ...g.outputs];
  return { layers: new Set(ends), roots: new Set(values.map(root)) };
}

/** Names that no two constants share. */
class Names {
  private readonly taken = new Set<string>();

  fresh(base: string): string {
    let name = base;
    for (let n = 2; this.taken.has(name); n++) name = `${base}#${n}`;
    this.taken.add(name);
    return name;
  }
}

/** Rounded weights, and what they were rounded by. */
interface RoundedWeight {
  readonly rounded: Value;
  readonly scale: Value;
  readonly zero: Value;
}

class FakeForm implements Form {
  private readonly ctx: RewriteContext;
  private readonly ranges: SharedRanges;
  private readonly edges: Edges;
  private readonly options: QatOptions;
  private readonly names = new Names();
  private readonly known = new Map<Value, Params>();

  constructor(ctx: RewriteContext, ranges: SharedRanges, edges: Edges, options: QatOptions) {
    this.ctx = ctx;
    this.ranges = ranges;
    this.edges = edges;
    this.options = options;
  }

  private made(tensor: Tensor, name: string): Value {
    return this.ctx.builder.constant(tensor, this.names.fresh(name));
  }

  private nameOf(v: Value): string {
    return this.ctx.graph.values.get(v)!.name || `value${v}`;
  }

  private params(old: Value): Params {
    const key = this.ranges.root(old);
    let known = this.known.get(key);
    if (known === undefined) {
      const { activationBits = 8, edgeBits = 8, scheme } = this.options;
      const edge = Math.max(edgeBits, activationBits);
      const bits = levels(this.edges.roots.has(key) ? edge : activationBits);
      known = scheme === "lsq" ? this.learned(old, bits) : this.observed(old, bits);
      this.known.set(key, known);
    }
    return known;
  }

  private observed(old: Value, bits: Levels): Params {
    const { min, max } = this.ranges.range(old);
    const name = this.nameOf(old);
    const ends = [
      this.made(scalarOf("f32", min), `${name}:least`),
      this.made(scalarOf("f32", max), `${name}:largest`),
    ];
    const [scale, zero] = this.ctx.builder.applyAll(quantParams, ends, bits, name);
    return { scale: scale!, zero: zero!, ...bits };
  }

  private learned(old: Value, bits: Levels): Params {
    const { scale, zero } = this.start(old, bits);
    const name = this.nameOf(old);
    return {
      scale: this.made(scale, `${name}:scale`),
      zero: this.made(zero, `${name}:zero`),
      ...bits,
    };
  }

  /** Where a learned scale starts: on 8 bits with the range that was seen, on fewer as in LSQ. */
  private start(old: Value, bits: Levels): { readonly scale: Tensor; readonly zero: Tensor } {
    const range = this.ranges.range(old);
    const mean = this.ranges.meanMagnitude(old);
    if (bits.max === DTYPES.i8.max || mean === 0) return paramsOfRange(range, bits);
    const zero = range.min < 0 ? 0 : bits.min;
    return {
      scale: scalarOf("f32", lsqScale(mean, bits.max - zero)),
      zero: scalarOf("f32", zero),
    };
  }

  private rounded(v: Value, { scale, zero, min, max }: Params, name: string): Value {
    const { builder } = this.ctx;
    const grid = { min, max, axis: null };
    if (this.options.scheme === "minmax") {
      return builder.apply(fakeQuantize, [v, scale, zero], grid, name);
    }
    const from = toNumbers(builder.constantOf(zero)!)[0]!;
    const features = elementCount(builder.typeOf(v).shape.slice(1));
    const gain = 1 / Math.sqrt(features * Math.max(max - from, from - min));
    return builder.apply(lsqQuantize, [v, scale, zero], { ...grid, gain }, name);
  }

  enter(old: Value, real: Value): Value {
    return this.rounded(real, this.params(old), this.nameOf(old));
  }

  leave(quantised: Value): Value {
    return quantised;
  }

  /** A constant is rounded once and for all. */
  constant(old: Value, like: Value | null): Value {
    const { builder, graph } = this.ctx;
    const tensor = graph.constants.get(old)!;
    const values = toNumbers(tensor);
    const range = { min: Math.min(...values), max: Math.max(...values) };
    const bits = levels(8);
    const own = like === null ? paramsOfRange(range, bits) : null;
    const given = like === null ? null : this.params(like);
    const name = this.nameOf(old);
    const scale = own ? this.made(own.scale, `${name}:scale`) : given!.scale;
    const zero = own ? this.made(own.zero, `${name}:zero`) : given!.zero;
    const { min, max } = given ?? bits;
    const v = this.ctx.value(old);
    return builder.apply(fakeQuantize, [v, scale, zero], { min, max, axis: null }, name);
  }

  parameters(node: Node): readonly Value[] {
    const { builder, graph } = this.ctx;
    const layer = layerName(graph, node);
    const [w, b] = node.ins.slice(1).map((v, i) => {
      const value = this.ctx.value(v);
      const name = graph.values.get(v)!.name || `${layer}.${i === 0 ? "weight" : "bias"}`;
      builder.setName(value, name);
      return value;
    });
    const { rounded, scale, zero } = this.roundedWeight(node, w!, layer);
    if (b === undefined) return [rounded];
    return [rounded, this.roundedBias(b, this.params(node.ins[0]!).scale, scale, zero, layer)];
  }

  /** A bias in steps of the products, as accumulators hold it, or so many that they do not overflow. */
  private roundedBias(b: Value, ofInput: Value, ofWeight: Value, zero: Value, name: string): Value {
    const { builder } = this.ctx;
    const c = new Calc(builder);
    const least = c.mul(builder.apply(abs, [b]), num(1 / BIAS_LIMIT));
    const scale = builder.apply(larger, [c.mul(ofWeight, ofInput), least]);
    const grid = { min: -BIAS_LIMIT, max: BIAS_LIMIT, axis: 0 };
    return builder.apply(fakeQuantize, [b, scale, zero], grid, name);
  }

  private roundedWeight(node: Node, w: Value, layer: string): RoundedWeight {
    const { builder } = this.ctx;
    const { weightBits = 8, edgeBits = 8, scheme } = this.options;
    const bits = this.edges.layers.has(node) ? edgeBits : weightBits;
    const tensor = builder.constantOf(w)!;
    const channels = tensor.type.shape[0]!;
    const none = zeros({ dtype: "f32", shape: [channels] });
    const zero = this.made(none, `${layer}:zero`);
    if (scheme === "minmax" || bits === 8) {
      const steps = weightSteps(bits);
      const scale = builder.apply(channelScale, [w], { axis: 0, steps }, layer);
      const grid = { min: -steps, max: steps, axis: 0 };
      return { rounded: builder.apply(fakeQuantize, [w, scale, zero], grid, layer), scale, zero };
    }
    const { min, max } = levels(bits);
    const scale = this.made(tensorOf("f32", [channels], lsqScales(tensor, max)), `${layer}:scale`);
    const gain = 1 / Math.sqrt((tensor.data.length / channels) * max);
    const grid = { min, max, axis: 0, gain };
    return { rounded: builder.apply(lsqQuantize, [w, scale, zero], grid, layer), scale, zero };
  }

  compute(node: Node, ins: readonly Value[], clamp: Node | null, y: Value): Value {
    const { builder } = this.ctx;
    const [v] = builder.applyAll(node.op, ins, node.attrs, node.name);
    const last =
      clamp === null ? v! : builder.applyAll(clamp.op, [v!], clamp.attrs, clamp.name)[0]!;
    return this.rounded(last, this.params(y), this.nameOf(y));
  }
}

/** Scale and zero point of a range, as the operator computes them. */
function paramsOfRange(
  { min, max }: { readonly min: number; readonly max: number },
  bits: Levels,
): { readonly scale: Tensor; readonly zero: Tensor } {
  const ends = [scalarOf("f32", min), scalarOf("f32", max)];
  const type = ends[0]!.type;
  const [scale, zero] = evalTensors(quantParams, ends, bits, [type, type]);
  return { scale: scale!, zero: zero! };
}

/**
 * The model with fake quantisers. `graph`: float, cleaned up (batch norms folded), with constant weights, the one the
 * statistics were collected from; its first axis is the batch. Weights, biases and, in the scheme "lsq", scales
 * are parameters of the result.
 */
export function prepareQat(
  graph: Graph,
  calibration: CalibrationStats,
  options: QatOptions,
): Graph {
  check(graph, calibration, options);
  const own = withOwnParameters(graph);
  const selection = selectNodes(own, options);
  const ranges = sharedRanges(own, calibration, selection, options.observer);
  const edges = edgesOf(own, selection, ranges.root);
  return writeQuantised(own, selection, (ctx) => new FakeForm(ctx, ranges, edges, options));
}
