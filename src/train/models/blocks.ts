/**
 * @file The cheap blocks of Moonshine (Crowley, Gray, Storkey, arXiv:1711.02613): what takes the place of a k x k
 * convolution from N to some number of channels. S: the convolution itself. G(g): grouped convolution, normalisation,
 * ReLU, 1 x 1. B(b): 1 x 1 to M = outputs / b channels, k x k, 1 x 1, normalised between. BG(b,g): B(b), its k x k in
 * groups. Groups: a number, N/k (or M/k): k channels a group, N (or M): one channel a group.
 */
import type { Value } from "../../graph/graph.ts";
import { UserError } from "../../util/errors.ts";
import type { Net } from "../net.ts";

export interface BlockType {
  /** As written: S, G(4), G(N/4), G(N), B(2), BG(2,4), BG(2,M/4), BG(2,M). */
  readonly name: string;
  /** Outputs over inner channels; null: no bottleneck, and a residual block has two such parts. */
  readonly bottleneck: number | null;
  /** Either the number of groups or the channels of one; null: no grouped part. */
  readonly grouping: { readonly groups: number } | { readonly channels: number } | null;
}

/** One layer of a block. The k x k convolution is the one that strides and pads. */
export type BlockLayer =
  | { readonly kind: "window"; readonly outputs: number; readonly groups: number }
  | { readonly kind: "point"; readonly outputs: number }
  | { readonly kind: "norm" }
  | { readonly kind: "relu" };

const PATTERN = /^(?:S|G\((\d+|N(?:\/(\d+))?)\)|B\((\d+)\)|BG\((\d+),(\d+|M(?:\/(\d+))?)\))$/;

const hint = "write S, G(4), G(N/4), G(N), B(2), BG(2,4), BG(2,M/4) or BG(2,M)";

/** A block type as written. Throws UserError E_ARGUMENT. */
export function blockType(text: string): BlockType {
  const name = text.replace(/\s+/g, "");
  const found = PATTERN.exec(name);
  const [, g, perGroup, b, bg, inner, perInner] = found ?? [];
  const group = g ?? inner;
  const bottleneck = b ?? bg;
  const channels = perGroup ?? perInner;
  const numbers = [group, bottleneck, channels].filter((n) => n !== undefined && /^\d/.test(n));
  if (found === null || numbers.some((n) => Number(n) < 1)) {
    throw new UserError("E_ARGUMENT", `there is no block type '${text}'`, { hint });
  }
  const alone = group === "N" || group === "M";
  return {
    name,
    bottleneck: bottleneck === undefined ? null : Number(bottleneck),
    grouping:
      group === undefined
        ? null
        : alone || channels !== undefined
          ? { channels: alone ? 1 : Number(channels) }
          : { groups: Number(group) },
  };
}

function groupsOf(type: BlockType, channels: number): number {
  const { grouping } = type;
  if (grouping === null) return 1;
  const groups = "groups" in grouping ? grouping.groups : Math.floor(channels / grouping.channels);
  if (groups >= 1 && channels % groups === 0) return groups;
  throw new UserError("E_ARGUMENT", `${type.name}: ${channels} channels do not split evenly`, {
    hint: "take groups that divide the channels of every layer",
  });
}

/** The layers of a block from one number of channels to another. */
export function blockLayers(
  type: BlockType,
  inputs: number,
  outputs: number,
): readonly BlockLayer[] {
  const between = [{ kind: "norm" }, { kind: "relu" }] as const;
  if (type.bottleneck !== null) {
    const inner = Math.floor(outputs / type.bottleneck);
    if (inner < 1) {
      throw new UserError("E_ARGUMENT", `${type.name} leaves nothing of ${outputs} channels`, {
        hint: "take a smaller bottleneck",
      });
    }
    const window = { kind: "window", outputs: inner, groups: groupsOf(type, inner) } as const;
    const narrow = { kind: "point", outputs: inner } as const;
    return [narrow, ...between, window, ...between, { kind: "point", outputs }];
  }
  if (type.grouping === null) return [{ kind: "window", outputs, groups: 1 }];
  const window = { kind: "window", outputs: inputs, groups: groupsOf(type, inputs) } as const;
  return [window, ...between, { kind: "point", outputs }];
}

/** Names of the layers behind the block's own, in order: none for a block of one layer. */
export function layerNames(layers: readonly BlockLayer[]): readonly string[] {
  if (layers.length === 1) return [""];
  let norms = 0;
  let points = 0;
  const total = layers.filter((l) => l.kind === "point").length;
  return layers.map(({ kind }) => {
    if (kind === "norm") return `.norm${++norms}`;
    if (kind === "point") return total === 2 && points++ === 0 ? ".in" : ".out";
    return kind === "window" ? ".window" : "";
  });
}

/** The block in a network in code, 3 x 3. */
export function addBlock(
  net: Net,
  x: Value,
  type: BlockType,
  outputs: number,
  stride: number,
  name: string,
): Value {
  const layers = blockLayers(type, net.channels(x), outputs);
  const names = layerNames(layers);
  return layers.reduce((y, layer, i) => {
    const own = `${name}${names[i]}`;
    if (layer.kind === "norm") return net.batchNorm(y, own);
    if (layer.kind === "relu") return net.relu(y);
    if (layer.kind === "point") return net.conv2d(y, layer.outputs, own, { kernel: 1 });
    return net.conv2d(y, layer.outputs, own, { stride, groups: layer.groups });
  }, x);
}
