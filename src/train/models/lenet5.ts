/** @file LeNet-5 (LeCun et al. 1998) with ReLU and maximum pooling, on 28 x 28 pictures. */
import type { Graph } from "../../graph/graph.ts";
import { Net } from "../net.ts";
import type { ModelOptions } from "./options.ts";

/** 61,706 weights for ten classes. */
export function lenet5({ batch = 1, classes = 10, seed = 1 }: ModelOptions = {}): Graph {
  const net = new Net("lenet5", { seed, fan: "in" });
  const x = net.input("image", [batch, 28, 28, 1]);
  const c1 = net.relu(net.conv2d(x, 6, "conv1", { kernel: 5, pad: 2, bias: true }));
  const c2 = net.conv2d(net.maxPool(c1, 2), 16, "conv2", { kernel: 5, pad: 0, bias: true });
  const flat = net.flatten(net.maxPool(net.relu(c2), 2));
  const f1 = net.relu(net.linear(flat, 120, "fc1"));
  const f2 = net.relu(net.linear(f1, 84, "fc2"));
  return net.build(net.linear(f2, classes, "fc3"));
}
