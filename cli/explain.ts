/** @file The explanation of a selection as tables. */
import type { Estimate } from "../src/select/costs.ts";
import type { Explanation } from "../src/select/select.ts";
import { ms, plural, table } from "./format.ts";

const time = (ns: number): string => ms(ns / 1e6);
const estimate = (e: Estimate): string => `${e.measured ? "" : "~"}${time(e.ns)}`;

/** Per layer the choice, the runner-up and what that would cost; then conversions and the whole network. */
export function describeExplanation(explanation: Explanation, width: number): string {
  const { layers, conversions, predictedNs, gapNs } = explanation;
  const rows = layers.map(({ name, chosen, runnerUp }) => [
    name,
    chosen.name,
    estimate(chosen),
    runnerUp?.candidate.name ?? "none",
    runnerUp === null ? "" : time(runnerUp.gapNs),
  ]);
  const moved = conversions.map((c) => [c.name, c.primitive, estimate(c), "", ""]);
  const chosen = [...layers.map((l) => l.chosen), ...conversions];
  const modelled = chosen.filter((c) => !c.measured).length;
  const source =
    modelled === 0
      ? "all times measured"
      : `${modelled} of ${chosen.length} times modelled (~), the others measured`;
  const proof =
    gapNs === 0
      ? "no selection is predicted to be faster"
      : `a selection may be faster by at most ${time(gapNs)}`;
  const header = ["layer", "primitive", "time", "runner-up", "gap"];
  return `${table([header, ...rows, ...moved], { width, right: [2, 4], indent: 0 })}
predicted ${time(predictedNs)}, ${plural(conversions.length, "conversion")} of layout; ${proof}
gap: what the network would lose by the runner-up; ${source}`;
}
