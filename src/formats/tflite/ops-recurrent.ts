/** @file UNIDIRECTIONAL_SEQUENCE_LSTM on floats, unrolled over time; the state starts at zero. */
import type { Value } from "../../graph/graph.ts";
import { tensorType, zeros } from "../../tensor/tensor.ts";
import { core } from "../core.ts";
import { checkLimit, LIMITS } from "../limits.ts";
import { activate, asReal, emitClamp, expectRank, reshape } from "./common.ts";
import { type Handlers, malformed, type OpContext, unsupported } from "./context.ts";
import { SEQUENCE_LSTM_OPTIONS } from "./schema.ts";

/** Positions of the operands; gates in the order input, forget, cell, output. */
const INPUT_WEIGHTS = 1;
const RECURRENT_WEIGHTS = 5;
const PEEPHOLES = [9, 10, 11];
const BIASES = 12;
const PROJECTION = [16, 17];
const NORMALISATION = [20, 21, 22, 23];
const GATES = 4;

interface Gate {
  readonly w: Value;
  readonly r: Value;
  readonly bias: Value | undefined;
}

function gatesOf(c: OpContext): readonly Gate[] {
  const left = [...PEEPHOLES, ...PROJECTION, ...NORMALISATION].filter(
    (i) => c.maybe(i) !== undefined,
  );
  if (left.length > 0) throw unsupported("LSTM with peepholes, projection or layer normalisation");
  if (c.maybe(INPUT_WEIGHTS) === undefined)
    throw unsupported("LSTM with coupled input and forget gates");
  return Array.from({ length: GATES }, (_, i) => {
    const bias = c.maybe(BIASES + i);
    return {
      w: asReal(c, c.in(INPUT_WEIGHTS + i)),
      r: asReal(c, c.in(RECURRENT_WEIGHTS + i)),
      bias: bias === undefined ? undefined : asReal(c, bias),
    };
  });
}

/** w x + r h + bias. */
function gateInput(c: OpContext, { w, r, bias }: Gate, x: Value, h: Value): Value {
  const fromInput = c.emit(core.linear, bias === undefined ? [x, w] : [x, w, bias], {});
  return c.emit(core.add, [fromInput, c.emit(core.linear, [h, r], {})], {});
}

interface State {
  readonly h: Value;
  readonly cell: Value;
}

function step(
  c: OpContext,
  gates: readonly Gate[],
  x: Value,
  { h, cell }: State,
  options: { readonly activation: number; readonly cellClip: number },
): State {
  const [i, f, g, o] = gates.map((gate) => gateInput(c, gate, x, h)) as [
    Value,
    Value,
    Value,
    Value,
  ];
  const sigmoid = (v: Value): Value => c.emit(core.sigmoid, [v]);
  const fresh = c.emit(core.mul, [sigmoid(i), activate(c, g, options.activation)], {});
  const kept = c.emit(core.mul, [sigmoid(f), cell], {});
  const sum = c.emit(core.add, [kept, fresh], {});
  const { cellClip } = options;
  const next = cellClip > 0 ? emitClamp(c, sum, -cellClip, cellClip) : sum;
  const out = c.emit(core.mul, [sigmoid(o), activate(c, next, options.activation)], {});
  return { h: out, cell: next };
}

function sequenceLstm(c: OpContext): Value {
  const o = c.options(SEQUENCE_LSTM_OPTIONS);
  const x = c.in(0);
  if (c.type(x).dtype !== "f32") throw unsupported("LSTM on other than f32 inputs");
  const shape = expectRank(c, x, 3, "input");
  const [time, batch] = (o.timeMajor ? shape : [shape[1], shape[0]]) as [number, number];
  if (time < 1) throw malformed("the sequence is empty");
  checkLimit("steps of a sequence", time, LIMITS.iterations);
  const gates = gatesOf(c);
  const [units = 0] = expectRank(c, gates[0]!.w, 2, "weights");
  const zero = c.g.constant(zeros(tensorType("f32", [batch, units])), "state");
  const axis = o.timeMajor ? 0 : 1;
  const rows =
    time === 1 ? [x] : c.emitAll(core.split, [x], { axis, sizes: new Array<number>(time).fill(1) });
  let state: State = { h: zero, cell: zero };
  const outputs = rows.map((row) => {
    state = step(c, gates, reshape(c, row, [batch, shape[2]!]), state, o);
    return reshape(c, state.h, o.timeMajor ? [1, batch, units] : [batch, 1, units]);
  });
  return outputs.length === 1 ? outputs[0]! : c.emit(core.concat, outputs, { axis });
}

export const recurrentHandlers: Handlers = { UNIDIRECTIONAL_SEQUENCE_LSTM: sequenceLstm };
