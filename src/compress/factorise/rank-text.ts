/** @file Rank rules as written: evbmf, 0.5, 8, 8,16, params=50%, macs=50%, error=0.1. */
import { UserError } from "../../util/errors.ts";
import type { RankRule } from "./ranks.ts";

/** For messages. */
export const RANK_FORMS =
  "evbmf, a share such as 0.5, ranks such as 8 or 8,16, params=50%, macs=50% or error=0.1";

/** "50%" or "0.5", or a fraction "1/8"; NaN: neither. */
export function shareOf(text: string): number {
  const [, percent] = /^([\d.]+)%$/.exec(text) ?? [];
  if (percent !== undefined) return Number(percent) / 100;
  const [, over, under] = /^(\d+)\/(\d+)$/.exec(text) ?? [];
  if (over !== undefined) return Number(over) / Number(under);
  return text.trim() === "" ? Number.NaN : Number(text);
}

function namedRule(name: string, value: string): RankRule | null {
  const share = shareOf(value);
  if (!(share > 0 && share <= 1)) return null;
  if (name === "params" || name === "macs") return { kind: name, share };
  if (name === "error") return { kind: "error", most: share };
  return name === "share" ? { kind: "share", share } : null;
}

function rule(text: string): RankRule | null {
  if (text === "evbmf") return { kind: "evbmf" };
  const [, kept] = /^evbmf\+(.+)$/.exec(text) ?? [];
  if (kept !== undefined) {
    const keep = shareOf(kept);
    return keep >= 0 && keep <= 1 ? { kind: "evbmf", keep } : null;
  }
  const at = text.indexOf("=");
  if (at > 0) return namedRule(text.slice(0, at), text.slice(at + 1));
  if (/^\d+(,\d+)*$/.test(text)) {
    const ranks = text.split(",").map(Number);
    return ranks.every((r) => r >= 1) ? { kind: "fixed", ranks } : null;
  }
  return namedRule("share", text);
}

/**
 * The rule of a text. Whole numbers are ranks, numbers below 1 shares of the largest ranks; `evbmf+0.3` keeps that
 * share of the ranks beyond those that stand out. Throws UserError for another text.
 */
export function rankRule(text: string, where?: string): RankRule {
  const found = rule(text.replace(/\s+/g, ""));
  if (found !== null) return found;
  throw new UserError("E_ARGUMENT", `'${text}' says no ranks`, {
    ...(where !== undefined && { where }),
    hint: `write ${RANK_FORMS}`,
  });
}
