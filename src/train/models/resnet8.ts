/** @file ResNet-8 of MLPerf Tiny (image classification): three stacks of one residual block on 32 x 32 pictures. */
import type { Graph, Value } from "../../graph/graph.ts";
import { Net } from "../net.ts";
import type { ModelOptions } from "./options.ts";

/** 77,946 weights, 480 of them of normalisations; 12.5 million multiply-accumulates a picture. */
export function resnet8({ batch = 1, classes = 10, seed = 1 }: ModelOptions = {}): Graph {
  const net = new Net("resnet8", { seed });
  const x = net.input("image", [batch, 32, 32, 3]);
  const unit = (v: Value, channels: number, stride: number, name: string): Value =>
    net.batchNorm(net.conv2d(v, channels, name, { stride }), `${name}.norm`);
  let y = net.relu(unit(x, 16, 1, "stem"));
  for (const [i, channels] of [16, 32, 64].entries()) {
    const stride = i === 0 ? 1 : 2;
    const name = `block${i + 1}`;
    const inner = net.relu(unit(y, channels, stride, `${name}.conv1`));
    const outer = unit(inner, channels, 1, `${name}.conv2`);
    const short =
      i === 0 ? y : net.conv2d(y, channels, `${name}.short`, { kernel: 1, stride, bias: true });
    y = net.relu(net.add(outer, short));
  }
  return net.build(net.linear(net.globalPool(y), classes, "head"));
}
