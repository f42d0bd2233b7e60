/** @file ONNX recurrent layers, unrolled over time into core operators. */
import type { Value } from "../../../graph/graph.ts";
import {
  type Importer,
  type ImportTable,
  malformed,
  type OpContext,
  unsupported,
} from "../context.ts";
import { core } from "../core.ts";
import { num } from "../emit.ts";

type Function1 = (x: Value) => Value;

/** An activation by its ONNX name with its parameters. */
function activation(c: OpContext, name: string, alpha?: number, beta?: number): Function1 {
  const { e } = c;
  switch (name.toLowerCase()) {
    case "sigmoid":
      return (x) => e.unary(core.sigmoid, x);
    case "tanh":
      return (x) => e.unary(core.tanh, x);
    case "relu":
      return (x) => e.unary(core.relu, x);
    case "softsign":
      return (x) => e.unary(core.softsign, x);
    case "softplus":
      return (x) => e.unary(core.softplus, x);
    case "affine":
      return (x) => e.add(e.mul(x, num(alpha ?? 1)), num(beta ?? 0));
    case "scaledtanh":
      return (x) => e.mul(e.unary(core.tanh, e.mul(x, num(beta ?? 1))), num(alpha ?? 1));
    case "leakyrelu":
      return (x) => e.apply(core.leaky_relu, [x], { alpha: alpha ?? 0.01 });
    case "thresholdedrelu":
      return (x) => e.apply(core.thresholded_relu, [x], { alpha: alpha ?? 1 });
    case "hardsigmoid":
      return (x) => e.apply(core.hard_sigmoid, [x], { alpha: alpha ?? 0.2, beta: beta ?? 0.5 });
    case "elu":
      return (x) => e.apply(core.elu, [x], { alpha: alpha ?? 1 });
    default:
      throw unsupported(`activation ${name}`);
  }
}

/** The weights of one direction, and what the cells share. */
interface Cell {
  readonly c: OpContext;
  readonly hidden: number;
  /** [gates * hidden, hidden] */
  readonly r: Value;
  /** Bias of the recurrent product, [gates * hidden]; null when there is none. */
  readonly rb: Value | null;
  /** Peepholes of the LSTM, [3 * hidden]. */
  readonly peepholes: Value | null;
  readonly f: readonly Function1[];
  readonly clip: Function1;
}

/** x: the input's share of the gates, [batch, gates * hidden]; states: h, and c of the LSTM. */
type Step = (cell: Cell, x: Value, states: readonly Value[]) => readonly Value[];

/** Part i of the gates' axis (the last). */
const gate = (cell: Cell, x: Value, i: number): Value => {
  const { e } = cell.c;
  return e.sliceAxis(x, e.rank(x) - 1, i * cell.hidden, (i + 1) * cell.hidden);
};

const recur = (cell: Cell, h: Value, r = cell.r, rb = cell.rb): Value =>
  cell.c.e.apply(core.linear, rb === null ? [h, r] : [h, r, rb], {});

const rnnStep: Step = (cell, x, [h]) => [cell.f[0]!(cell.clip(cell.c.e.add(x, recur(cell, h!))))];

const gruStep: Step = (cell, x, [h]) => {
  const { e, attrs } = cell.c;
  const rows = (i: number, n: number): Value =>
    e.sliceAxis(cell.r, 0, i * cell.hidden, (i + n) * cell.hidden);
  const bias = (i: number, n: number): Value | null =>
    cell.rb === null ? null : e.sliceAxis(cell.rb, 0, i * cell.hidden, (i + n) * cell.hidden);
  const zr = recur(cell, h!, rows(0, 2), bias(0, 2));
  const z = cell.f[0]!(cell.clip(e.add(gate(cell, x, 0), gate(cell, zr, 0))));
  const r = cell.f[0]!(cell.clip(e.add(gate(cell, x, 1), gate(cell, zr, 1))));
  const late = attrs.flag("linear_before_reset", false);
  const part = late
    ? e.mul(r, recur(cell, h!, rows(2, 1), bias(2, 1)))
    : recur(cell, e.mul(r, h!), rows(2, 1), bias(2, 1));
  const candidate = cell.f[1]!(cell.clip(e.add(gate(cell, x, 2), part)));
  return [e.add(e.mul(e.sub(num(1), z), candidate), e.mul(z, h!))];
};

const lstmStep: Step = (cell, x, [h, state]) => {
  const { e, attrs } = cell.c;
  const all = e.add(x, recur(cell, h!));
  const peep = (v: Value, i: number, at: Value): Value =>
    cell.peepholes === null ? v : e.add(v, e.mul(gate(cell, cell.peepholes, i), at));
  const i = cell.f[0]!(cell.clip(peep(gate(cell, all, 0), 0, state!)));
  const f = attrs.flag("input_forget", false)
    ? e.sub(num(1), i)
    : cell.f[0]!(cell.clip(peep(gate(cell, all, 2), 2, state!)));
  const candidate = cell.f[1]!(cell.clip(gate(cell, all, 3)));
  const next = e.add(e.mul(f, state!), e.mul(i, candidate));
  const o = cell.f[0]!(cell.clip(peep(gate(cell, all, 1), 1, next)));
  return [e.mul(o, cell.f[2]!(next)), next];
};

interface Layer {
  readonly gates: number;
  readonly step: Step;
  readonly functions: readonly string[];
  readonly states: number;
}

/** Index i of axis 0, the axis dropped. */
const row = (c: OpContext, x: Value, i: number): Value =>
  c.e.reshape(c.e.sliceAxis(x, 0, i, i + 1), c.e.shape(x).slice(1));

function cellOf(c: OpContext, layer: Layer, direction: number, hidden: number): Cell {
  const { e, attrs } = c;
  const names = attrs.strings("activations");
  const per = layer.functions.length;
  const f = layer.functions.map((name, i) => {
    const at = direction * per + i;
    return activation(
      c,
      names[at] ?? name,
      attrs.floats("activation_alpha")?.[at],
      attrs.floats("activation_beta")?.[at],
    );
  });
  const bound = attrs.float("clip", 0);
  const clip: Function1 =
    bound > 0 ? (x) => e.apply(core.clip, [x], { min: -bound, max: bound }) : (x) => x;
  const bias = c.optional(3);
  const half = layer.gates * hidden;
  const rb = bias === undefined ? null : e.sliceAxis(row(c, bias, direction), 0, half, 2 * half);
  const peepholes = layer.states === 2 && c.has(7) ? row(c, c.in(7), direction) : null;
  return { c, hidden, r: row(c, c.in(2), direction), rb, peepholes, f, clip };
}

/** The input's share of all gates at all times: [time, batch, gates * hidden]. */
function inputShare(
  c: OpContext,
  x: Value,
  layer: Layer,
  direction: number,
  hidden: number,
): Value {
  const w = row(c, c.in(1), direction);
  const bias = c.optional(3);
  if (bias === undefined) return c.e.apply(core.linear, [x, w], {});
  const wb = c.e.sliceAxis(row(c, bias, direction), 0, 0, layer.gates * hidden);
  return c.e.apply(core.linear, [x, w, wb], {});
}

/** One direction: outputs by time [time, batch, hidden] and the last states. */
function runDirection(
  c: OpContext,
  layer: Layer,
  x: Value,
  direction: number,
  reverse: boolean,
): { y: Value; states: readonly Value[] } {
  const { e } = c;
  const hidden = c.attrs.int("hidden_size", e.shape(c.in(2)).at(-1)!);
  const [time, batch] = e.shape(x);
  const lengths = c.optional(4);
  const flip = (v: Value): Value =>
    lengths === undefined
      ? v
      : e.apply(core.reverse_sequence, [v, e.cast(lengths, "i64")], { batchAxis: 1, timeAxis: 0 });
  const cell = cellOf(c, layer, direction, hidden);
  const share = inputShare(c, reverse ? flip(x) : x, layer, direction, hidden);
  let states = Array.from({ length: layer.states }, (_, i) =>
    initial(c, 5 + i, direction, [batch!, hidden]),
  );
  const outputs: Value[] = new Array(time!);
  for (let i = 0; i < time!; i++) {
    const t = reverse && lengths === undefined ? time! - 1 - i : i;
    const next = layer.step(cell, row(c, share, t), states);
    if (lengths === undefined) {
      states = [...next];
      outputs[t] = next[0]!;
      continue;
    }
    const live = e.less(e.scalar("i64", t), e.reshape(e.cast(lengths, "i64"), [batch!, 1]));
    states = next.map((s, k) => e.where(live, s, states[k]!));
    outputs[t] = e.where(live, next[0]!, num(0));
  }
  const y = e.concat(
    outputs.map((v) => e.unsqueeze(v, [0])),
    0,
  );
  return { y: reverse ? flip(y) : y, states };
}

/** The initial state of a direction: operand i, or zeros. */
function initial(c: OpContext, i: number, direction: number, shape: readonly number[]): Value {
  const given = c.optional(i);
  if (given === undefined) return c.e.expand(c.e.scalar(c.e.dtype(c.in(0)), 0), shape);
  const byDirection = c.attrs.int("layout", 0) === 1 ? c.e.transpose(given, [1, 0, 2]) : given;
  return row(c, byDirection, direction);
}

const recurrent =
  (layer: Layer): Importer =>
  (c) => {
    const { e } = c;
    const batchFirst = c.attrs.int("layout", 0) === 1;
    const x = batchFirst ? e.transpose(c.in(0), [1, 0, 2]) : c.in(0);
    const direction = c.attrs.string("direction", "forward");
    if (!["forward", "reverse", "bidirectional"].includes(direction)) {
      throw malformed(`direction '${direction}'`);
    }
    const runs = [runDirection(c, layer, x, 0, direction === "reverse")];
    if (direction === "bidirectional") runs.push(runDirection(c, layer, x, 1, true));
    const y = e.concat(
      runs.map((r) => e.unsqueeze(r.y, [1])),
      1,
    );
    const last = Array.from({ length: layer.states }, (_, i) =>
      e.concat(
        runs.map((r) => e.unsqueeze(r.states[i]!, [0])),
        0,
      ),
    );
    const swap = (v: Value): Value => (batchFirst ? e.transpose(v, [1, 0, 2]) : v);
    return [batchFirst ? e.transpose(y, [2, 0, 1, 3]) : y, ...last.map(swap)];
  };

export const recurrentImports: ImportTable = {
  RNN: recurrent({ gates: 1, step: rnnStep, functions: ["Tanh"], states: 1 }),
  GRU: recurrent({ gates: 3, step: gruStep, functions: ["Sigmoid", "Tanh"], states: 1 }),
  LSTM: recurrent({ gates: 4, step: lstmStep, functions: ["Sigmoid", "Tanh", "Tanh"], states: 2 }),
};
