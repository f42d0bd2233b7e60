/**
 * @file Static post-training quantisation to 8 bits: weights symmetric per output channel, activations
 * asymmetric per tensor, bias i32. The result computes on explicitly quantised values (docs/ir.md); regions
 * are as large as operators allow, with quantize and dequantize at their borders.
 */
import { type Graph, type Node, typeOf, type Value } from "../../graph/graph.ts";
import type { Activation, OutQuant } from "../../graph/op.ts";
import { type RewriteContext, rewrite } from "../../graph/rewrite.ts";
import { dequantize } from "../../ops/quant/dequantize.ts";
import { quantize } from "../../ops/quant/quantize.ts";
import { SCALARS } from "../../ops/scalar.ts";
import { DTYPES } from "../../tensor/dtype.ts";
import { quantizeTensor, quantizeValue } from "../../tensor/quant.ts";
import { isReal, type Tensor, toNumbers } from "../../tensor/tensor.ts";
import { UserError } from "../../util/errors.ts";
import type { CalibrationStats } from "./calibrate.ts";
import { type Observer, type Range, rangeOf } from "./observer.ts";
import { activationParams, quantizeLayer, type WeightRange } from "./params.ts";
import {
  layerMap,
  type Selection,
  type SelectionOptions,
  selectNodes,
  sharedParams,
} from "./selection.ts";

export interface QuantizeOptions extends SelectionOptions {
  /** How activation ranges are chosen; default min-max. */
  readonly observer?: Observer;
  /** How weight scales are chosen; default "max". */
  readonly weights?: WeightRange;
}

/** The parameters of each value that becomes quantised. */
type ParamsOf = (v: Value) => OutQuant;

function paramsOf(
  g: Graph,
  stats: CalibrationStats,
  selection: Selection,
  options: QuantizeOptions,
): ParamsOf {
  const observer = options.observer ?? { kind: "min-max" };
  const root = sharedParams(selection, (v) => g.constants.has(v));
  const members = new Map<Value, Value[]>();
  for (const v of stats.values.keys()) {
    members.set(root(v), [...(members.get(root(v)) ?? []), v]);
  }
  const known = new Map<Value, OutQuant>();
  const range = (v: Value): Range => {
    const s = stats.values.get(v);
    if (s === undefined || s.count === 0) {
      throw new UserError("E_DATA", `no finite values were seen of '${g.values.get(v)?.name}'`);
    }
    return rangeOf(s, observer);
  };
  return (v) => {
    const key = root(v);
    let params = known.get(key);
    if (params === undefined) {
      const ranges = (members.get(key) ?? [v]).map(range);
      params = activationParams({
        min: Math.min(...ranges.map((r) => r.min)),
        max: Math.max(...ranges.map((r) => r.max)),
      });
      known.set(key, params);
    }
    return params;
  };
}

/** The activation a clamp becomes; undefined where the result's range clamps alike. */
function activationFor(clamp: Node, out: OutQuant): Activation | undefined {
  const fn = clamp.op.scalar!;
  const [lo, hi] = SCALARS[fn]!.bounds!(clamp.attrs);
  const { min, max } = DTYPES[out.dtype];
  const q = (x: number): number => quantizeValue(x, out.scale[0]!, out.zeroPoint[0]!, out.dtype);
  return q(lo) === min && q(hi) === max ? undefined : { fn, ...clamp.attrs };
}

class Quantizer {
  private readonly g: Graph;
  private readonly ctx: RewriteContext;
  private readonly params: ParamsOf;
  private readonly selection: Selection;
  private readonly options: QuantizeOptions;
  /** The quantised form of old values. */
  private readonly integers = new Map<Value, Value>();
  private readonly fused = new Map<Node, Node>();

  constructor(
    ctx: RewriteContext,
    params: ParamsOf,
    selection: Selection,
    options: QuantizeOptions,
  ) {
    this.ctx = ctx;
    this.g = ctx.graph;
    this.params = params;
    this.selection = selection;
    this.options = options;
    for (const [layer, clamp] of selection.clamps) this.fused.set(clamp, layer);
  }

  /** The result of a selected node as f32; its readers among selected nodes use the integers. */
  visit(node: Node): readonly Value[] | null {
    const { nodes, clamps } = this.selection;
    if (!nodes.has(node)) return null;
    // A node with a clamp is written where the clamp stands, with the parameters of its result.
    if (clamps.has(node)) return null;
    const producer = this.fused.get(node);
    if (producer === undefined && this.selection.keepers.has(node)) return this.keeper(node);
    const [y] = node.outs as readonly [Value];
    const clamp = producer === undefined ? null : node;
    return [this.finish(y, this.computed(producer ?? node, this.params(y), clamp))];
  }

  private computed(node: Node, out: OutQuant, clamp: Node | null): Value {
    const act = clamp === null ? undefined : activationFor(clamp, out);
    const attrs = { ...node.attrs, ...(act === undefined ? {} : { act }), out };
    const ins =
      layerMap(this.g, node) === null ? node.ins.map((v) => this.integer(v)) : this.layer(node);
    return this.ctx.builder.applyAll(node.op, ins, attrs, node.name)[0]!;
  }

  private keeper(node: Node): readonly Value[] {
    const out = this.params(node.outs[0]!);
    const ins = node.ins.map((v) => this.integer(v, out));
    const outs = this.ctx.builder.applyAll(node.op, ins, node.attrs, node.name);
    return node.outs.map((v, i) => this.finish(v, outs[i]!));
  }

  private finish(old: Value, integers: Value): Value {
    this.integers.set(old, integers);
    this.ctx.builder.setName(integers, this.g.values.get(old)!.name);
    return this.ctx.builder.apply(dequantize, [integers]);
  }

  /** The quantised form of an old value; other than f32 values stay as they are. */
  private integer(v: Value, out?: OutQuant): Value {
    const { builder } = this.ctx;
    if (!isReal(typeOf(this.g, v))) return this.ctx.value(v);
    const constant = this.g.constants.get(v);
    if (constant !== undefined) return builder.constant(this.constant(constant, out));
    const known = this.integers.get(v);
    if (known !== undefined) return known;
    const q = builder.apply(quantize, [this.ctx.value(v)], { out: this.params(v) });
    this.integers.set(v, q);
    return q;
  }

  private constant(t: Tensor, out?: OutQuant): Tensor {
    const values = toNumbers(t);
    const range = { min: Math.min(...values), max: Math.max(...values) };
    const { dtype, ...quant } = out ?? activationParams(range);
    return quantizeTensor(t, dtype, quant);
  }

  /** Input, weights and bias of a layer. */
  private layer(node: Node): readonly Value[] {
    const { builder } = this.ctx;
    const [x, w, b] = node.ins as readonly [Value, Value, Value?];
    const input = this.integer(x);
    const scale = builder.typeOf(input).quant!.scale[0]!;
    const bias = b === undefined ? null : toNumbers(this.g.constants.get(b)!);
    const stored = quantizeLayer(this.g.constants.get(w)!, bias, scale, this.options.weights);
    const names = [w, b].map((v) => (v === undefined ? "" : this.g.values.get(v)!.name));
    const ins = [input, builder.constant(stored.weight, names[0]!)];
    if (stored.bias !== null) ins.push(builder.constant(stored.bias, names[1]!));
    return ins;
  }
}

/**
 * The model with 8-bit weights and activations. `graph` is the one the statistics were collected from,
 * float and cleaned up. Inputs and outputs keep their types.
 */
export function quantizeGraph(
  graph: Graph,
  calibration: CalibrationStats,
  options: QuantizeOptions = {},
): Graph {
  if (calibration.graph !== graph) {
    throw new UserError("E_ARGUMENT", "the calibration statistics belong to another graph");
  }
  const selection = selectNodes(graph, options);
  const params = paramsOf(graph, calibration, selection, options);
  let quantizer: Quantizer | undefined;
  return rewrite(graph, (node, ctx) => {
    quantizer ??= new Quantizer(ctx, params, selection, options);
    return quantizer.visit(node);
  });
}
