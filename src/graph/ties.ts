/**
 * @file Which indices of which axes an operator ties to each other: whoever removes one of them (a channel, a head)
 * removes all. The default follows from the operator's `axes`.
 */
import type { Shape, Tensor } from "../tensor/tensor.ts";

/** An operand (0, 1, ...) or a result (-1, -2, ...) of an operator. */
export type Port = number;

export const resultPort = (i: number): Port => -1 - i;
export const isResult = (port: Port): boolean => port < 0;
export const resultOf = (port: Port): number => -1 - port;

/** An axis of a port, with the unit that each of its indices belongs to; -1: none. */
export interface TiedAxis {
  readonly port: Port;
  readonly axis: number;
  readonly unit: readonly number[];
}

/** Indices of the same unit go together. */
export type AxisTie = readonly TiedAxis[];

export interface AxisTies {
  readonly all: readonly AxisTie[];
  /** Of each list one can be had, the others then stay whole: an axis cut into several, or made of several. */
  readonly oneOf?: readonly (readonly AxisTie[])[];
}

/** What an operator is told when indices have been removed. */
export interface Narrowing {
  /** The indices an axis of a port keeps, ascending. */
  kept(port: Port, axis: number): readonly number[];
  /** How many indices the axis had. */
  size(port: Port, axis: number): number;
  /** An operand as it was, if it is constant. */
  constant(position: number): Tensor | undefined;
}

export interface Narrowed<A> {
  readonly attrs: A;
  /** Constant operands whose values change, by position. */
  readonly constants?: Readonly<Record<number, Tensor>>;
}

/** Units that are the indices themselves. */
export const eachIndex = (n: number): number[] => Array.from({ length: n }, (_, i) => i);

/** A tie of axes of one size, index by index. */
export const sameIndex = (n: number, ...axes: readonly (readonly [Port, number])[]): AxisTie =>
  axes.map(([port, axis]) => ({ port, axis, unit: eachIndex(n) }));

/**
 * The ties that an `axes` text says: letters that at least two ports have. A letter on inputs only ties them where
 * the operator sums over it (`contracts`).
 */
export function tiesOfAxes(
  text: string,
  ins: readonly Shape[],
  outs: readonly Shape[],
  contracts: boolean,
): AxisTies {
  const [left = "", right = ""] = text.split("->");
  const places = new Map<string, (readonly [Port, number, number])[]>();
  const collect = (side: string, shapes: readonly Shape[], portOf: (i: number) => Port): void => {
    side.split(",").forEach((letters, i) => {
      [...letters].forEach((letter, axis) => {
        const found = places.get(letter) ?? [];
        places.set(letter, [...found, [portOf(i), axis, shapes[i]?.[axis] ?? -1]]);
      });
    });
  };
  collect(left, ins, (i) => i);
  collect(right, outs, resultPort);
  const all = [...places.values()].flatMap((list): AxisTie[] => {
    const size = list[0]![2];
    const carried = list.some(([port]) => isResult(port)) && list.some(([port]) => !isResult(port));
    const summed = contracts && list.length > 1 && list.every(([port]) => !isResult(port));
    if (!(carried || summed) || list.some(([, , n]) => n !== size)) return [];
    return [sameIndex(size, ...list.map(([port, axis]) => [port, axis] as const))];
  });
  return { all };
}
