/** @file What `tersor optimize` found, as tables. */
import type { BaselineReport, CandidateReport, OptimizeReport } from "../src/optimize/types.ts";
import { bytes, ms, number, table } from "./format.ts";

const value = (r: BaselineReport | CandidateReport): string =>
  r.metric === "mse"
    ? `${number(r.value)} (${number(r.low)}–${number(r.high)})`
    : `${r.value.toFixed(1)} (${r.low.toFixed(1)}–${r.high.toFixed(1)})`;

const row = (mark: string, name: string, r: BaselineReport | CandidateReport): string[] => [
  mark,
  name,
  value(r),
  bytes(r.bytes.total),
  bytes(r.bytes.gzip),
  ms(r.latencyMs),
];

/** Candidates with the chosen one marked, remarks, and the findings. */
export function describeResult(report: OptimizeReport, width: number): string {
  const { baseline, candidates, chosen, rows } = report;
  const unit = baseline.metric === "mse" ? "error" : `${baseline.metric} %`;
  const header = ["", "candidate", `${unit} (95 %)`, "size", "gzip", "latency"];
  const lines = candidates.map((c) => row(c === chosen ? "*" : c.accepted ? "" : "x", c.recipe, c));
  const options = { width, right: [2, 3, 4, 5], flexible: 1, indent: 0 };
  const remarks = candidates
    .filter((c) => c.remark !== "")
    .map((c) => `  ${c.recipe}: ${c.remark}\n`);
  return [
    `calibrated on ${rows.calibration} rows, evaluated on ${rows.evaluation}; seed ${report.seed}\n\n`,
    table([header, row("", "original", baseline), ...lines], options),
    chosen === null ? "\n" : `\n* chosen: ${chosen.recipe}, ${chosen.description}\n`,
    candidates.some((c) => !c.accepted) ? "x outside a limit\n" : "",
    remarks.length === 0 ? "" : `\nremarks\n${remarks.join("")}`,
    "\n",
    ...report.findings.map((f) => `${f}\n`),
  ].join("");
}
