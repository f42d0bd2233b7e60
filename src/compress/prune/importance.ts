/**
 * @file How much the units of channel groups matter, from weights alone. Sources: magnitude, Li et al.,
 * arXiv:1608.08710; scales of batch normalisation, Liu et al., arXiv:1708.06519; distance from the other filters, He
 * et al. (FPGM), arXiv:1811.00250; group-wise means, Fang et al. (DepGraph), arXiv:2301.12900.
 */
import type { Graph } from "../../graph/graph.ts";
import { isOp } from "../../graph/graph.ts";
import { batchNorm } from "../../ops/nn/batch-norm.ts";
import { strides } from "../../tensor/shape.ts";
import { elementCount, numberReader, type Tensor } from "../../tensor/tensor.ts";
import { UserError } from "../../util/errors.ts";
import { makeRng } from "../../util/rng.ts";
import type { ChannelGroup, GroupOperand } from "./groups.ts";

/** One number for each unit of each group, by the group's name: larger is more important. */
export type Importance = ReadonlyMap<string, Float64Array>;

export const WEIGHT_CRITERIA = ["l1", "l2", "bn", "fpgm", "random"] as const;
export type WeightCriterion = (typeof WEIGHT_CRITERIA)[number];

/** Whether the operand holds the weights of a layer: learned, and no bias. */
export const isWeight = ({ node, position }: GroupOperand, graph: Graph): boolean =>
  node.op.contracts === true &&
  node.op.parameters?.includes(position) === true &&
  graph.constants.get(node.ins[position]!)!.type.shape.length > 1;

/** Calls `body` with the flat position of every element of a slice of a shape. */
export function eachInSlice(
  shape: readonly number[],
  axis: number,
  indices: readonly number[],
  body: (at: number) => void,
): void {
  const inner = strides(shape)[axis]!;
  const size = shape[axis]!;
  const outer = elementCount(shape.slice(0, axis));
  for (let o = 0; o < outer; o++) {
    for (const i of indices) {
      const first = (o * size + i) * inner;
      for (let k = 0; k < inner; k++) body(first + k);
    }
  }
}

/** Sums `of(position)` over the slice of each unit. */
export function sumUnits(
  operand: Pick<GroupOperand, "axis" | "units">,
  shape: readonly number[],
  of: (at: number) => number,
): Float64Array {
  return Float64Array.from(operand.units, (indices) => {
    let sum = 0;
    eachInSlice(shape, operand.axis, indices, (at) => {
      sum += of(at);
    });
    return sum;
  });
}

/** The mean of several numbers for each unit of a group. Throws UserError where there are none. */
export function meanOf(
  lists: readonly Float64Array[],
  { name, count }: ChannelGroup,
): Float64Array {
  if (lists.length === 0) {
    throw new UserError("E_UNSUPPORTED", "no constant weights make its channels", {
      where: name,
      hint: "if they are stored in fewer bits, unpack them first (unpackWeights)",
    });
  }
  const out = new Float64Array(count);
  for (const list of lists) for (let u = 0; u < count; u++) out[u]! += list[u]! / lists.length;
  return out;
}

const tensorOfOperand = (graph: Graph, { node, position }: GroupOperand): Tensor =>
  graph.constants.get(node.ins[position]!)!;

function magnitudes(graph: Graph, group: ChannelGroup, power: 1 | 2): Float64Array {
  const lists = group.operands
    .filter((o) => isWeight(o, graph))
    .map((o) => {
      const t = tensorOfOperand(graph, o);
      const read = numberReader(t);
      const of = power === 1 ? (at: number) => Math.abs(read(at)) : (at: number) => read(at) ** 2;
      return sumUnits(o, t.type.shape, of);
    });
  return meanOf(lists, group);
}

/** Sums of the distances of each unit's weights from those of the other units. */
function distances(graph: Graph, group: ChannelGroup): Float64Array {
  const lists = group.operands
    .filter((o) => o.role === "out" && isWeight(o, graph))
    .map((o) => {
      const t = tensorOfOperand(graph, o);
      const read = numberReader(t);
      const rows = o.units.map((indices) => {
        const row: number[] = [];
        eachInSlice(t.type.shape, o.axis, indices, (at) => row.push(read(at)));
        return Float64Array.from(row);
      });
      return distanceSums(rows);
    });
  return meanOf(lists, group);
}

function distanceSums(rows: readonly Float64Array[]): Float64Array {
  const sums = new Float64Array(rows.length);
  for (let a = 0; a < rows.length; a++) {
    for (let b = a + 1; b < rows.length; b++) {
      const [p, q] = [rows[a]!, rows[b]!];
      let square = 0;
      for (let k = 0; k < p.length; k++) square += (p[k]! - q[k]!) ** 2;
      const distance = Math.sqrt(square);
      sums[a]! += distance;
      sums[b]! += distance;
    }
  }
  return sums;
}

/** Magnitudes of batch-norm scales; infinite, so that nothing goes, where a group has none. */
function scales(graph: Graph, group: ChannelGroup): Float64Array {
  const lists = group.operands
    .filter((o) => isOp(o.node, batchNorm) && o.position === 1)
    .map((o) => {
      const t = tensorOfOperand(graph, o);
      const read = numberReader(t);
      return sumUnits(o, t.type.shape, (at) => Math.abs(read(at)));
    });
  if (lists.length === 0) return new Float64Array(group.count).fill(Number.POSITIVE_INFINITY);
  return meanOf(lists, group);
}

export interface ImportanceOptions {
  /** Of "random"; default 1. */
  readonly seed?: number;
}

/**
 * The importance of every unit by its weights: sums over the group's weights, the mean over its layers, not yet
 * comparable between groups (see `normalised`). Throws UserError for "bn" where no group has a batch normalisation.
 */
export function weightImportance(
  graph: Graph,
  groups: readonly ChannelGroup[],
  criterion: WeightCriterion,
  { seed = 1 }: ImportanceOptions = {},
): Importance {
  const rng = makeRng(seed);
  const found = new Map(
    groups.map((group): readonly [string, Float64Array] => {
      switch (criterion) {
        case "l1":
          return [group.name, magnitudes(graph, group, 1)];
        case "l2":
          return [group.name, magnitudes(graph, group, 2)];
        case "fpgm":
          return [group.name, distances(graph, group)];
        case "bn":
          return [group.name, scales(graph, group)];
        case "random":
          return [group.name, Float64Array.from({ length: group.count }, () => rng.next())];
      }
    }),
  );
  if (criterion === "bn" && [...found.values()].every((s) => s[0] === Number.POSITIVE_INFINITY)) {
    throw new UserError("E_MODEL", "no layer whose channels can go has a batch normalisation", {
      hint: "it was folded into the weights already: use l1, l2 or fpgm",
    });
  }
  return found;
}

/** Each group divided by its mean: layers of any scale compare. */
export function normalised(importance: Importance): Importance {
  return new Map(
    [...importance].map(([name, list]) => {
      const mean = list.reduce((a, b) => a + b, 0) / list.length;
      const unit = mean > 0 && Number.isFinite(mean) ? mean : 1;
      return [name, list.map((x) => x / unit)];
    }),
  );
}
