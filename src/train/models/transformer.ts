/** @file A small transformer encoder that classifies sequences of vectors, or pictures cut into patches. */
import type { Graph, Value } from "../../graph/graph.ts";
import { reduceMean } from "../../ops/reduce/index.ts";
import { reshape } from "../../ops/shape/reshape.ts";
import { UserError } from "../../util/errors.ts";
import { Net } from "../net.ts";
import type { ModelOptions } from "./options.ts";

interface Size extends ModelOptions {
  /** Default 64. */
  readonly width?: number;
  /** Default 4; divides the width. */
  readonly heads?: number;
  /** Default 2. */
  readonly layers?: number;
  /** Width between the two fully connected layers of a block; default 4 times the width. */
  readonly hidden?: number;
}

/** "sequence" [batch, tokens, features]. */
export interface SequenceTransformerOptions extends Size {
  readonly tokens: number;
  readonly features: number;
}

/** "image" [batch, side, side, channels], cut into squares (Dosovitskiy et al., arXiv:2010.11929). */
export interface PictureTransformerOptions extends Size {
  readonly side: number;
  readonly patch: number;
  /** Default 3. */
  readonly channels?: number;
}

export type TransformerOptions = SequenceTransformerOptions | PictureTransformerOptions;

/** Blocks that normalise first; the mean of the tokens is classified. */
export function transformer(options: TransformerOptions): Graph {
  const { classes = 10, seed = 1, width = 64, heads = 4, layers = 2, hidden = 4 * width } = options;
  const net = new Net("transformer", { seed });
  let x = net.positions(tokensOf(net, options, width), "positions");
  for (let i = 1; i <= layers; i++) {
    const at = `block${i}`;
    x = net.add(x, net.attention(net.layerNorm(x, `${at}.norm1`), heads, `${at}.attention`));
    const wide = net.gelu(net.linear(net.layerNorm(x, `${at}.norm2`), hidden, `${at}.up`));
    x = net.add(x, net.linear(wide, width, `${at}.down`), at);
  }
  const mean = net.graph.apply(reduceMean, [net.layerNorm(x, "norm")], {
    axes: [1],
    keepDims: false,
  });
  return net.build(net.linear(mean, classes, "head"));
}

/** [batch, tokens, width]. */
function tokensOf(net: Net, options: TransformerOptions, width: number): Value {
  const { batch = 1 } = options;
  if ("tokens" in options) {
    const x = net.input("sequence", [batch, options.tokens, options.features]);
    return net.linear(x, width, "embed");
  }
  const { side, patch, channels = 3 } = options;
  if (side % patch !== 0) {
    throw new UserError("E_ARGUMENT", `a side of ${side} is no multiple of patches of ${patch}`, {
      hint: "expected patches that divide the picture",
    });
  }
  const x = net.input("image", [batch, side, side, channels]);
  const cut = { kernel: patch, stride: patch, pad: 0, bias: true };
  const y = net.conv2d(x, width, "embed", cut);
  return net.graph.apply(reshape, [y], { shape: [batch, (side / patch) ** 2, width] });
}
