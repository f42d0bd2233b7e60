/** @file Which indices of a reshaped tensor belong together: axes that stay, are merged, or are cut. */
import {
  type AxisTie,
  type AxisTies,
  eachIndex,
  type Port,
  resultPort,
  sameIndex,
} from "../../graph/ties.ts";
import { elementCount, type Shape } from "../../tensor/tensor.ts";

/** Axes of the operand and the result that hold the same elements; axes of extent 1 are left out. */
interface Part {
  readonly from: readonly number[];
  readonly to: readonly number[];
}

/** The smallest such parts, in order. */
function partsOf(from: Shape, to: Shape): Part[] {
  const parts: Part[] = [];
  const [a, b] = [from, to].map((s) => s.flatMap((n, i) => (n === 1 ? [] : [i]))) as [
    number[],
    number[],
  ];
  for (let i = 0, j = 0; i < a.length && j < b.length; ) {
    const part = { from: [a[i]!], to: [b[j]!] };
    let [left, right] = [from[a[i++]!]!, to[b[j++]!]!];
    while (left !== right) {
      if (left < right) {
        part.from.push(a[i]!);
        left *= from[a[i++]!]!;
      } else {
        part.to.push(b[j]!);
        right *= to[b[j++]!]!;
      }
    }
    parts.push(part);
  }
  return parts;
}

/** One of several axes against the one axis that they make up, outermost first. */
function ofOne(whole: Port, axis: number, port: Port, axes: readonly number[], shape: Shape) {
  return axes.map((own, i): AxisTie => {
    const n = shape[own]!;
    const step = elementCount(axes.slice(i + 1).map((a) => shape[a]!));
    const total = elementCount(axes.map((a) => shape[a]!));
    const unit = eachIndex(total).map((k) => Math.floor(k / step) % n);
    return [
      { port, axis: own, unit: eachIndex(n) },
      { port: whole, axis, unit },
    ];
  });
}

/** Outermost with outermost, innermost with innermost axis, where the extent of one divides that of the other. */
function ofSeveral(part: Part, from: Shape, to: Shape): AxisTie[] {
  const ends = [
    [part.from[0]!, part.to[0]!, true],
    [part.from.at(-1)!, part.to.at(-1)!, false],
  ] as const;
  return ends.flatMap(([a, b, outer]): AxisTie[] => {
    const [m, n] = [from[a]!, to[b]!];
    const units = Math.min(m, n);
    if (m % units !== 0 || n % units !== 0) return [];
    const unit = (size: number) =>
      eachIndex(size).map((k) => (outer ? Math.floor(k / (size / units)) : k % units));
    return [
      [
        { port: 0, axis: a, unit: unit(m) },
        { port: resultPort(0), axis: b, unit: unit(n) },
      ],
    ];
  });
}

/** Ties of a reshape between two shapes of as many elements. */
export function reshapeTies(from: Shape, to: Shape): AxisTies {
  const all: AxisTie[] = [];
  const oneOf: AxisTie[][] = [];
  if (elementCount(from) === 0) return { all };
  const y = resultPort(0);
  for (const part of partsOf(from, to)) {
    const [a, b] = [part.from[0]!, part.to[0]!];
    if (part.from.length === 1 && part.to.length === 1) {
      all.push(sameIndex(from[a]!, [0, a], [y, b]));
    } else if (part.to.length === 1) oneOf.push(ofOne(y, b, 0, part.from, from));
    else if (part.from.length === 1) oneOf.push(ofOne(0, a, y, part.to, to));
    else oneOf.push(ofSeveral(part, from, to));
  }
  return { all, oneOf };
}
