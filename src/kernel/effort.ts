/** @file How much a kernel does, counted roughly: enough to tell what is worth sharing among threads. */
import type { Expr, Kernel, Stmt } from "./ir.ts";
import { parallelTrips } from "./split.ts";
import { operandsOf } from "./walk.ts";

/** Iterations assumed of a loop whose bounds depend on data. */
const UNKNOWN_TRIPS = 8;
/** Operations a call of the maths library stands for. */
const CALL = 20;

/** Values of i32 names halfway through the loops around; names that depend on data are absent. */
type Middle = Map<string, number>;

/** The value of an i32 expression halfway through the loops around it, or null when it depends on data. */
function middleOf(e: Expr, names: Middle): number | null {
  if (e.kind === "const") return e.type === "i32" ? Number(e.value) : null;
  if (e.kind === "var") return names.get(e.name) ?? null;
  if (e.kind !== "binary" || e.type !== "i32") return null;
  const [a, b] = [middleOf(e.a, names), middleOf(e.b, names)];
  if (a === null || b === null) return null;
  switch (e.op) {
    case "add":
      return a + b;
    case "sub":
      return a - b;
    case "mul":
      return a * b;
    case "div":
      return b === 0 ? null : Math.trunc(a / b);
    case "min":
      return Math.min(a, b);
    case "max":
      return Math.max(a, b);
    default:
      return null;
  }
}

/** Operations of an expression; addresses are free, as most are computed once outside their loops. */
function ofExpr(e: Expr): number {
  if (e.kind === "const" || e.kind === "lanes" || e.kind === "var") return 0;
  if (e.kind === "load") return 1;
  const own = e.kind === "call" ? CALL : 1;
  return operandsOf(e).reduce((sum, x) => sum + ofExpr(x), own);
}

function ofLoop(s: Extract<Stmt, { kind: "for" }>, names: Middle): number {
  const [begin, end] = [middleOf(s.begin, names), middleOf(s.end, names)];
  if (begin === null || end === null) return UNKNOWN_TRIPS * ofBlock(s.body, names);
  const trips = Math.max(0, Math.ceil((end - begin) / s.step));
  names.set(s.var, begin + Math.floor(trips / 2) * s.step);
  return trips * ofBlock(s.body, names);
}

function ofStmt(s: Stmt, names: Middle): number {
  switch (s.kind) {
    case "for":
      return ofLoop(s, names);
    case "if":
      return ofExpr(s.cond) + Math.max(ofBlock(s.then, names), ofBlock(s.else, names));
    case "store":
      return 1 + ofExpr(s.value);
    case "copy":
    case "fill":
      return 4 + (middleOf(s.count, names) ?? UNKNOWN_TRIPS) / 16;
    case "let": {
      const value = middleOf(s.value, names);
      if (value !== null) names.set(s.name, value);
      return ofExpr(s.value);
    }
    default:
      return ofExpr(s.value);
  }
}

const ofBlock = (body: readonly Stmt[], names: Middle): number =>
  body.reduce((sum, s) => sum + ofStmt(s, names), 0);

/** Operations of one call of the kernel, roughly: loads, stores and arithmetic, vectors counted as one. */
export const effortOf = (kernel: Kernel): number => ofBlock(kernel.body, new Map());

/** Less than this, some microseconds, is done by one thread before others have noticed. */
const LEAST_SHARED = 40_000;

/** Whether threads should share a call of the kernel; a fixed rule, whatever their number. */
export const worthSharing = (kernel: Kernel): boolean =>
  parallelTrips(kernel) > 1 && effortOf(kernel) >= LEAST_SHARED;
