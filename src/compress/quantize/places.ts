/**
 * @file Where values become quantised: the one walk that writes a model with quantised values, as integers for
 * running or as rounded reals for training. What a quantised value looks like is the form's affair.
 */
import { type Graph, type Node, typeOf, type Value } from "../../graph/graph.ts";
import { type RewriteContext, rewrite } from "../../graph/rewrite.ts";
import { isReal } from "../../tensor/tensor.ts";
import { layerMap, type Selection } from "./selection.ts";

/** How quantised values and what computes on them are written. Old values and nodes are those of the float model. */
export interface Form {
  /** The quantised form of an f32 value that comes from outside. */
  enter(old: Value, real: Value): Value;
  /** The f32 value of a quantised one, for readers outside. */
  leave(quantised: Value): Value;
  /** A constant operand, with the parameters of `like` where one is given. */
  constant(old: Value, like: Value | null): Value;
  /** Weights and bias of a layer whose quantised input is `x`. */
  parameters(node: Node, x: Value): readonly Value[];
  /** A selected node on quantised operands, then the clamp behind it: in the form of `y`, the last result. */
  compute(node: Node, ins: readonly Value[], clamp: Node | null, y: Value): Value;
}

class Writer {
  private readonly g: Graph;
  private readonly ctx: RewriteContext;
  private readonly selection: Selection;
  private readonly form: Form;
  /** The quantised form of old values. */
  private readonly quantised = new Map<Value, Value>();
  private readonly fused = new Map<Node, Node>();

  constructor(ctx: RewriteContext, selection: Selection, form: Form) {
    this.ctx = ctx;
    this.g = ctx.graph;
    this.selection = selection;
    this.form = form;
    for (const [layer, clamp] of selection.clamps) this.fused.set(clamp, layer);
  }

  /** The result of a selected node as f32; its readers among selected nodes use the quantised form. */
  visit(node: Node): readonly Value[] | null {
    const { nodes, clamps } = this.selection;
    if (!nodes.has(node)) return null;
    // A node with a clamp is written where the clamp stands, with the parameters of its result.
    if (clamps.has(node)) return null;
    const producer = this.fused.get(node);
    if (producer === undefined && this.selection.keepers.has(node)) return this.keeper(node);
    const [y] = node.outs as readonly [Value];
    const clamp = producer === undefined ? null : node;
    const computes = producer ?? node;
    return [this.finish(y, this.form.compute(computes, this.operands(computes), clamp, y))];
  }

  private operands(node: Node): readonly Value[] {
    if (layerMap(this.g, node) === null) return node.ins.map((v) => this.operand(v, null));
    const x = this.operand(node.ins[0]!, null);
    return [x, ...this.form.parameters(node, x)];
  }

  private keeper(node: Node): readonly Value[] {
    const ins = node.ins.map((v) => this.operand(v, node.outs[0]!));
    const outs = this.ctx.builder.applyAll(node.op, ins, node.attrs, node.name);
    return node.outs.map((v, i) => this.finish(v, outs[i]!));
  }

  private finish(old: Value, quantised: Value): Value {
    this.quantised.set(old, quantised);
    this.ctx.builder.setName(quantised, this.g.values.get(old)!.name);
    return this.form.leave(quantised);
  }

  /** The quantised form of an old value; other than f32 values stay as they are. */
  private operand(v: Value, like: Value | null): Value {
    if (!isReal(typeOf(this.g, v))) return this.ctx.value(v);
    if (this.g.constants.has(v)) return this.form.constant(v, like);
    let known = this.quantised.get(v);
    if (known === undefined) {
      known = this.form.enter(v, this.ctx.value(v));
      this.quantised.set(v, known);
    }
    return known;
  }
}

/** The model with the selected nodes in the form that `formOf` makes for the graph under construction. */
export function writeQuantised(
  graph: Graph,
  selection: Selection,
  formOf: (ctx: RewriteContext) => Form,
): Graph {
  let writer: Writer | undefined;
  return rewrite(graph, (node, ctx) => {
    writer ??= new Writer(ctx, selection, formOf(ctx));
    return writer.visit(node);
  });
}
