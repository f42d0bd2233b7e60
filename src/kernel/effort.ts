/** @file How much a kernel does, counted roughly: enough to tell what is worth sharing among threads. */
import type { Expr, Kernel, Stmt } from "./ir.ts";
import { parallelTrips } from "./split.ts";
import { constI32, operandsOf } from "./walk.ts";

/** Iterations assumed of a loop whose bounds are not constants. */
const UNKNOWN_TRIPS = 8;
/** Operations a call of the maths library stands for. */
const CALL = 20;

/** Operations of an expression; addresses are free, as most are computed once outside their loops. */
function ofExpr(e: Expr): number {
  if (e.kind === "const" || e.kind === "lanes" || e.kind === "var") return 0;
  if (e.kind === "load") return 1;
  const own = e.kind === "call" ? CALL : 1;
  return operandsOf(e).reduce((sum, x) => sum + ofExpr(x), own);
}

function tripsOf(s: Extract<Stmt, { kind: "for" }>): number {
  const [begin, end] = [constI32(s.begin), constI32(s.end)];
  if (begin === null || end === null) return UNKNOWN_TRIPS;
  return Math.max(0, Math.ceil((end - begin) / s.step));
}

function ofStmt(s: Stmt): number {
  switch (s.kind) {
    case "for":
      return tripsOf(s) * ofBlock(s.body);
    case "if":
      return ofExpr(s.cond) + Math.max(ofBlock(s.then), ofBlock(s.else));
    case "store":
      return 1 + ofExpr(s.value);
    case "copy":
    case "fill":
      return 4 + (constI32(s.count) ?? UNKNOWN_TRIPS) / 16;
    default:
      return ofExpr(s.value);
  }
}

const ofBlock = (body: readonly Stmt[]): number => body.reduce((sum, s) => sum + ofStmt(s), 0);

/** Operations of one call of the kernel, roughly: loads, stores and arithmetic, vectors counted as one. */
export const effortOf = (kernel: Kernel): number => ofBlock(kernel.body);

/** Less than this is done by one thread before others have noticed. */
const LEAST_SHARED = 8000;

/** Whether threads should share a call of the kernel; a fixed rule, whatever their number. */
export const worthSharing = (kernel: Kernel): boolean =>
  parallelTrips(kernel) > 1 && effortOf(kernel) >= LEAST_SHARED;
