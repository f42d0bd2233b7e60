/**
 * @file Channel shuffles, which exporters write as reshape, transpose, reshape, as one gather: then single channels
 * can be followed through them, and removed.
 */
import { evalTensors } from "../../graph/apply.ts";
import { type Graph, isOp, type Node, typeOf, type Value } from "../../graph/graph.ts";
import { type RewriteContext, rewrite } from "../../graph/rewrite.ts";
import { gather } from "../../ops/shape/gather.ts";
import { reshape } from "../../ops/shape/reshape.ts";
import { transpose } from "../../ops/shape/transpose.ts";
import { strides } from "../../tensor/shape.ts";
import { elementCount, sameShape, type Tensor, tensorOf } from "../../tensor/tensor.ts";

/** The three nodes that end in `node`; null: it ends no shuffle. */
function chainTo(node: Node, ctx: RewriteContext): readonly [Node, Node, Node] | null {
  if (!isOp(node, reshape)) return null;
  const middle = ctx.producer(node.ins[0]!);
  if (middle === undefined || !isOp(middle, transpose)) return null;
  const first = ctx.producer(middle.ins[0]!);
  if (first === undefined || !isOp(first, reshape)) return null;
  const same = sameShape(ctx.typeOf(first.ins[0]!).shape, ctx.typeOf(node.outs[0]!).shape);
  return same ? [first as Node, middle as Node, node as Node] : null;
}

/** Where each element of the result comes from. */
function sources(chain: readonly Node[], graph: Graph): Int32Array {
  const { shape } = typeOf(graph, chain[0]!.ins[0]!);
  let t: Tensor = tensorOf(
    "i32",
    shape,
    Int32Array.from({ length: elementCount(shape) }, (_, i) => i),
  );
  for (const node of chain) {
    const type = { dtype: "i32", shape: typeOf(graph, node.outs[0]!).shape } as const;
    t = evalTensors(node.op, [t], node.attrs, [type])[0]!;
  }
  return t.data as Int32Array;
}

/** The axis along which whole slices change places, and where each comes from; null: it is no such move. */
function shuffleOf(from: Int32Array, shape: readonly number[]) {
  const steps = strides(shape);
  for (const [axis, step] of steps.entries()) {
    const n = shape[axis]!;
    const order = Array.from({ length: n }, (_, i) => Math.floor(from[i * step]! / step) % n);
    const fits = from.every((source, i) => {
      const at = Math.floor(i / step) % n;
      return source === i + (order[at]! - at) * step;
    });
    if (fits) return { axis, order };
  }
  return null;
}

/** The graph with every channel shuffle as a gather of constant indices. */
export const shufflesToGather = (graph: Graph): Graph =>
  rewrite(graph, (node, ctx): readonly Value[] | null => {
    const chain = chainTo(node, ctx);
    if (chain === null) return null;
    const x = chain[0].ins[0]!;
    const found = shuffleOf(sources(chain, graph), ctx.typeOf(x).shape);
    if (found === null) return null;
    const indices = ctx.builder.constant(tensorOf("i64", [found.order.length], found.order));
    return [ctx.builder.apply(gather, [ctx.value(x), indices], { axis: found.axis }, node.name)];
  });
