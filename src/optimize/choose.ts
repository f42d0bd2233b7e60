/** @file Judging candidates against the limits, and saying in words only what the measurement supports. */
import type { BaselineReport, CandidateReport, Latency, Limits } from "./types.ts";

const kB = (bytes: number): string => `${Number((bytes / 1000).toPrecision(3))} kB`;

const digits = (x: number): string => Number(x.toPrecision(3)).toString();

/** Whether a candidate is within every limit, and what to remark. */
export function judge(
  c: Omit<CandidateReport, "accepted" | "remark">,
  limits: Limits,
): Pick<CandidateReport, "accepted" | "remark"> {
  const unit = c.metric === "mse" ? "" : " points";
  const problems: string[] = [];
  if (!(c.drop.value <= limits.maxDrop)) {
    problems.push(`drops ${digits(c.drop.value)}${unit}, allowed ${digits(limits.maxDrop)}`);
  }
  if (limits.maxBytes !== undefined && c.bytes.total > limits.maxBytes) {
    problems.push(`${c.bytes.total} bytes, allowed ${limits.maxBytes}`);
  }
  if (limits.maxLatencyMs !== undefined && !(c.latencyMs <= limits.maxLatencyMs)) {
    problems.push(`takes ${digits(c.latencyMs)} ms, allowed ${digits(limits.maxLatencyMs)}`);
  }
  if (problems.length > 0) return { accepted: false, remark: problems.join("; ") };
  const open = c.drop.high > limits.maxDrop && c.drop.value > 0;
  const remark = open
    ? `within the limit as measured; the 95 % interval reaches ${digits(c.drop.high)}${unit}`
    : "";
  return { accepted: true, remark };
}

/** The rounds of two latencies do not overlap: the difference is larger than the noise seen. */
const apart = (a: Latency, b: Latency): boolean => a.highMs < b.lowMs || b.highMs < a.lowMs;

/** What the chosen candidate changed, claim by claim. */
export function describeFindings(
  base: BaselineReport,
  chosen: CandidateReport | null,
  candidates: readonly CandidateReport[],
  limits: Limits,
): string[] {
  if (chosen === null) {
    return ["No candidate is within the limits; the table says which limit each one breaks."];
  }
  const size = base.bytes.total / chosen.bytes.total;
  const findings = [
    size > 1.01
      ? `The artefact is ${digits(size)} times smaller: ${kB(base.bytes.total)} to ${kB(chosen.bytes.total)}.`
      : "The artefact is not smaller than the original compiled as it is.",
  ];
  const speed = base.latency.p50Ms / chosen.latency.p50Ms;
  if (!apart(base.latency, chosen.latency) || Math.abs(speed - 1) < 0.02) {
    findings.push("No difference in latency is supported beyond the noise of the rounds.");
  } else if (speed > 1) findings.push(`It is ${digits(speed)} times faster in this engine.`);
  else findings.push(`It is ${digits(1 / speed)} times slower in this engine.`);
  findings.push(metricFinding(chosen, limits));
  const faster = fasterAlternative(chosen, candidates);
  return faster === null ? findings : [...findings, faster];
}

/** The fastest other candidate within the limits, when it is faster beyond the noise. */
function fasterAlternative(
  chosen: CandidateReport,
  candidates: readonly CandidateReport[],
): string | null {
  const others = candidates.filter((c) => c.accepted && c !== chosen);
  if (others.length === 0) return null;
  const best = others.reduce((a, b) => (b.latencyMs < a.latencyMs ? b : a));
  const gain = chosen.latencyMs / best.latencyMs;
  if (!apart(best.latency, chosen.latency) || gain < 1.02) return null;
  return (
    `${best.recipe} is ${digits(gain)} times faster than ${chosen.recipe} and takes ${kB(best.bytes.total)}; ` +
    "the objective latency would choose by speed."
  );
}

function metricFinding({ metric, drop }: CandidateReport, limits: Limits): string {
  const range = `95 % interval ${digits(drop.low)} to ${digits(drop.high)}`;
  if (metric === "mse") {
    return `The relative squared error against the original is ${digits(drop.value)} (${range}).`;
  }
  if (metric === "agreement") {
    return `${digits(drop.value)} % of the predictions differ from the original's (${range}).`;
  }
  if (drop.low > 0) return `Accuracy drops by ${digits(drop.value)} points (${range}).`;
  if (drop.high < 0) return `Accuracy rises by ${digits(-drop.value)} points (${range}).`;
  const bound = drop.high <= limits.maxDrop ? " and stays within the limit" : "";
  return `No change of accuracy is supported (measured drop ${digits(drop.value)} points, ${range})${bound}.`;
}
