/** @file The report's first sentences: what was chosen, what it gained and lost, and what is not certain. */
import type { CandidateReport, Latency, Limits, OptimizeReport } from "../optimize/types.ts";
import { asGiven, bytes, duration, METRICS, range, short } from "./format.ts";

/** "3.47 times smaller", or the plain fact when there is no gain. */
function ratio(before: number, after: number, less: string, more: string): string {
  const factor = before / after;
  if (!Number.isFinite(factor) || factor <= 0) return "not comparable";
  if (Math.abs(factor - 1) < 0.005) return "unchanged";
  return factor > 1 ? `${short(factor)} times ${less}` : `${short(1 / factor)} times ${more}`;
}

export const sizeChange = (before: number, after: number): string =>
  ratio(before, after, "smaller", "larger");

const overlap = (a: Latency, b: Latency): boolean => a.lowMs <= b.highMs && b.lowMs <= a.highMs;

/** The change of latency, or that the rounds of measurement overlap. */
export const latencyChange = (before: Latency, after: Latency): string =>
  overlap(before, after)
    ? "no difference beyond the spread of the rounds"
    : ratio(before.p50Ms, after.p50Ms, "faster", "slower");

/** The change of the metric, and whether the evaluation rows support it. */
export function metricChange(candidate: CandidateReport): string {
  const words = METRICS[candidate.metric];
  const { value, low, high } = candidate.drop;
  const interval = `95 % interval ${range(words.value, low, high)}${words.dropUnit}`;
  if (!words.rising) return interval;
  if (low > 0) return `a loss of ${words.value(value)} (${interval})`;
  if (high < 0) return `a gain of ${words.value(-value)} (${interval} of loss)`;
  if (value === 0) return `no difference (${interval} of loss)`;
  const way = value > 0 ? "loss" : "gain";
  const measured = `measured ${way} ${words.value(Math.abs(value))}`;
  return `no difference that these rows support (${measured}, ${interval} of loss)`;
}

/** The limits asked, one phrase each. */
export function limitPhrases(report: OptimizeReport): string[] {
  const { maxDrop, maxBytes, maxLatencyMs }: Limits = report.limits;
  const words = METRICS[report.baseline.metric];
  const of = words.rising ? `lost of ${words.name}` : words.name;
  return [
    ...(Number.isFinite(maxDrop)
      ? [
          `at most ${asGiven(maxDrop)}${maxDrop === 1 ? words.dropUnit.replace(/s$/, "") : words.dropUnit} ${of}`,
        ]
      : []),
    ...(maxBytes === undefined ? [] : [`at most ${bytes(maxBytes)} of code and weights`]),
    ...(maxLatencyMs === undefined ? [] : [`at most ${duration(maxLatencyMs)} median latency`]),
  ];
}

/** One sentence that answers what the user came for. */
export function verdict(report: OptimizeReport): string {
  const { baseline, chosen, candidates } = report;
  if (chosen === null) {
    const asked = limitPhrases(report).join("; ") || "none were asked";
    return `Nothing chosen: none of the ${candidates.length} candidates is within the limits (${asked}).`;
  }
  const words = METRICS[chosen.metric];
  const size = `${bytes(baseline.bytes.total)} to ${bytes(chosen.bytes.total)}`;
  const metric = words.rising
    ? `${words.name} ${words.quantity(baseline.value)} to ${words.quantity(chosen.value)}`
    : `${words.name} ${words.quantity(chosen.value)}`;
  const time = `${duration(baseline.latency.p50Ms)} to ${duration(chosen.latency.p50Ms)}`;
  return [
    `${chosen.recipe}: ${size} (${sizeChange(baseline.bytes.total, chosen.bytes.total)})`,
    `${metric}, ${metricChange(chosen)}`,
    `latency ${time} (${latencyChange(baseline.latency, chosen.latency)}).`,
  ].join("; ");
}
