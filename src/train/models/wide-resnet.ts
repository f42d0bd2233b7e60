/** @file WRN-d-w (Zagoruyko & Komodakis, arXiv:1605.07146): pre-activation residual blocks on 32 x 32 pictures. */

import { blockType } from "../../compress/substitute/block.ts";
import type { Graph, Value } from "../../graph/graph.ts";
import { UserError } from "../../util/errors.ts";
import { Net } from "../net.ts";
import type { Substitute } from "../structured/site.ts";
import { structuredBlock } from "../structured/types.ts";
import { addBlock } from "./blocks.ts";
import type { ModelOptions } from "./options.ts";

export type BlockChoice = string | Substitute;

export interface WideResnetOptions extends ModelOptions {
  /** 6n + 4: n blocks in each of three groups. */
  readonly depth: number;
  readonly width: number;
  /** Side of the pictures; default 32. */
  readonly side?: number;
  /**
   * What stands for the 3 x 3 convolutions of the residual blocks: as written in blocks.ts or structured/types.ts, or a
   * layer of one's own; a list has one entry for each block. One bottleneck stands for both convolutions of its block.
   * Default "S".
   */
  readonly blocks?: BlockChoice | readonly BlockChoice[];
}

export function wideResnet(options: WideResnetOptions): Graph {
  const {
    depth,
    width,
    batch = 1,
    classes = 10,
    seed = 1,
    side = 32,
    blocks: types = "S",
  } = options;
  const blocks = (depth - 4) / 6;
  if (!Number.isInteger(blocks) || blocks < 1) {
    throw new UserError("E_ARGUMENT", `a wide residual network has depth 6n + 4, got ${depth}`, {
      hint: "10, 16, 22, 28 and 40 are usual",
    });
  }
  const alike = typeof types === "string" || typeof types === "function";
  const names = alike ? Array<BlockChoice>(3 * blocks).fill(types) : types;
  if (names.length !== 3 * blocks) {
    throw new UserError("E_ARGUMENT", `${names.length} block types for ${3 * blocks} blocks`, {
      hint: "give one for each residual block, or one for all",
    });
  }
  const net = new Net(`wrn-${depth}-${width}`, { seed });
  const x = net.input("image", [batch, side, side, 3]);
  let y = net.conv2d(x, 16, "stem");
  for (const [i, base] of [16, 32, 64].entries()) {
    for (let j = 0; j < blocks; j++) {
      const stride = i > 0 && j === 0 ? 2 : 1;
      const type = partOf(names[i * blocks + j]!);
      y = block(net, y, type, base * width, stride, `group${i + 1}.block${j + 1}`);
    }
  }
  const features = net.globalPool(net.relu(net.batchNorm(y, "norm")));
  return net.build(net.linear(features, classes, "head"));
}

/** One of the parts of a residual block, from its channels to others. */
type Part = (net: Net, x: Value, channels: number, stride: number, name: string) => Value;

interface Parts {
  readonly add: Part;
  /** It stands for the whole residual branch. */
  readonly alone: boolean;
}

function partOf(choice: BlockChoice): Parts {
  const structured = typeof choice === "string" ? structuredBlock(choice) : choice;
  if (structured !== null) {
    const add: Part = (net, x, channels, stride, name) =>
      structured(net, x, channels, { kernel: [3, 3], stride: [stride, stride] }, name);
    return { add, alone: false };
  }
  const type = blockType(choice as string);
  const add: Part = (net, x, channels, stride, name) =>
    addBlock(net, x, type, channels, stride, name);
  return { add, alone: type.bottleneck !== null };
}

/** The shortcut sees the activated input where the channels change, else the raw one. */
function block(
  net: Net,
  x: Value,
  { add, alone }: Parts,
  channels: number,
  stride: number,
  name: string,
): Value {
  const active = net.relu(net.batchNorm(x, `${name}.norm1`));
  let h = add(net, active, channels, stride, `${name}.conv1`);
  if (!alone) {
    const inner = net.relu(net.batchNorm(h, `${name}.norm2`));
    h = add(net, inner, channels, 1, `${name}.conv2`);
  }
  const same = net.channels(x) === channels;
  const short = same ? x : net.conv2d(active, channels, `${name}.short`, { kernel: 1, stride });
  return net.add(short, h, name);
}
