/** @file A multilayer perceptron. */
import type { Graph } from "../../graph/graph.ts";
import { Net } from "../net.ts";
import type { ModelOptions } from "./options.ts";

export interface MlpOptions extends ModelOptions {
  /** Numbers in a row; default 784. */
  readonly inputs?: number;
  /** Widths of the hidden layers; default 128 and 64. */
  readonly hidden?: readonly number[];
}

/** Input "features" [batch, inputs]; ReLU behind every hidden layer. */
export function mlp(options: MlpOptions = {}): Graph {
  const { batch = 1, classes = 10, seed = 1, inputs = 784, hidden = [128, 64] } = options;
  const net = new Net("mlp", { seed });
  let x = net.input("features", [batch, inputs]);
  hidden.forEach((width, i) => {
    x = net.relu(net.linear(x, width, `layer${i + 1}`));
  });
  return net.build(net.linear(x, classes, "head"));
}
