/** @file A small residual network on pictures of 28 x 28 with one channel, for tests that train. */
import type { Graph } from "../../src/graph/graph.ts";
import { Net } from "../../src/train/net.ts";

export interface SmallResidualOptions {
  readonly batch?: number;
  readonly seed?: number;
  /** Channels of the first half; default 8. */
  readonly width?: number;
}

/** Stem to 14 x 14, a residual block there and one at 7 x 7, mean, ten classes. */
export function smallResidual(options: SmallResidualOptions = {}): Graph {
  const { batch = 1, seed = 1, width = 8 } = options;
  const net = new Net("small-residual", { seed });
  const x = net.input("image", [batch, 28, 28, 1]);
  let y = net.relu(net.batchNorm(net.conv2d(x, width, "stem", { stride: 2 }), "stem.norm"));
  for (const [i, stride] of [1, 2].entries()) {
    const name = `block${i + 1}`;
    const channels = width * stride;
    const a = net.conv2d(y, channels, `${name}.conv1`, { stride });
    const active = net.relu(net.batchNorm(a, `${name}.norm1`));
    const h = net.batchNorm(net.conv2d(active, channels, `${name}.conv2`), `${name}.norm2`);
    const short =
      stride === 1 ? y : net.conv2d(y, channels, `${name}.short`, { kernel: 1, stride });
    y = net.relu(net.add(short, h, `${name}.sum`), `${name}.out`);
  }
  return net.build(net.linear(net.globalPool(y, "pool"), 10, "head"));
}
