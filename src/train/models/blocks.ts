/**
 * @file The cheap blocks of Moonshine (Crowley, Gray, Storkey, arXiv:1711.02613): what takes the place of a k x k
 * convolution from N to some number of channels. G(g): grouped convolution, normalisation, ReLU, 1 x 1. B(b) and BG(b,g):
 * 1 x 1, k x k, 1 x 1, normalised between.
 */
import { type BlockType, groupsOf } from "../../compress/substitute/block.ts";
import type { Value } from "../../graph/graph.ts";
import { UserError } from "../../util/errors.ts";
import type { Net } from "../net.ts";

/** One layer of a block. The k x k convolution is the one that strides and pads. */
export type BlockLayer =
  | { readonly kind: "window"; readonly outputs: number; readonly groups: number }
  | { readonly kind: "point"; readonly outputs: number }
  | { readonly kind: "norm" }
  | { readonly kind: "relu" };

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
