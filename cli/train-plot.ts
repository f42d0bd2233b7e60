/** @file plot.html of a training run, from its log. */
import { type Chart, type CurvePoint, renderTraining } from "../src/report/training.ts";
import type { TrainingMetric } from "../src/train/evaluate.ts";
import type { LogRecord } from "./train-log.ts";

export interface PlotInput {
  readonly name: string;
  readonly metric: TrainingMetric;
  readonly steps: number;
  readonly records: readonly LogRecord[];
  readonly status: string;
  readonly running: boolean;
}

/** The page with the curves of the loss, the metric and the rate. */
export function plotOf({ name, metric, steps, records, status, running }: PlotInput): string {
  const points = (kind: LogRecord["kind"], key: string): CurvePoint[] =>
    records.flatMap((r) =>
      r.kind === kind && typeof r[key] === "number" ? [{ step: r.step, value: r[key] }] : [],
    );
  const evaluated = { name: "evaluation", kind: "evaluation" as const };
  const charts: Chart[] = [
    {
      title: "Training loss",
      scale: "log",
      curves: [
        { name: "steps", kind: "train", points: points("step", "loss") },
        { name: "mean of the epoch", kind: "evaluation", points: points("epoch", "loss") },
      ],
    },
    {
      title: metric === "accuracy" ? "Accuracy, %" : "Mean squared error",
      scale: metric === "accuracy" ? "linear" : "log",
      curves: [
        ...(metric === "accuracy"
          ? [{ name: "training", kind: "train" as const, points: points("epoch", "accuracy") }]
          : []),
        { ...evaluated, points: points("evaluation", "value") },
      ],
    },
    {
      title: "Learning rate",
      scale: "linear",
      curves: [{ name: "rate", kind: "train", points: points("step", "rate") }],
    },
  ];
  const settings = records.find((r) => r.kind === "settings") ?? {};
  const facts = Object.entries(settings)
    .filter(([key]) => key !== "kind" && key !== "step")
    .map(([key, value]): [string, string] => [key, plain(value)]);
  return renderTraining({ title: `Training of ${name}`, status, running, steps, charts, facts });
}

/** A setting as text. */
function plain(value: unknown): string {
  if (Array.isArray(value)) return value.map(plain).join(", ");
  if (typeof value !== "object" || value === null) return String(value);
  const entries = Object.entries(value).filter(([, v]) => v !== undefined);
  return entries.map(([k, v]) => `${k} ${plain(v)}`).join("; ");
}
