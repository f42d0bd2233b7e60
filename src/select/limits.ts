/**
 * @file Selection within limits on memory and code. What exceeds its limit gets a price in nanoseconds a byte,
 * which joins the objective (a Lagrangian term); the price is raised until the plan fits, then lowered as far as
 * it still does. Sizes are those of finished plans, not estimates.
 */
import { UserError } from "../util/errors.ts";

export interface SizeLimits {
  /** All memory of the model: constants, activations, scratch. */
  readonly memoryBytes?: number;
  /** Code of the module. */
  readonly codeBytes?: number;
}

/** Nanoseconds a byte. */
export interface Prices {
  readonly memory: number;
  readonly code: number;
}

/** A finished plan with its sizes; `ns` is its predicted time, prices not included. */
export interface Sized {
  readonly memoryBytes: number;
  readonly codeBytes: number;
  readonly ns: number;
}

const STEPS = 10;
/** Where prices start, as the share of the whole time that all bytes of the first plan cost. */
const FIRST_SHARE = 1e-3;
const FACTOR = 32;
const HIGHEST_SHARE = 1e6;

const over = (got: number, limit: number | undefined): boolean =>
  limit !== undefined && got > limit;

const fits = (p: Sized, limits: SizeLimits): boolean =>
  !over(p.memoryBytes, limits.memoryBytes) && !over(p.codeBytes, limits.codeBytes);

/** The fastest plan found that is within the limits. Throws UserError (E_UNMET) when none is. */
export function withinLimits<T extends Sized>(
  limits: SizeLimits,
  planAt: (prices: Prices) => T,
): T {
  const free = planAt({ memory: 0, code: 0 });
  if (fits(free, limits)) return free;
  const unit = free.ns / (free.memoryBytes + free.codeBytes + 1);
  const at = (share: number): T =>
    planAt({
      memory: limits.memoryBytes === undefined ? 0 : share * unit,
      code: limits.codeBytes === undefined ? 0 : share * unit,
    });
  const tried: T[] = [free];
  let [low, high] = [0, FIRST_SHARE];
  for (let plan = at(high); ; plan = at(high)) {
    tried.push(plan);
    if (fits(plan, limits)) break;
    if (high >= HIGHEST_SHARE) throw unmet(limits, tried);
    [low, high] = [high, high * FACTOR];
  }
  for (let step = 0; step < STEPS; step++) {
    const middle = low === 0 ? high / FACTOR : Math.sqrt(low * high);
    const plan = at(middle);
    tried.push(plan);
    if (fits(plan, limits)) high = middle;
    else low = middle;
  }
  return tried.filter((p) => fits(p, limits)).reduce((a, b) => (b.ns < a.ns ? b : a));
}

function unmet(limits: SizeLimits, tried: readonly Sized[]): UserError {
  const parts: string[] = [];
  const flags: string[] = [];
  const name = (flag: string, what: string, limit: number | undefined, sizes: number[]): void => {
    if (limit === undefined) return;
    parts.push(`${what} of at most ${limit} bytes (smallest reached: ${Math.min(...sizes)})`);
    flags.push(flag);
  };
  name(
    "--max-memory",
    "memory",
    limits.memoryBytes,
    tried.map((p) => p.memoryBytes),
  );
  name(
    "--max-code",
    "code",
    limits.codeBytes,
    tried.map((p) => p.codeBytes),
  );
  return new UserError("E_UNMET", `no selection of primitives has ${parts.join(" and ")}`, {
    where: flags.join(" "),
    hint: "raise the limit; or make the model smaller: tersor optimize, or a smaller --shape",
  });
}
