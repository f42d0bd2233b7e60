/**
 * @file Empirical bias correction (Nagel et al., "Data-Free Quantization", ICCV 2019): the mean error that
 * quantisation causes in each output channel of a layer is subtracted through its bias, layer by layer.
 */
import {
  type Executor,
  type Graph,
  GraphBuilder,
  type Node,
  typeOf,
  type Value,
} from "../../graph/graph.ts";
import type { Attrs } from "../../graph/op.ts";
import { rewrite } from "../../graph/rewrite.ts";
import type { ChannelMap } from "../../passes/contraction.ts";
import { dequantizeTensor } from "../../tensor/quant.ts";
import { elementCount, type Tensor, tensorOf, toNumbers } from "../../tensor/tensor.ts";
import { roundHalfEven } from "../../util/math.ts";
import { layerName, withOutputs } from "./calibrate.ts";
import { layerMap } from "./selection.ts";

/** A channel whose mean moves by more than this, relative to its own size, is left: it is not bias. */
const LARGEST_SHIFT = 2;

type Samples = readonly (readonly Tensor[])[];

/** Mean over samples and positions of each channel of a layer's sum before activation. */
class ChannelMeans {
  private readonly sums: Float64Array;
  private count = 0;
  private readonly axis: number;

  constructor(channels: number, axis: number) {
    this.sums = new Float64Array(channels);
    this.axis = axis;
  }

  add(t: Tensor): void {
    const inner = elementCount(t.type.shape.slice(this.axis + 1));
    const n = this.sums.length;
    toNumbers(t).forEach((x, i) => {
      this.sums[Math.floor(i / inner) % n]! += x;
    });
    this.count += t.data.length / n;
  }

  means(): Float64Array {
    return this.sums.map((s) => s / Math.max(1, this.count));
  }
}

/** The layer alone in f32, with the given parameters and no activation. */
function floatLayer(g: Graph, node: Node, weight: Tensor, bias: Tensor | null): Graph {
  const builder = new GraphBuilder("layer");
  const x = typeOf(g, node.ins[0]!);
  const ins = [builder.input("x", { dtype: "f32", shape: x.shape }), builder.constant(weight)];
  if (bias !== null) ins.push(builder.constant(bias));
  const { act: _, out: _out, arith: _arith, ...attrs } = node.attrs as Record<string, unknown>;
  builder.output(builder.applyAll(node.op, ins, attrs as Attrs)[0]!, "y");
  return builder.build();
}

/** The layer of a graph as f32 tensors: what its stored integers stand for. */
function realLayer(g: Graph, node: Node): Graph {
  const weight = g.constants.get(node.ins[1]!)!;
  const stored = node.ins[2] === undefined ? null : g.constants.get(node.ins[2])!;
  const quant = typeOf(g, node.ins[0]!).quant;
  if (quant === undefined || stored === null)
    return floatLayer(g, node, dequantizeTensor(weight), stored);
  const scales = weight.type.quant!.scale;
  const reals = toNumbers(stored).map(
    (b, c) => b * quant.scale[0]! * scales[scales.length > 1 ? c : 0]!,
  );
  return floatLayer(g, node, dequantizeTensor(weight), tensorOf("f32", [reals.length], reals));
}

/** Mean of each channel of the layer's sum when the graph runs up to its operand. */
async function layerMeans(
  g: Graph,
  node: Node,
  map: ChannelMap,
  executor: Executor,
  samples: Samples,
): Promise<Float64Array> {
  const prefix = withOutputs(g, [node.ins[0]!]);
  const layer = realLayer(g, node);
  const means = new ChannelMeans(map.outputs, map.outAxis);
  for (const feeds of samples) {
    const [x] = await executor(prefix, feeds);
    const typed = { type: typeOf(g, node.ins[0]!), data: x!.data };
    const [y] = await executor(layer, [dequantizeTensor(typed)]);
    means.add(y!);
  }
  return means.means();
}

/** The graph with `delta` added to the bias of the node of this name. */
function shiftBias(g: Graph, target: Node, delta: Float64Array): Graph {
  return rewrite(g, (node, ctx) => {
    if (node !== target) return null;
    const [x, w, b] = node.ins as readonly [Value, Value, Value?];
    const sx = typeOf(g, x).quant!.scale[0]!;
    const { scale } = typeOf(g, w).quant!;
    const old = b === undefined ? null : toNumbers(g.constants.get(b)!);
    const bias = Array.from(delta, (d, c) => {
      const unit = sx * scale[scale.length > 1 ? c : 0]!;
      return (old?.[c] ?? 0) + roundHalfEven(d / unit);
    });
    const fresh = ctx.builder.constant(tensorOf("i32", [bias.length], bias));
    const ins = [ctx.value(x), ctx.value(w), fresh];
    return ctx.builder.applyAll(node.op, ins, node.attrs, node.name);
  });
}

const quantisedLayers = (g: Graph): Node[] =>
  g.nodes.filter(
    (node) => layerMap(g, node) !== null && typeOf(g, node.ins[0]!).quant !== undefined,
  );

/**
 * The quantised model with corrected biases. `graph` is the float model it was made from; layers are
 * matched by name. Runs the samples through both models once for each layer.
 */
export async function correctBias(
  graph: Graph,
  quantised: Graph,
  executor: Executor,
  samples: Samples,
): Promise<Graph> {
  const originals = new Map<string, Node>();
  for (const node of graph.nodes) {
    if (layerMap(graph, node) !== null) originals.set(layerName(graph, node), node);
  }
  let current = quantised;
  for (let at = 0; at < quantisedLayers(quantised).length; at++) {
    const node = quantisedLayers(current)[at]!;
    const original = originals.get(layerName(current, node));
    const map = layerMap(current, node);
    if (original === undefined || map === null) continue;
    const wanted = await layerMeans(graph, original, map, executor, samples);
    const have = await layerMeans(current, node, map, executor, samples);
    const delta = wanted.map((m, c) => {
      const shift = m - have[c]!;
      return Math.abs(shift) > LARGEST_SHIFT * Math.abs(m) ? 0 : shift;
    });
    if (delta.some((d) => d !== 0)) current = shiftBias(current, node, delta);
  }
  return current;
}
