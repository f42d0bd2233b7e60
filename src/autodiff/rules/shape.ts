/** @file Derivatives of operators that move elements: the same elements moved back, summed where they were repeated. */
import type { Value } from "../../graph/graph.ts";
import type { Attrs, Op } from "../../graph/op.ts";
import { nnOps } from "../../ops/nn/index.ts";
import { shapeOps as s } from "../../ops/shape/index.ts";
import { type Shape, tensorOf, toNumbers } from "../../tensor/tensor.ts";
import { UserError } from "../../util/errors.ts";
import { product } from "../../util/math.ts";
import { Calc } from "../calc.ts";
import { type Backward, defineSingle, defineVjp, type VjpRule } from "../rule.ts";

/** Adds the elements of `ct`, by flat index into a tensor of the shape. */
function scatterFlat(c: Calc, ct: Value, indices: Value, shape: Shape): Value {
  const flat = c.zeros([product(shape)], ct);
  const updates = c.reshape(ct, [product(c.shape(ct))]);
  const attrs = { axis: 0, reduction: "add" as const };
  return c.reshape(c.g.apply(s.scatter_elements, [flat, indices, updates], attrs), shape);
}

/** For operators whose result holds elements of the first operand at places known beforehand. */
const moved = <A extends Attrs>(op: Op<A>): VjpRule =>
  defineSingle(op, (ct, b: Backward<A>) => [backByIndex(op as Op, ct, b)]);

function backByIndex(op: Op, ct: Value, b: Backward): Value {
  const c = new Calc(b.g);
  const { shape } = b.type(b.ins[0]!);
  const count = product(shape);
  const places = tensorOf(
    "f64",
    shape,
    Array.from({ length: count }, (_, i) => i),
  );
  const outs = op.infer([places.type], b.attrs);
  const from = toNumbers(op.eval!([places], b.attrs, outs)[0]!);
  return scatterFlat(c, ct, b.g.constant(tensorOf("i32", [from.length], from)), shape);
}

const gather = defineSingle(s.gather, (ct, b) => {
  const c = new Calc(b.g);
  const [data, indices] = b.ins as [Value, Value];
  const { axis } = b.attrs;
  const shape = c.shape(data);
  const before = product(shape.slice(0, axis));
  const after = product(shape.slice(axis + 1));
  const count = product(c.shape(indices));
  const lines = [before, count, after];
  const where = c.expand(c.reshape(indices, [1, count, 1]), lines);
  const zeros = c.zeros([before, shape[axis]!, after], ct);
  const attrs = { axis: 1, reduction: "add" as const };
  const sum = b.g.apply(s.scatter_elements, [zeros, where, c.reshape(ct, lines)], attrs);
  return [c.reshape(sum, shape), null];
});

const topK = defineVjp(s.top_k, (b) => {
  const ct = b.cotangents[0];
  if (ct == null) return [null];
  const c = new Calc(b.g);
  const zeros = c.zeros(c.shape(b.ins[0]!), ct);
  const attrs = { axis: b.attrs.axis, reduction: "add" as const };
  return [b.g.apply(s.scatter_elements, [zeros, b.outs[1]!, ct], attrs)];
});

const maxPoolIndices = defineVjp(nnOps.max_pool_indices, (b) => {
  const ct = b.cotangents[0];
  if (ct == null) return [null];
  const c = new Calc(b.g);
  const { layout, storageOrder } = b.attrs;
  const shape = c.shape(b.ins[0]!);
  const rank = shape.length;
  // Indices count as NCHW, with the spatial axes reversed in the other order of storage.
  const spatial = Array.from({ length: rank - 2 }, (_, i) => i + (layout === "nchw" ? 2 : 1));
  const order = storageOrder === 0 ? spatial : [...spatial].reverse();
  const perm = [0, layout === "nchw" ? 1 : rank - 1, ...order];
  const counted = perm.map((p) => shape[p]!);
  const indices = c.reshape(b.outs[1]!, [product(c.shape(ct))]);
  const back = scatterFlat(c, ct, indices, counted);
  return [
    c.transpose(
      back,
      perm.map((_, i) => perm.indexOf(i)),
    ),
  ];
});

/** Only sums and replacement are linear in what is scattered. */
function checkReduction(op: string, reduction: string): void {
  if (reduction === "none" || reduction === "add") return;
  throw new UserError(
    "E_UNSUPPORTED",
    `${op} with reduction '${reduction}' cannot be differentiated: only 'none' and 'add' can`,
  );
}

export const shapeRules: readonly VjpRule[] = [
  defineSingle(s.reshape, (ct, b) => {
    const c = new Calc(b.g);
    return [c.reshape(ct, c.shape(b.ins[0]!))];
  }),
  defineSingle(s.transpose, (ct, b) => {
    const { perm } = b.attrs;
    return [
      new Calc(b.g).transpose(
        ct,
        perm.map((_, i) => perm.indexOf(i)),
      ),
    ];
  }),
  defineSingle(s.expand, (ct, b) => {
    const c = new Calc(b.g);
    return [c.unbroadcast(ct, c.shape(b.ins[0]!))];
  }),
  defineSingle(s.slice, (ct, b) => {
    const { start, step, size } = b.attrs;
    if (step.some((d) => d !== 1)) return [backByIndex(s.slice as unknown as Op, ct, b)];
    const shape = b.type(b.ins[0]!).shape;
    const after = shape.map((d, i) => d - start[i]! - size[i]!);
    return [b.g.apply(s.pad, [ct], { before: start, after, mode: "constant" })];
  }),
  defineSingle(s.pad, (ct, b) => {
    const { before, after, mode } = b.attrs;
    if (mode !== "constant") return [backByIndex(s.pad as unknown as Op, ct, b)];
    const back = { before: before.map((v) => -v), after: after.map((v) => -v), mode };
    return [b.g.apply(s.pad, [ct], back)];
  }),
  defineSingle(s.concat, (ct, b) => {
    const { axis } = b.attrs;
    const sizes = b.ins.map((v) => b.type(v).shape[axis]!);
    return b.g.applyAll(s.split, [ct], { axis, sizes });
  }),
  defineVjp(s.split, (b) => {
    const c = new Calc(b.g);
    if (b.cotangents.every((ct) => ct === null)) return [null];
    const like = b.cotangents.find((ct) => ct !== null)!;
    const parts = b.cotangents.map((ct, i) => ct ?? c.zeros(c.shape(b.outs[i]!), like));
    return [b.g.apply(s.concat, parts, { axis: b.attrs.axis })];
  }),
  defineSingle(s.depth_to_space, (ct, b) =>
    b.attrs.mode === "dcr"
      ? [b.g.apply(s.space_to_depth, [ct], { block: b.attrs.block, layout: b.attrs.layout })]
      : [backByIndex(s.depth_to_space as unknown as Op, ct, b)],
  ),
  defineSingle(s.space_to_depth, (ct, b) => [
    b.g.apply(s.depth_to_space, [ct], { ...b.attrs, mode: "dcr" as const }),
  ]),
  defineSingle(s.trilu, (ct, b) => [b.g.apply(s.trilu, [ct], b.attrs)]),
  defineSingle(s.reverse_sequence, (ct, b) => [
    b.g.apply(s.reverse_sequence, [ct, b.ins[1]!], b.attrs),
    null,
  ]),
  moved(s.tile),
  moved(s.relayout),
  gather,
  defineSingle(s.gather_elements, (ct, b) => {
    const zeros = new Calc(b.g).zeros(b.type(b.ins[0]!).shape, ct);
    const attrs = { axis: b.attrs.axis, reduction: "add" as const };
    return [b.g.apply(s.scatter_elements, [zeros, b.ins[1]!, ct], attrs), null];
  }),
  topK,
  defineSingle(s.barrier, (ct) => [ct]),
  maxPoolIndices,
  defineSingle(s.one_hot, (ct, b) => {
    // values = [off, on]: every place takes one of the two.
    const c = new Calc(b.g);
    const { dtype } = b.type(b.ins[1]!);
    const flags = b.g.constant(tensorOf(dtype, [2], [0, 1]));
    const hot = b.g.apply(s.one_hot, [b.ins[0]!, flags], b.attrs);
    const axes = c.shape(ct).map((_, i) => i);
    const on = c.sum(c.mul(ct, hot), axes);
    const off = c.sub(c.sum(ct, axes), on);
    const pair = [off, on].map((v) => c.reshape(v, [1]));
    return [null, b.g.apply(s.concat, pair, { axis: 0 })];
  }),
  defineSingle(s.scatter_elements, (ct, b) => {
    const c = new Calc(b.g);
    const { axis, reduction } = b.attrs;
    checkReduction("scatter_elements", reduction);
    const [, indices, updates] = b.ins as [Value, Value, Value];
    const taken = b.g.apply(s.gather_elements, [ct, indices], { axis });
    if (reduction === "add") return [ct, null, taken];
    const zeros = c.zeros(c.shape(updates), ct);
    const attrs = { axis, reduction: "none" as const };
    return [b.g.apply(s.scatter_elements, [ct, indices, zeros], attrs), null, taken];
  }),
  defineSingle(s.gather_nd, (ct, b) => {
    const zeros = new Calc(b.g).zeros(b.type(b.ins[0]!).shape, ct);
    const attrs = { reduction: "add" as const };
    return [b.g.apply(s.scatter_nd, [zeros, b.ins[1]!, ct], attrs), null];
  }),
  defineSingle(s.scatter_nd, (ct, b) => {
    const c = new Calc(b.g);
    checkReduction("scatter_nd", b.attrs.reduction);
    const [, indices, updates] = b.ins as [Value, Value, Value];
    const taken = b.g.apply(s.gather_nd, [ct, indices], { batchDims: 0 });
    if (b.attrs.reduction === "add") return [ct, null, taken];
    const zeros = c.zeros(c.shape(updates), ct);
    const attrs = { reduction: "none" as const };
    return [b.g.apply(s.scatter_nd, [ct, indices, zeros], attrs), null, taken];
  }),
];
