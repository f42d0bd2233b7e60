/**
 * @file Writes maths functions out where an innermost loop calls them a few times: no call, and their constants
 * stay in registers over the loop. The meaning does not change.
 */
import type { Expr, Kernel, Stmt } from "./ir.ts";
import { type MathInstance, mathInstance } from "./math/index.ts";
import {
  blocksOf,
  constI32,
  eachExpr,
  eachStmt,
  freshNames,
  mapBlocks,
  mapOperands,
  mapStmt,
} from "./walk.ts";

/** Loops with more calls keep them: written out, they would not fit the registers. */
const MOST_CALLS = 2;

type Call = Extract<Expr, { readonly kind: "call" }>;

/** The function, when it is made of operations alone. */
function inlinable(e: Call): MathInstance | null {
  const instance = mathInstance(e.fn, e.type);
  let plain = true;
  eachExpr([...instance.body, { kind: "let", name: "", value: instance.result }], (x) => {
    if (x.kind === "call") plain = false;
  });
  return plain ? instance : null;
}

function countCalls(body: readonly Stmt[]): number {
  let count = 0;
  eachExpr(body, (e) => {
    if (e.kind === "call") count++;
  });
  return count;
}

const hasLoop = (body: readonly Stmt[]): boolean => {
  let found = false;
  eachStmt(body, (s) => {
    if (s.kind === "for") found = true;
  });
  return found;
};

/** Fewest iterations for which the code pays, where their number is known. */
const LEAST_ITERATIONS = 8;

function isShort(s: Stmt): boolean {
  if (s.kind !== "for") return false;
  const [begin, end] = [constI32(s.begin), constI32(s.end)];
  return begin !== null && end !== null && (end - begin) / s.step < LEAST_ITERATIONS;
}

/** Kernel with the calls of innermost loops written out. */
export function inlineCalls(kernel: Kernel): Kernel {
  const fresh = freshNames(kernel);

  /** The value of the call; what it needs goes to `out`. */
  const expand = (call: Call, { params, body, result }: MathInstance, out: Stmt[]): Expr => {
    const names = new Map<string, Expr>();
    const define = (name: string, value: Expr): void => {
      const unique = fresh(`${call.fn}_${name}`);
      out.push({ kind: "let", name: unique, value });
      names.set(name, { kind: "var", name: unique, type: value.type });
    };
    const renamed = (e: Expr): Expr =>
      e.kind === "var" ? (names.get(e.name) ?? e) : mapOperands(e, renamed);
    params.forEach((p, i) => define(p.name, call.args[i]!));
    for (const s of body) if (s.kind === "let") define(s.name, renamed(s.value));
    return renamed(result);
  };

  const written = (body: readonly Stmt[]): Stmt[] =>
    body.flatMap((s) => {
      const out: Stmt[] = [];
      const visit = (e: Expr): Expr => {
        const own = mapOperands(e, visit);
        const instance = own.kind === "call" ? inlinable(own) : null;
        return instance === null ? own : expand(own as Call, instance, out);
      };
      const own = mapBlocks(mapStmt(s, visit), written);
      return [...out, own];
    });

  const walk = (body: readonly Stmt[]): readonly Stmt[] =>
    body.map((s) => {
      if (blocksOf(s).length === 0) return s;
      const inner = s.kind === "for" && !isShort(s) && !hasLoop(s.body);
      const calls = inner ? countCalls(s.body) : 0;
      if (calls > 0 && calls <= MOST_CALLS) return mapBlocks(s, written);
      return mapBlocks(s, walk);
    });

  return { ...kernel, body: walk(kernel.body) };
}
