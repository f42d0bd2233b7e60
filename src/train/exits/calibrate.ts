/**
 * @file The threshold of early exits, chosen on data: the least mean cost within an allowed loss of accuracy, or the best
 * accuracy within a mean cost. Choose it on rows that neither trained the network nor judge it afterwards.
 */
import { UserError } from "../../util/errors.ts";
import { argMax } from "../../util/math.ts";
import type { BatchSource } from "../batches.ts";
import { cascade, type OpenCascade } from "./cascade.ts";

/** What every exit says of one row: how sure it is, and whether it is right. The last is the whole network. */
export interface ExitOutcome {
  readonly confidence: readonly number[];
  readonly right: readonly boolean[];
}

/** What a threshold gives on the rows. */
export interface ExitPoint {
  readonly threshold: number;
  /** In per cent. */
  readonly accuracy: number;
  /** In the unit of the costs. */
  readonly meanCost: number;
  /** Share of the rows that leave at each exit. */
  readonly shares: readonly number[];
}

export type ExitTarget =
  /** Points of accuracy that may be lost against the whole network on the same rows. */
  | { readonly maxDrop: number }
  /** Largest mean cost, as a share of that of the whole network with all its exits. */
  | { readonly meanCost: number };

/** Above every confidence: no exit is taken. */
export const NEVER = 2;

/** Thresholds tried at most. */
const TRIED = 1000;

/** The rows of batches of one, each through all stages. Throws UserError when a row has no label. */
export async function exitOutcomes(
  open: OpenCascade,
  rows: BatchSource,
  onRow: (done: number, of: number) => void = () => {},
): Promise<ExitOutcome[]> {
  const found: ExitOutcome[] = [];
  const { about, stages } = open;
  for (let i = 0; i < rows.batchesPerEpoch; i++) {
    const { feeds, labels } = await rows.batch(i);
    const [label] = labels;
    if (label === undefined || labels.length !== 1) {
      throw new UserError("E_DATA", "a row has no label, or is no single one", {
        hint: "give labelled rows in batches of one",
      });
    }
    const confidence: number[] = [];
    const right: boolean[] = [];
    const known: typeof feeds = { ...feeds };
    stages.forEach((stage, k) => {
      const seen = { run: (ins: typeof feeds) => Object.assign(known, stage.run(ins)) };
      const one = { ...about, inputs: [about.inputs[k]!] };
      const { outputs, confidence: sure } = cascade([seen], one, known, 0);
      confidence.push(sure);
      right.push(argMax(Float32Array.from(outputs[about.output] as ArrayLike<number>)) === label);
    });
    found.push({ confidence, right });
    onRow(i + 1, rows.batchesPerEpoch);
  }
  return found;
}

/** Which exit a row takes. */
export const exitTaken = ({ confidence }: ExitOutcome, threshold: number): number =>
  confidence.findIndex((c, i) => i === confidence.length - 1 || c >= threshold);

/** Accuracy and cost at one threshold. `costs`: of each exit, all stages before it included. */
export function exitPoint(
  outcomes: readonly ExitOutcome[],
  costs: readonly number[],
  threshold: number,
): ExitPoint {
  const counts = costs.map(() => 0);
  let right = 0;
  for (const o of outcomes) {
    const sure = exitTaken(o, threshold);
    counts[sure]!++;
    if (o.right[sure]) right++;
  }
  const shares = counts.map((n) => n / outcomes.length);
  const meanCost = shares.reduce((sum, s, i) => sum + s * costs[i]!, 0);
  return { threshold, accuracy: (100 * right) / outcomes.length, meanCost, shares };
}

/** The points of all thresholds that differ on these rows (of a thousand at most), from 0 to NEVER. */
export function exitCurve(
  outcomes: readonly ExitOutcome[],
  costs: readonly number[],
): readonly ExitPoint[] {
  if (outcomes.length === 0) throw new UserError("E_DATA", "no rows were given to choose by");
  const seen = new Set(outcomes.flatMap((o) => o.confidence.slice(0, -1)));
  const all = [...seen].sort((a, b) => a - b);
  const step = Math.max(1, all.length / TRIED);
  const some = Array.from(
    { length: Math.ceil(all.length / step) },
    (_, i) => all[Math.floor(i * step)]!,
  );
  return [0, ...some, NEVER].map((threshold) => exitPoint(outcomes, costs, threshold));
}

/** The threshold for a target. Throws UserError E_UNMET when the mean cost cannot be reached. */
export function calibrateExits(
  outcomes: readonly ExitOutcome[],
  costs: readonly number[],
  target: ExitTarget,
): ExitPoint {
  const curve = exitCurve(outcomes, costs);
  const whole = curve.at(-1)!;
  const better = (a: ExitPoint, b: ExitPoint): ExitPoint => {
    const first = "maxDrop" in target ? b.meanCost - a.meanCost : a.accuracy - b.accuracy;
    const second = "maxDrop" in target ? a.accuracy - b.accuracy : b.meanCost - a.meanCost;
    return first > 0 || (first === 0 && second >= 0) ? a : b;
  };
  const most = costs.at(-1)!;
  const fits = (p: ExitPoint): boolean =>
    "maxDrop" in target
      ? whole.accuracy - p.accuracy <= target.maxDrop
      : p.meanCost <= target.meanCost * most;
  const within = curve.filter(fits);
  if (within.length > 0) return within.reduce(better);
  const least = (100 * Math.min(...curve.map((p) => p.meanCost))) / most;
  throw new UserError("E_UNMET", "no threshold has so small a mean cost", {
    hint: `leaving always at the first exit costs ${least.toFixed(1)} % of the whole network; take an earlier place`,
  });
}
