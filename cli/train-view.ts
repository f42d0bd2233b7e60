/** @file What a training run says on the way. */
import type { TrainingMetric } from "../src/train/evaluate.ts";
import type { EvaluationReport, StepReport } from "../src/train/loop.ts";

/** "1 h 5 min", "2 min 10 s", "8 s" */
export function timeText(seconds: number): string {
  const s = Math.max(0, Math.round(seconds));
  if (s >= 3600) return `${Math.floor(s / 3600)} h ${Math.floor((s % 3600) / 60)} min`;
  return s >= 60 ? `${Math.floor(s / 60)} min ${s % 60} s` : `${s} s`;
}

const lossText = (loss: number): string =>
  loss >= 1000 || (loss < 1e-3 && loss > 0) ? loss.toExponential(2) : loss.toFixed(4);

export const metricText = (value: number, metric: TrainingMetric): string =>
  metric === "accuracy" ? `${value.toFixed(2)} %` : Number(value.toPrecision(4)).toString();

const speedText = (rows: number): string =>
  `${rows >= 100 ? Math.round(rows) : rows.toPrecision(2)}/s`;

/** The line that is replaced while a run goes on: less than 80 columns. */
export function progressLine(r: StepReport, epochs: number, evaluated: string | null): string {
  const parts = [
    `epoch ${r.epoch}/${epochs}`,
    `step ${r.step}/${r.steps}`,
    `loss ${lossText(r.meanLoss)}`,
    ...(r.accuracy === null ? [] : [`${r.accuracy.toFixed(1)} %`]),
    ...(evaluated === null ? [] : [`eval ${evaluated}`]),
    speedText(r.samplesPerSecond),
    `${timeText(r.secondsLeft)} left`,
  ];
  // Long numbers push the least needed out first.
  for (const least of [1, 3]) {
    if (parts.join("  ").length < 80) break;
    parts.splice(least, 1);
  }
  return parts.join("  ").slice(0, 79);
}

/** One line an epoch. */
export function epochLine(r: StepReport & { readonly seconds: number }, epochs: number): string {
  const accuracy = r.accuracy === null ? "" : `  accuracy ${r.accuracy.toFixed(2)} %`;
  const rate = `rate ${Number(r.rate.toPrecision(3))}`;
  const speed = speedText(r.samplesPerSecond);
  return `epoch ${r.epoch}/${epochs}  loss ${lossText(r.meanLoss)}${accuracy}  ${rate}  ${speed}  ${timeText(r.seconds)}`;
}

/** One line an evaluation. */
export function evaluationLine(
  { step, value, isBest, stale, seconds }: EvaluationReport,
  metric: TrainingMetric,
): string {
  const best = isBest
    ? "the best so far"
    : `best was ${stale} evaluation${stale === 1 ? "" : "s"} ago`;
  return `  step ${step}: evaluation ${metric} ${metricText(value, metric)}, ${best}  (${timeText(seconds)})`;
}
