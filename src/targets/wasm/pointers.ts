/**
 * @file Strength reduction of addresses: which byte pointers a loop keeps and advances, so that its loads
 * and stores need no index arithmetic.
 */

import type { Expr, Stmt } from "../../kernel/ir.ts";
import { eachStmt, operandsOf, readsOf } from "../../kernel/walk.ts";
import {
  type Affine,
  affineOf,
  expressionsOf,
  type Facts,
  isInvariant,
  substitute,
  termsKey,
  termsNonNegative,
} from "./affine.ts";

export type Loop = Extract<Stmt, { readonly kind: "for" }>;

/** An address inside a loop: an element index of a buffer. */
interface Use {
  readonly buffer: string;
  readonly index: Affine;
  /** True when every iteration makes this access. */
  readonly always: boolean;
}

/** A pointer to buffer[terms + anchor]. */
export interface PointerPlan {
  readonly buffer: string;
  readonly key: string;
  readonly index: Affine;
  readonly anchor: number;
  /** True: offsets above the anchor may go into the instruction (the address never wraps below 0). */
  readonly offsets: boolean;
  /** Factor of the loop variable, in elements. */
  readonly factor: number;
}

/** Pointers kept per loop; more would not fit the general registers of x86-64. */
const MAX_POINTERS = 8;

export const pointerKey = (buffer: string, index: Affine): string => `${buffer}[${termsKey(index)}`;

/** True when the bounds are constants that give at least one iteration. */
export const runsAtLeastOnce = (s: Loop): boolean =>
  s.begin.kind === "const" && s.end.kind === "const" && s.begin.value < s.end.value;

function collect(body: readonly Stmt[], facts: Facts, always: boolean, out: Use[]): void {
  const add = (buffer: string, index: Expr, on: boolean): void => {
    out.push({ buffer, index: affineOf(index, facts.affines), always: on });
  };
  const loads = (x: Expr): void => {
    if (x.kind === "load") add(x.buffer, x.index, always);
    operandsOf(x).forEach(loads);
  };
  for (const s of body) {
    expressionsOf(s).forEach(loads);
    if (s.kind === "store") add(s.buffer, s.index, always);
    if (s.kind === "if") {
      collect(s.then, facts, false, out);
      collect(s.else, facts, false, out);
    }
    if (s.kind === "for" && s.tag !== "outline") {
      const inner: Use[] = [];
      collect(s.body, facts, always && runsAtLeastOnce(s), inner);
      const begin = affineOf(s.begin, facts.affines);
      for (const use of inner) out.push({ ...use, index: substitute(use.index, s.var, begin) });
    }
  }
}

/** Names a loop defines or assigns, its own variable excluded. */
function changedBy(s: Loop): Set<string> {
  const names = new Set<string>();
  eachStmt(s.body, (inner) => {
    if (inner.kind === "for") names.add(inner.var);
    if (inner.kind === "let" || inner.kind === "reg" || inner.kind === "set") names.add(inner.name);
  });
  return names;
}

function planGroup(uses: readonly Use[], key: string, facts: Facts, loop?: Loop): PointerPlan {
  const { buffer, index } = uses[0]!;
  const lowest = Math.min(...uses.map((u) => u.index.constant));
  const certain = Math.min(...uses.filter((u) => u.always).map((u) => u.index.constant));
  const proven = termsNonNegative(index, facts);
  let anchor = lowest;
  let offsets = true;
  if (proven && lowest < 0) anchor = Math.min(certain, 0);
  else if (!proven && certain < Number.POSITIVE_INFINITY) anchor = certain;
  else if (!proven) offsets = false;
  const factor = loop === undefined ? 0 : index.terms.get(loop.var)!.factor;
  return { buffer, key, index, anchor, offsets, factor };
}

/**
 * Addresses that a block computes more than once, by the statement that needs each first. What they are made of
 * cannot change within the block.
 */
export function planBlockPointers(
  body: readonly Stmt[],
  facts: Facts,
): ReadonlyMap<Stmt, readonly PointerPlan[]> {
  const groups = new Map<string, { readonly first: Stmt; readonly uses: Use[] }>();
  const fixed = (x: Expr): boolean => {
    const { names, mayFail } = readsOf(x);
    return !mayFail && ![...names].some((name) => facts.regs.has(name));
  };
  for (const s of body) {
    const uses: Use[] = [];
    const nested = s.kind === "for" || s.kind === "if";
    if (!nested) collect([s], facts, true, uses);
    for (const use of uses) {
      if (use.index.terms.size === 0) continue;
      if (![...use.index.terms.values()].every((t) => fixed(t.expr))) continue;
      const key = pointerKey(use.buffer, use.index);
      const group = groups.get(key);
      if (group === undefined) groups.set(key, { first: s, uses: [use] });
      else group.uses.push(use);
    }
  }
  const plans = new Map<Stmt, PointerPlan[]>();
  for (const [key, { first, uses }] of groups) {
    if (uses.length < 2) continue;
    const plan = planGroup(uses, key, facts);
    const known = plans.get(first);
    if (known === undefined) plans.set(first, [plan]);
    else known.push(plan);
  }
  return plans;
}

/** The pointers worth keeping in `loop`, most used first. */
export function planPointers(loop: Loop, facts: Facts): PointerPlan[] {
  const uses: Use[] = [];
  collect(loop.body, facts, true, uses);
  const changing = changedBy(loop).add(loop.var);
  const groups = new Map<string, Use[]>();
  for (const use of uses) {
    if (!use.index.terms.has(loop.var)) continue;
    const fixed = [...use.index.terms].every(
      ([key, t]) => key === loop.var || isInvariant(t.expr, changing),
    );
    if (!fixed) continue;
    const key = pointerKey(use.buffer, use.index);
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [use]);
    else group.push(use);
  }
  return [...groups.entries()]
    .sort((a, b) => b[1].length - a[1].length)
    .slice(0, MAX_POINTERS)
    .map(([key, group]) => planGroup(group, key, facts, loop));
}
