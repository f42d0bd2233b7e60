/** @file WRN-d-w (Zagoruyko & Komodakis, arXiv:1605.07146): pre-activation residual blocks on 32 x 32 pictures. */
import type { Graph, Value } from "../../graph/graph.ts";
import { UserError } from "../../util/errors.ts";
import { Net } from "../net.ts";
import type { ModelOptions } from "./options.ts";

export interface WideResnetOptions extends ModelOptions {
  /** 6n + 4: n blocks in each of three groups. */
  readonly depth: number;
  readonly width: number;
  /** Side of the pictures; default 32. */
  readonly side?: number;
}

export function wideResnet(options: WideResnetOptions): Graph {
  const { depth, width, batch = 1, classes = 10, seed = 1, side = 32 } = options;
  const blocks = (depth - 4) / 6;
  if (!Number.isInteger(blocks) || blocks < 1) {
    throw new UserError("E_ARGUMENT", `a wide residual network has depth 6n + 4, got ${depth}`, {
      hint: "10, 16, 22, 28 and 40 are usual",
    });
  }
  const net = new Net(`wrn-${depth}-${width}`, { seed });
  const x = net.input("image", [batch, side, side, 3]);
  let y = net.conv2d(x, 16, "stem");
  for (const [i, base] of [16, 32, 64].entries()) {
    for (let j = 0; j < blocks; j++) {
      const stride = i > 0 && j === 0 ? 2 : 1;
      y = block(net, y, base * width, stride, `group${i + 1}.block${j + 1}`);
    }
  }
  const features = net.globalPool(net.relu(net.batchNorm(y, "norm")));
  return net.build(net.linear(features, classes, "head"));
}

/** The shortcut sees the activated input where the channels change, else the raw one. */
function block(net: Net, x: Value, channels: number, stride: number, name: string): Value {
  const active = net.relu(net.batchNorm(x, `${name}.norm1`));
  const inner = net.conv2d(active, channels, `${name}.conv1`, { stride });
  const h = net.conv2d(net.relu(net.batchNorm(inner, `${name}.norm2`)), channels, `${name}.conv2`);
  const same = net.channels(x) === channels;
  const short = same ? x : net.conv2d(active, channels, `${name}.short`, { kernel: 1, stride });
  return net.add(short, h, name);
}
