/**
 * @file Static post-training quantisation to 8 bits: weights symmetric per output channel, activations
 * asymmetric per tensor, bias i32. The result computes on explicitly quantised values (docs/ir.md); regions
 * are as large as operators allow, with quantize and dequantize at their borders.
 */
import type { Graph, Node, Value } from "../../graph/graph.ts";
import type { Activation, OutQuant } from "../../graph/op.ts";
import type { RewriteContext } from "../../graph/rewrite.ts";
import { dequantize } from "../../ops/quant/dequantize.ts";
import { quantize } from "../../ops/quant/quantize.ts";
import { SCALARS } from "../../ops/scalar.ts";
import { DTYPES } from "../../tensor/dtype.ts";
import { quantizeTensor, quantizeValue } from "../../tensor/quant.ts";
import { toNumbers } from "../../tensor/tensor.ts";
import { UserError } from "../../util/errors.ts";
import { type CalibrationStats, layerName } from "./calibrate.ts";
import type { Observer } from "./observer.ts";
import {
  activationParams,
  type QuantisedLayer,
  quantizeLayer,
  type WeightRange,
} from "./params.ts";
import { type Form, writeQuantised } from "./places.ts";
import { type SharedRanges, sharedRanges } from "./ranges.ts";
import { type Selection, type SelectionOptions, selectNodes } from "./selection.ts";

export interface QuantizeOptions extends SelectionOptions {
  /** How activation ranges are chosen; default min-max. */
  readonly observer?: Observer;
  /** How weight scales are chosen; default "max". */
  readonly weights?: WeightRange;
  /** Bits of a layer's weights by `layerName`, 2 to 8; default 8. Fewer are stored in 8 bits each. */
  readonly weightBits?: (layer: string) => number;
}

/** Where the numbers come from that make a float model an integer one. */
export interface Parameters {
  /** Of a value; values that share them get the same. */
  value(v: Value): OutQuant;
  /** Of a constant operand that is no weight. */
  constant(v: Value): OutQuant;
  /** Weights and bias of a layer with an input of this scale. */
  layer(node: Node, bias: readonly number[] | null, inputScale: number): QuantisedLayer;
}

/** Parameters of the ranges that were seen, and of the weights there are. */
function fromRanges(g: Graph, ranges: SharedRanges, options: QuantizeOptions): Parameters {
  const known = new Map<Value, OutQuant>();
  const { weights = "max", weightBits } = options;
  return {
    value(v) {
      const key = ranges.root(v);
      let params = known.get(key);
      if (params === undefined) {
        params = activationParams(ranges.range(v));
        known.set(key, params);
      }
      return params;
    },
    constant(v) {
      const values = toNumbers(g.constants.get(v)!);
      return activationParams({ min: Math.min(...values), max: Math.max(...values) });
    },
    layer(node, bias, inputScale) {
      const weight = g.constants.get(node.ins[1]!)!;
      const bits = weightBits?.(layerName(g, node)) ?? 8;
      return quantizeLayer(weight, bias, inputScale, { range: weights, bits });
    },
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

/** Quantised values as integers. */
function integerForm({ builder, graph: g }: RewriteContext, params: Parameters): Form {
  const name = (v: Value): string => g.values.get(v)!.name;
  return {
    enter: (old, real) => builder.apply(quantize, [real], { out: params.value(old) }),
    leave: (quantised) => builder.apply(dequantize, [quantised]),
    constant(old, like) {
      const { dtype, ...quant } = like === null ? params.constant(old) : params.value(like);
      return builder.constant(quantizeTensor(g.constants.get(old)!, dtype, quant));
    },
    parameters(node, x) {
      const [, w, b] = node.ins as readonly [Value, Value, Value?];
      const bias = b === undefined ? null : toNumbers(g.constants.get(b)!);
      const stored = params.layer(node, bias, builder.typeOf(x).quant!.scale[0]!);
      const weight = builder.constant(stored.weight, name(w));
      return stored.bias === null ? [weight] : [weight, builder.constant(stored.bias, name(b!))];
    },
    compute(node, ins, clamp, y) {
      const out = params.value(y);
      const act = clamp === null ? undefined : activationFor(clamp, out);
      const attrs = { ...node.attrs, ...(act === undefined ? {} : { act }), out };
      return builder.applyAll(node.op, ins, attrs, node.name)[0]!;
    },
  };
}

/** The model whose selected nodes compute on integers with the given parameters. */
export const quantizeWith = (graph: Graph, selection: Selection, params: Parameters): Graph =>
  writeQuantised(graph, selection, (ctx) => integerForm(ctx, params));

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
  const ranges = sharedRanges(graph, calibration, selection, options.observer);
  return quantizeWith(graph, selection, fromRanges(graph, ranges, options));
}
