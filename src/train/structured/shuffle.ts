/** @file Linear ShuffleNet: grouped 1 x 1, channel shuffle, 3 x 3 each channel by itself, grouped 1 x 1; all linear. */
import type { Value } from "../../graph/graph.ts";
import { reshape } from "../../ops/shape/reshape.ts";
import { transpose } from "../../ops/shape/transpose.ts";
import { channelsOf, plainConv, type Site, type Substitute } from "./site.ts";

/** (g, C / g) channels as (C / g, g). */
function shuffled({ graph }: Site, x: Value, groups: number): Value {
  const { shape } = graph.typeOf(x);
  const [lead, channels] = [shape.slice(0, -1), shape.at(-1)!];
  const apart = graph.apply(reshape, [x], { shape: [...lead, groups, channels / groups] });
  const order = [...lead.keys(), lead.length + 1, lead.length];
  return graph.apply(reshape, [graph.apply(transpose, [apart], { perm: order })], { shape });
}

/** The largest number of groups up to `groups` that divides inputs, outputs and a quarter of the outputs. */
function evenGroups(groups: number, inputs: number, outputs: number): number {
  const inner = Math.floor(outputs / 4);
  for (let g = groups; g > 1; g--) if ([inputs, outputs, inner].every((n) => n % g === 0)) return g;
  return 1;
}

export const linearShuffle =
  ({ groups: most }: { readonly groups: number }): Substitute =>
  (site, x, outputs, window, name) => {
    const inputs = channelsOf(site, x);
    const groups = evenGroups(most, inputs, outputs);
    const inner = Math.max(1, Math.floor(outputs / 4));
    const point = { kernel: [1, 1], stride: [1, 1], groups, compressed: true } as const;
    const first = { ...point, deviation: Math.sqrt(groups / inputs) };
    const narrow = plainConv(site, x, inner, first, `${name}.in`);
    const deviation = Math.sqrt(1 / (window.kernel[0] * window.kernel[1]));
    const middle = { ...window, groups: inner, deviation, compressed: true };
    const mixed = groups === 1 ? narrow : shuffled(site, narrow, groups);
    const wide = plainConv(site, mixed, inner, middle, `${name}.window`);
    const last = { ...point, deviation: Math.sqrt(groups / inner) };
    return plainConv(site, wide, outputs, last, `${name}.out`);
  };
