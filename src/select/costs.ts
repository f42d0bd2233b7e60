/**
 * @file What a candidate costs: measured on this machine where a profile has it, otherwise modelled as
 * nanoseconds per multiply-accumulate, per byte moved and per call, with coefficients fitted to measurements
 * (src/select/coefficients.ts).
 */
import type { Candidate } from "../primitives/primitive.ts";
import { COEFFICIENTS } from "./coefficients.ts";
import type { NetworkNode } from "./network.ts";

/** The time of one candidate of one node, in nanoseconds. */
export interface Estimate {
  readonly ns: number;
  readonly measured: boolean;
}

export interface CostModel {
  estimate(node: NetworkNode, candidate: Candidate): Estimate;
}

/** Nanoseconds per multiply-accumulate, per byte and per call. */
export type Coefficients = readonly [macs: number, bytes: number, call: number];

/** By group (see groupOf). */
export type CoefficientTable = Readonly<Record<string, Coefficients>>;

/** Measured nanoseconds by key (see keyOf). */
export type MeasuredTimes = ReadonlyMap<string, number>;

/** What decides the time of a candidate, as text. */
export const keyOf = (node: NetworkNode, candidate: Candidate): string =>
  [candidate.name, node.signature, ...(candidate.data === undefined ? [] : [candidate.data])].join(
    " | ",
  );

/** Element type that a node computes on: that of its first operand. */
const elementOf = ({ ins, outs }: NetworkNode): string => {
  const type = ins[0] ?? outs[0];
  return type === undefined ? "" : type.dtype;
};

/**
 * Candidates whose times follow one law: operator, algorithm, where it does not write plain values the layout,
 * and element type. For example conv/igemm/f32, conv/default@nchw/f32.
 */
export function groupOf(node: NetworkNode, candidate: Candidate): string {
  const { family, outs } = candidate;
  const layout = outs?.find((l) => l !== "plain");
  const law = layout === undefined ? family : `${family}@${layout}`;
  return `${node.node.op.name}/${law}/${elementOf(node)}`;
}

/** The group and the wider ones, narrowest first: any operator, then any element type, then anything. */
export function groupsOf(group: string): readonly string[] {
  const [op, family, dtype] = group.split("/");
  if (family === undefined) return ["*"];
  const wider = [`*/${family}/${dtype}`, `*/${family}/*`, "*"];
  if (op !== "*") return [group, ...wider];
  return dtype === "*" ? wider.slice(1) : wider;
}

/**
 * The law for a group; else that of the same algorithm on plain values; else the nearest wider one that has been
 * measured: other operators in this layout may have no products at all.
 */
function coefficientsOf(table: CoefficientTable, node: NetworkNode, c: Candidate): Coefficients {
  const group = groupOf(node, c);
  const plain = group.replace(/@[^/]*/, "");
  const name = [group, plain, ...groupsOf(group)].find((n) => table[n] !== undefined);
  return name === undefined ? ANY : table[name]!;
}

/**
 * The fitted coefficients of a target, by the name of its capabilities. Groups that were not measured there keep
 * those of WebAssembly: which algorithm is the faster one is the same more often than not.
 */
export const coefficientsFor = (target: string): CoefficientTable => ({
  ...COEFFICIENTS.wasm,
  ...COEFFICIENTS[target],
});

/** A loop nest that nothing is known of. */
const ANY: Coefficients = [1, 0.5, 100];

/**
 * Least nanoseconds per multiply-accumulate of a default loop nest. What compilers make of one differs by 20 times
 * from layer to layer, too much for a law: without a measurement it is no rival of a primitive.
 */
const LEAST_DEFAULT = 0.3;

export function modelledNs(table: CoefficientTable, node: NetworkNode, c: Candidate): number {
  const [fitted, bytes, call] = coefficientsOf(table, node, c);
  const macs = c.family === "default" ? Math.max(fitted, LEAST_DEFAULT) : fitted;
  return macs * c.work.macs + bytes * c.work.bytes + call;
}

/**
 * A cost model of measurements and coefficients. Views cost nothing. Where a node has candidates that were
 * measured and others that were not, a modelled time is scaled by what the model is wrong by on the measured
 * ones, so that both can be compared.
 */
export function costModel(
  measured: MeasuredTimes = new Map(),
  table: CoefficientTable = coefficientsFor("wasm"),
): CostModel {
  const scales = new Map<NetworkNode, number>();
  const scaleOf = (node: NetworkNode): number => {
    const known = scales.get(node);
    if (known !== undefined) return known;
    const ratios = node.candidates.flatMap((c) => {
      const ns = measured.get(keyOf(node, c));
      const expected = modelledNs(table, node, c);
      return ns === undefined || ns <= 0 || expected <= 0 ? [] : [Math.log(ns / expected)];
    });
    const mean = ratios.reduce((a, b) => a + b, 0) / Math.max(1, ratios.length);
    scales.set(node, Math.exp(mean));
    return Math.exp(mean);
  };
  return {
    estimate: (node, candidate) => {
      if (candidate.family === "view") return { ns: 0, measured: true };
      const ns = measured.get(keyOf(node, candidate));
      if (ns !== undefined) return { ns, measured: true };
      return { ns: scaleOf(node) * modelledNs(table, node, candidate), measured: false };
    },
  };
}
