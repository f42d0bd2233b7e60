/**
 * @file Tries what there is on a model, measures every candidate on data the calibration never saw, and keeps
 * the best within the limits.
 */
import { layerSensitivity } from "../compress/quantize/index.ts";
import type { Graph } from "../graph/graph.ts";
import { cleanGraph } from "../pipeline.ts";
import type { CompileResult } from "../plan/compile.ts";
import { byteSize } from "../tensor/tensor.ts";
import { UserError } from "../util/errors.ts";
import { describeFindings, judge } from "./choose.ts";
import { type Loaded, layerRows, load, measureLatencies, runRows } from "./evaluate.ts";
import { compiledExecutor } from "./executor.ts";
import {
  agreeing,
  correct,
  type MetricName,
  type MetricValue,
  meanInterval,
  type Outputs,
  pairedDrop,
  proportion,
  relativeErrors,
} from "./metrics.ts";
import { measureSpeed, scaleExplanation } from "./predict.ts";
import {
  isFloatModel,
  mixedRecipe,
  OBSERVER_OF,
  RECIPES,
  type Recipe,
  type RecipeContext,
  recipeContext,
} from "./recipes.ts";
import type {
  BaselineReport,
  CandidateReport,
  Latency,
  Limits,
  OptimizeEvent,
  OptimizeReport,
  Rows,
} from "./types.ts";

export interface OptimizeOptions {
  /** For the report. */
  readonly model: string;
  readonly version: string;
  readonly engine: string;
  readonly metric: MetricName;
  readonly limits: Limits;
  /** What to prefer among candidates within the limits. Default "size". */
  readonly objective?: "size" | "latency";
  readonly seed: number;
  readonly calibration: Rows;
  readonly evaluation: Rows;
  readonly rowsNote: string;
  readonly preprocess: object;
  /** Names of recipes to try; default: all that apply. */
  readonly recipes?: readonly string[];
  readonly onEvent?: (event: OptimizeEvent) => void;
  readonly signal?: AbortSignal;
}

export interface OptimizeResult {
  readonly report: OptimizeReport;
  /** The chosen model, ready to be exported; null when nothing is within the limits. */
  readonly graph: Graph | null;
  readonly compiled: CompileResult | null;
}

/** Recipe names `optimize` accepts, in the order they are tried. */
export const RECIPE_NAMES: readonly string[] = RECIPES.map((r) => r.name);

/** The recipes that apply to the model: what `--dry-run` prints. */
export function plannedRecipes(graph: Graph, wanted?: readonly string[]): readonly Recipe[] {
  const unknown = wanted?.find((name) => !RECIPE_NAMES.includes(name));
  if (unknown !== undefined) {
    throw new UserError("E_ARGUMENT", `unknown recipe '${unknown}'`, {
      hint: `known recipes: ${RECIPE_NAMES.join(", ")}`,
    });
  }
  const float = isFloatModel(graph);
  return RECIPES.filter((r) => (float || !r.needsFloat) && (wanted?.includes(r.name) ?? true));
}

interface Candidate {
  readonly recipe: Recipe;
  readonly loaded: Loaded;
  readonly outputs: Outputs;
}

/** Optimises a model. Throws UserError for unusable data; limits that cannot be met are a result. */
export async function optimize(graph: Graph, options: OptimizeOptions): Promise<OptimizeResult> {
  checkRows(options);
  const run = new Run(graph, options);
  return run.all();
}

function checkRows({ metric, evaluation, calibration }: OptimizeOptions): void {
  if (evaluation.feeds.length === 0 || calibration.feeds.length === 0) {
    throw new UserError("E_DATA", "there are no rows to calibrate or evaluate with");
  }
  if (metric === "top1" && evaluation.labels.length !== evaluation.feeds.length) {
    throw new UserError("E_DATA", "metric top1 needs labels, and the evaluation data has none", {
      hint: "name the label column, or use --metric agreement",
    });
  }
}

class Run {
  private readonly graph: Graph;
  private readonly options: OptimizeOptions;
  private readonly context: RecipeContext;
  private readonly candidates: Candidate[] = [];
  private reference: Outputs = [];
  private sensitivities: ReadonlyMap<string, number> = new Map();

  constructor(graph: Graph, options: OptimizeOptions) {
    this.graph = graph;
    this.options = options;
    this.context = recipeContext(cleanGraph(graph), options.calibration.feeds);
  }

  private stage(text: string): void {
    this.options.onEvent?.({ kind: "stage", text });
    this.options.signal?.throwIfAborted();
  }

  async all(): Promise<OptimizeResult> {
    this.stage("measuring the original model");
    const baseline = await load(this.graph);
    this.reference = await this.outputsOf(baseline, "original");
    for (const recipe of plannedRecipes(this.context.clean, this.options.recipes)) {
      await this.attempt(recipe);
    }
    const best = this.bestInt8();
    if (best !== null) {
      await this.measureSensitivity(best);
      if (this.dropOf(best).value > this.options.limits.maxDrop) await this.attemptMixed(best);
    }
    this.stage("measuring latencies");
    const loaded = [baseline, ...this.candidates.map((c) => c.loaded)];
    const latencies = measureLatencies(loaded.map((l) => l.session));
    return this.report(baseline, latencies);
  }

  private outputsOf(loaded: Loaded, name: string): Promise<Float32Array[]> {
    const { evaluation, onEvent, signal } = this.options;
    const total = evaluation.feeds.length;
    return runRows(
      loaded.session,
      evaluation,
      (done) => onEvent?.({ kind: "progress", text: `evaluating ${name}`, done, total }),
      signal,
    );
  }

  private async attempt(recipe: Recipe): Promise<Candidate> {
    this.stage(`trying ${recipe.name}: ${recipe.description}`);
    const loaded = await load(await recipe.build(this.context));
    const candidate = { recipe, loaded, outputs: await this.outputsOf(loaded, recipe.name) };
    this.candidates.push(candidate);
    return candidate;
  }

  private bestInt8(): Candidate | null {
    const int8 = this.candidates.filter((c) => Object.hasOwn(OBSERVER_OF, c.recipe.name));
    const drop = (c: Candidate): number => this.dropOf(c).value;
    return int8.reduce<Candidate | null>(
      (best, c) => (best === null || drop(c) < drop(best) ? c : best),
      null,
    );
  }

  /** How much each layer alone costs: on few rows, which is enough to order them. */
  private async measureSensitivity(best: Candidate): Promise<void> {
    this.stage("measuring the sensitivity of every layer");
    const samples = this.options.calibration.feeds.slice(0, 8);
    const stats = await this.context.stats();
    const options = { observer: OBSERVER_OF[best.recipe.name]! };
    const executor = compiledExecutor();
    const rows = await layerSensitivity(this.context.float, stats, executor, samples, options);
    this.sensitivities = new Map(rows.map((r) => [r.name, 10 ** (-r.sqnr / 10)]));
  }

  /** Leaves more and more of the guilty layers in float until the drop is within the limit. */
  private async attemptMixed(best: Candidate): Promise<void> {
    const order = [...this.sensitivities].sort((a, b) => b[1] - a[1]).map(([name]) => name);
    for (let n = 1; n <= Math.ceil(order.length / 2); n *= 2) {
      const candidate = await this.attempt(mixedRecipe(best.recipe.name, order.slice(0, n)));
      if (this.dropOf(candidate).value <= this.options.limits.maxDrop) return;
    }
  }

  private valueOf(outputs: Outputs): MetricValue {
    const { metric, evaluation, seed } = this.options;
    const share = (hits: readonly boolean[]): MetricValue =>
      proportion(hits.filter(Boolean).length, hits.length);
    if (metric === "top1") return share(correct(outputs, evaluation.labels));
    if (metric === "agreement") return share(agreeing(outputs, this.reference));
    return meanInterval(relativeErrors(outputs, this.reference), seed);
  }

  private dropOf({ outputs }: Pick<Candidate, "outputs">): MetricValue {
    const { metric, evaluation } = this.options;
    if (metric === "top1") {
      const { labels } = evaluation;
      return pairedDrop(correct(this.reference, labels), correct(outputs, labels));
    }
    const { value, low, high } = this.valueOf(outputs);
    return metric === "mse"
      ? { value, low, high }
      : { value: 100 - value, low: 100 - high, high: 100 - low };
  }

  private async report(baseline: Loaded, latencies: readonly Latency[]): Promise<OptimizeResult> {
    const { options } = this;
    const base = this.baselineReport(baseline, latencies[0]!);
    const candidates = this.candidates.map((c, i): CandidateReport => {
      const latency = latencies[i + 1]!;
      const measured = {
        recipe: c.recipe.name,
        description: c.recipe.description,
        metric: options.metric,
        ...this.valueOf(c.outputs),
        drop: this.dropOf(c),
        bytes: c.loaded.bytes,
        latencyMs: latency.p50Ms,
        latency,
        arenaBytes: c.loaded.compiled.program.arenaBytes,
      };
      return { ...measured, ...judge(measured, options.limits) };
    });
    const chosen = choose(candidates, options.objective ?? "size");
    const at = chosen === null ? -1 : candidates.indexOf(chosen);
    const kept = this.candidates[at];
    const { layers, selection } = await this.layers(kept?.loaded ?? baseline);
    const report: OptimizeReport = {
      model: options.model,
      tersor: options.version,
      seed: options.seed,
      engine: `${options.engine}, WebAssembly variant ${baseline.session.variant}`,
      limits: options.limits,
      rows: {
        calibration: options.calibration.feeds.length,
        evaluation: options.evaluation.feeds.length,
        note: options.rowsNote,
      },
      preprocess: options.preprocess,
      baseline: base,
      candidates,
      chosen,
      layers,
      selection,
      findings: describeFindings(base, chosen, candidates, options.limits),
    };
    return {
      report,
      graph: kept?.loaded.graph ?? null,
      compiled: kept?.loaded.compiled ?? null,
    };
  }

  private baselineReport(loaded: Loaded, latency: Latency): BaselineReport {
    const sizes = [...this.graph.constants.values()].map((t) => byteSize(t.type));
    return {
      metric: this.options.metric,
      ...this.valueOf(this.reference),
      weightBytes: sizes.reduce((a, b) => a + b, 0),
      bytes: loaded.bytes,
      latencyMs: latency.p50Ms,
      latency,
      arenaBytes: loaded.compiled.program.arenaBytes,
    };
  }

  /** Times of every layer, and why it is computed as it is. */
  private async layers(loaded: Loaded): Promise<Pick<OptimizeReport, "layers" | "selection">> {
    this.stage("measuring every layer");
    const speed = await measureSpeed();
    const layers = layerRows(loaded, speed, (name) => this.sensitivities.get(name) ?? null);
    return { layers, selection: scaleExplanation(loaded.compiled.explain(), speed) };
  }
}

/** Sizes or latencies this close count as equal; the other decides then. */
const CLOSE = 1.02;

function choose(
  candidates: readonly CandidateReport[],
  objective: "size" | "latency",
): CandidateReport | null {
  const size = (c: CandidateReport): number => c.bytes.total;
  const time = (c: CandidateReport): number => c.latencyMs;
  const [first, second] = objective === "size" ? [size, time] : [time, size];
  const accepted = candidates.filter((c) => c.accepted);
  const least = Math.min(...accepted.map(first));
  const close = accepted.filter((c) => first(c) <= least * CLOSE);
  // Among equals in size the one that loses less is the better one, then the faster.
  close.sort((a, b) => a.drop.value - b.drop.value || second(a) - second(b));
  return close[0] ?? null;
}
