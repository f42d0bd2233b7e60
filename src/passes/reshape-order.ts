/** @file How a reshape of a transposed value relates to a reshape of the value before the transpose. */
import { invertPermutation } from "../tensor/shape.ts";
import { elementCount, type Shape } from "../tensor/tensor.ts";

/** Axes from..to-1 of one shape that become axes from..to-1 of the other; extents multiply to the same. */
interface AxisGroup {
  readonly a: readonly number[];
  readonly b: readonly number[];
}

const span = (from: number, to: number): number[] =>
  Array.from({ length: to - from }, (_, i) => from + i);

/** The finest grouping of a reshape from `a` to `b`; null for empty tensors. */
export function axisGroups(a: Shape, b: Shape): AxisGroup[] | null {
  if (elementCount(a) === 0) return null;
  const groups: AxisGroup[] = [];
  let [i, j] = [0, 0];
  while (i < a.length || j < b.length) {
    const [fromA, fromB] = [i, j];
    let [x, y] = [a[i++] ?? 1, b[j++] ?? 1];
    while (x !== y) {
      if (x < y) x *= a[i++]!;
      else y *= b[j++]!;
    }
    groups.push({ a: span(fromA, Math.min(i, a.length)), b: span(fromB, Math.min(j, b.length)) });
  }
  return groups;
}

export interface ReshapeBefore {
  /** Shape to give the value before the transpose. */
  readonly shape: readonly number[];
  /** The transpose that then makes the reshaped value. */
  readonly perm: readonly number[];
}

/** Moves a reshape in front of the transpose `perm` of a value of shape `source`; null: cannot. */
export function reshapeBefore(
  source: Shape,
  perm: readonly number[],
  target: Shape,
): ReshapeBefore | null {
  const shape = perm.map((p) => source[p]!);
  const groups = axisGroups(shape, target);
  if (groups === null) return null;
  const placed = groups.map((g) => ({ group: g, axes: g.a.map((i) => perm[i]!) }));
  for (const { axes } of placed) {
    if (axes.some((axis, i) => i > 0 && axis !== axes[i - 1]! + 1)) return null;
  }
  // Groups without source axes hold extents of 1 and can stand anywhere.
  const order = [...placed].sort((p, q) => (p.axes[0] ?? -1) - (q.axes[0] ?? -1));
  const axes = order.flatMap(({ group }) => group.b);
  return { shape: axes.map((i) => target[i]!), perm: invertPermutation(axes) };
}

/**
 * For a reshape of a transposed value whose last axis merges transposed axes: index k of that axis after
 * reshaping the source directly, for each index of the axis as it is. Null: other axes are affected.
 */
export function flattenedOrder(
  source: Shape,
  perm: readonly number[],
  target: Shape,
): number[] | null {
  const shape = perm.map((p) => source[p]!);
  const last = axisGroups(shape, target)?.at(-1);
  if (last === undefined || last.b.length !== 1) return null;
  const first = last.a[0]!;
  for (let i = 0; i < first; i++) if (perm[i] !== i) return null;
  let order = [0];
  for (const i of last.a) {
    const step = elementCount(source.slice(perm[i]! + 1));
    order = order.flatMap((base) => span(0, shape[i]!).map((k) => base + k * step));
  }
  return order;
}
