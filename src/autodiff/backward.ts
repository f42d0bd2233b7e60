/**
 * @file Reverse-mode differentiation of a graph under construction: walks its nodes backwards and adds the nodes
 * of their vector-Jacobian products.
 */
import type { GraphBuilder, Node, Value } from "../graph/graph.ts";
import type { Op } from "../graph/op.ts";
import { add } from "../ops/elementwise/add.ts";
import { isFloat } from "../tensor/dtype.ts";
import { sameShape, tensorOf } from "../tensor/tensor.ts";
import { invariant, UserError } from "../util/errors.ts";
import type { Backward } from "./rule.ts";
import { REFUSED, RULES } from "./rules/index.ts";
import { isFused, unfused } from "./unfuse.ts";

/** Values that depend on one of `sources` through floating-point values. */
function dependents(g: GraphBuilder, nodes: readonly Node[], sources: Iterable<Value>): Set<Value> {
  const out = new Set(sources);
  for (const node of nodes) {
    if (!node.ins.some((v) => out.has(v))) continue;
    for (const v of node.outs) if (isFloat(g.typeOf(v).dtype)) out.add(v);
  }
  return out;
}

function refuse(node: Node): never {
  const reason = REFUSED[node.op.name] ?? "it has no derivative";
  throw new UserError(
    "E_UNSUPPORTED",
    `${node.op.name} '${node.name}' cannot be differentiated: ${reason}`,
    { where: node.name || node.op.name, hint: "freeze what lies before it, or replace the layer" },
  );
}

/** Sums of what arrives at each value. */
class Cotangents {
  private readonly g: GraphBuilder;
  private readonly sums = new Map<Value, Value>();

  constructor(g: GraphBuilder) {
    this.g = g;
  }

  add(v: Value, ct: Value, from: Op | null): void {
    const [want, got] = [this.g.typeOf(v), this.g.typeOf(ct)];
    invariant(
      sameShape(want.shape, got.shape) && want.dtype === got.dtype,
      () => `${from?.name}: cotangent ${got.dtype}[${got.shape}] for ${want.dtype}[${want.shape}]`,
    );
    const before = this.sums.get(v);
    this.sums.set(v, before === undefined ? ct : this.g.apply(add, [before, ct]));
  }

  get(v: Value): Value | null {
    return this.sums.get(v) ?? null;
  }
}

/**
 * The cotangents of `sources`, given those of some results. `nodes`: what was built between them, in order.
 * null: nothing depends on the source. Throws UserError E_UNSUPPORTED that names a node without derivative.
 */
export function backpropagate(
  g: GraphBuilder,
  nodes: readonly Node[],
  seeds: ReadonlyMap<Value, Value>,
  sources: readonly Value[],
): (Value | null)[] {
  const active = dependents(g, nodes, sources);
  const sums = new Cotangents(g);
  for (const [v, ct] of seeds) sums.add(v, ct, null);
  for (const node of [...nodes].reverse()) {
    const cotangents = node.outs.map((v) => (active.has(v) ? sums.get(v) : null));
    if (cotangents.every((ct) => ct === null)) continue;
    if (!node.ins.some((v) => active.has(v))) continue;
    const parts = vjpOf(g, node, cotangents, active);
    node.ins.forEach((v, i) => {
      const part = parts[i] ?? null;
      if (part !== null && active.has(v)) sums.add(v, part, node.op);
    });
  }
  return sources.map((v) => sums.get(v));
}

function vjpOf(
  g: GraphBuilder,
  node: Node,
  cotangents: readonly (Value | null)[],
  active: ReadonlySet<Value>,
): readonly (Value | null)[] {
  const b: Backward = {
    g,
    attrs: node.attrs,
    ins: node.ins,
    outs: node.outs,
    cotangents,
    wants: (i) => node.ins[i] !== undefined && active.has(node.ins[i]!),
    type: (v) => g.typeOf(v),
    through: (forward) => {
      const start = g.nodesFrom(0).length;
      const outs = forward();
      const made = g.nodesFrom(start);
      const seeds = new Map<Value, Value>();
      outs.forEach((v, i) => {
        const ct = cotangents[i] ?? null;
        if (ct !== null) seeds.set(v, ct);
      });
      return backpropagate(g, made, seeds, node.ins);
    },
  };
  if (isFused(node)) return b.through(() => [unfused(g, node)]);
  const rule = RULES.get(node.op.name);
  if (rule !== undefined) return rule.vjp(b);
  const { decompose } = node.op;
  if (decompose === undefined || REFUSED[node.op.name] !== undefined) refuse(node);
  return b.through(() => node.op.decompose!(g, node.ins, node.attrs));
}

/**
 * The gradients of a scalar with respect to `sources`; a source it does not depend on has gradient zero. All
 * nodes built so far take part.
 */
export function gradients(g: GraphBuilder, loss: Value, sources: readonly Value[]): Value[] {
  const { dtype, shape } = g.typeOf(loss);
  if (shape.length !== 0 && shape.some((d) => d !== 1)) {
    throw new UserError("E_SHAPE", `a loss is one number, got shape [${shape}]`, {
      hint: "reduce it with a mean or a sum",
    });
  }
  if (!isFloat(dtype)) throw new UserError("E_DTYPE", `a loss is a float, got ${dtype}`);
  const seed = g.constant(tensorOf(dtype, shape, [1]));
  const found = backpropagate(g, g.nodesFrom(0), new Map([[loss, seed]]), sources);
  return found.map((ct, i) => {
    if (ct !== null) return ct;
    const type = g.typeOf(sources[i]!);
    const count = type.shape.reduce((a, d) => a * d, 1);
    return g.constant(tensorOf(type.dtype, type.shape, new Array<number>(count).fill(0)));
  });
}
