/** @file How much quantising one layer changes the result: what mixed precision and reports go by. */
import type { Executor, Graph } from "../../graph/graph.ts";
import { type Tensor, toNumbers } from "../../tensor/tensor.ts";
import { type CalibrationStats, layerName } from "./calibrate.ts";
import { type QuantizeOptions, quantizeGraph } from "./quantize-graph.ts";
import { selectNodes } from "./selection.ts";

export interface LayerSensitivity {
  /** `layerName` of the layer. */
  readonly name: string;
  /** Mean squared difference of the outputs from those of the float model. */
  readonly mse: number;
  /** Signal to quantisation noise in dB; infinite when nothing changed. */
  readonly sqnr: number;
}

export interface SensitivityOptions extends QuantizeOptions {
  /** "one": quantise the layer alone; "all-but": quantise everything else. Default "one". */
  readonly mode?: "one" | "all-but";
}

/** Running sums of signal and noise. */
class Noise {
  private signal = 0;
  private noise = 0;
  private count = 0;

  add(expected: readonly Tensor[], got: readonly Tensor[]): void {
    expected.forEach((t, i) => {
      const [x, y] = [toNumbers(t), toNumbers(got[i]!)];
      x.forEach((v, k) => {
        this.signal += v * v;
        this.noise += (v - y[k]!) ** 2;
        this.count++;
      });
    });
  }

  get mse(): number {
    return this.noise / Math.max(1, this.count);
  }

  get sqnr(): number {
    if (this.noise === 0) return Number.POSITIVE_INFINITY;
    return 10 * Math.log10(this.signal / this.noise);
  }
}

/** Difference of two models with the same inputs and outputs on samples. */
export async function compareGraphs(
  graph: Graph,
  other: Graph,
  executor: Executor,
  samples: readonly (readonly Tensor[])[],
): Promise<{ readonly mse: number; readonly sqnr: number }> {
  const noise = new Noise();
  for (const feeds of samples) {
    noise.add(await executor(graph, feeds), await executor(other, feeds));
  }
  return { mse: noise.mse, sqnr: noise.sqnr };
}

/** Layers that multiply, most sensitive first: largest error when quantised alone ("all-but": when spared). */
export async function layerSensitivity(
  graph: Graph,
  calibration: CalibrationStats,
  executor: Executor,
  samples: readonly (readonly Tensor[])[],
  options: SensitivityOptions = {},
): Promise<readonly LayerSensitivity[]> {
  const { mode = "one", ...quantizeOptions } = options;
  const { nodes } = selectNodes(graph, quantizeOptions);
  const names = [...nodes].map((node) => layerName(graph, node));
  const layers = [...nodes].filter((node) => node.op.cost !== undefined);
  const expected: (readonly Tensor[])[] = [];
  for (const feeds of samples) expected.push(await executor(graph, feeds));
  const found: LayerSensitivity[] = [];
  for (const name of new Set(layers.map((node) => layerName(graph, node)))) {
    const others = new Set([...names, ...(options.keepFloat ?? [])]);
    others.delete(name);
    const keepFloat = mode === "one" ? others : new Set([name, ...(options.keepFloat ?? [])]);
    const quantised = quantizeGraph(graph, calibration, { ...quantizeOptions, keepFloat });
    const noise = new Noise();
    for (const [i, feeds] of samples.entries()) {
      noise.add(expected[i]!, await executor(quantised, feeds));
    }
    found.push({ name, mse: noise.mse, sqnr: noise.sqnr });
  }
  return found.sort((a, b) => (mode === "one" ? b.mse - a.mse : a.mse - b.mse));
}
