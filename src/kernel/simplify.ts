/** @file Constant folding, the i32 rules, and control flow whose outcome is known. */
import {
  type CastOp,
  COMPARISONS,
  type Expr,
  elemOf,
  isVector,
  type Kernel,
  type Stmt,
} from "./ir.ts";
import { laneCast } from "./lane-casts.ts";
import { type Lane, laneBinary, laneCompare, laneUnary } from "./lane-ops.ts";
import { applyRule } from "./rules.ts";
import { constI32, mapBlocks, mapOperands, mapStmt } from "./walk.ts";

/** A substitution of names by expressions. */
export type Substitution = ReadonlyMap<string, Expr>;

type Const = Extract<Expr, { readonly kind: "const" }>;
const isScalarConst = (e: Expr): e is Const => e.kind === "const" && !isVector(e.type);

/** The constant as an interpreter lane. */
function lane(e: Const): Lane {
  const value = e.value;
  return e.type === "i32" ? Number(BigInt.asIntN(32, BigInt(value))) : value;
}

const constOf = (like: Expr, value: Lane): Expr | null =>
  Number.isNaN(value) ? null : { kind: "const", type: like.type, value };

function foldBinary(e: Extract<Expr, { readonly kind: "binary" }>): Expr | null {
  if (!isScalarConst(e.a) || !isScalarConst(e.b)) return null;
  const [a, b] = [lane(e.a), lane(e.b)];
  if (COMPARISONS.has(e.op)) return constOf(e, laneCompare(e.op, elemOf(e.a.type))(a, b) ? 1 : 0);
  const divides = e.op.startsWith("div") || e.op.startsWith("rem");
  if (divides && Number(b) === 0) return null;
  return constOf(e, laneBinary(e.op, elemOf(e.type))(a, b));
}

const FOLDED_CASTS: ReadonlySet<CastOp> = new Set<CastOp>([
  "convert_s",
  "convert_u",
  "trunc_sat_s",
  "trunc_sat_u",
  "extend_s",
  "extend_u",
  "extend8_s",
  "extend16_s",
  "wrap",
  "promote",
  "demote",
]);

/** The value of an expression on constants, or null. NaN is left to run time. */
function fold(e: Expr): Expr | null {
  if (e.kind === "binary") return foldBinary(e);
  if (e.kind === "splat" && e.a.kind === "const") {
    return { kind: "const", type: e.type, value: e.a.value };
  }
  if (e.kind === "unary" && isScalarConst(e.a)) {
    return constOf(e, laneUnary(e.op, elemOf(e.type))(lane(e.a)));
  }
  if (e.kind === "cast" && isScalarConst(e.a) && FOLDED_CASTS.has(e.op)) {
    return constOf(e, laneCast(e.op, elemOf(e.a.type), elemOf(e.type))(lane(e.a)));
  }
  if (e.kind === "select" && isScalarConst(e.cond)) return lane(e.cond) !== 0 ? e.a : e.b;
  return null;
}

/** The expression with names replaced, constants folded and the rules applied. */
export function simplifyExpr(e: Expr, names: Substitution = new Map()): Expr {
  if (e.kind === "var") return names.get(e.name) ?? e;
  return reduce(mapOperands(e, (x) => simplifyExpr(x, names)));
}

/** Folds and applies rules at the root; what rules build is simplified in turn. */
function reduce(e: Expr): Expr {
  const folded = fold(e);
  if (folded !== null) return folded;
  const replaced = applyRule(e);
  return replaced === null ? e : reduce(mapOperands(replaced, rebuilt));
}

/** Rule results nest only a few operations: simplify those again. */
const rebuilt = (e: Expr): Expr => (e.kind === "binary" ? reduce(mapOperands(e, rebuilt)) : e);

/** Simplifies a block under a substitution; `set` names are never substituted. */
export function simplifyBlock(
  body: readonly Stmt[],
  outer: Substitution,
  mutable: ReadonlySet<string>,
): Stmt[] {
  const names = new Map(outer);
  const out: Stmt[] = [];
  for (const stmt of body) {
    const s = mapStmt(stmt, (e) => simplifyExpr(e, names));
    if (s.kind === "let") {
      const { value } = s;
      const copied = value.kind === "const" || (value.kind === "var" && !mutable.has(value.name));
      if (copied) {
        names.set(s.name, value);
        continue;
      }
    }
    if (s.kind === "if" && s.cond.kind === "const") {
      const taken = Number(s.cond.value) !== 0 ? s.then : s.else;
      out.push(...simplifyBlock(taken, names, mutable));
      continue;
    }
    if (s.kind === "for") {
      out.push(...simplifyFor(s, names, mutable));
      continue;
    }
    out.push(mapBlocks(s, (inner) => simplifyBlock(inner, names, mutable)));
  }
  return out;
}

function simplifyFor(
  s: Extract<Stmt, { readonly kind: "for" }>,
  names: Substitution,
  mutable: ReadonlySet<string>,
): Stmt[] {
  const begin = constI32(s.begin);
  const end = constI32(s.end);
  if (begin !== null && end !== null) {
    if (end <= begin) return [];
    if (end - begin <= s.step && s.tag !== "outline") {
      return simplifyBlock(s.body, new Map(names).set(s.var, s.begin), mutable);
    }
  }
  const body = simplifyBlock(s.body, names, mutable);
  return body.length === 0 ? [] : [{ ...s, body }];
}

/** Names assigned by `set` anywhere. */
export function registersOf(body: readonly Stmt[], into: Set<string> = new Set()): Set<string> {
  for (const s of body) {
    if (s.kind === "reg") into.add(s.name);
    mapBlocks(s, (inner) => {
      registersOf(inner, into);
      return inner;
    });
  }
  return into;
}

/** Folds constants, copies and decided branches; removes loops that never run or run once. */
export function simplify(kernel: Kernel): Kernel {
  const body = simplifyBlock(kernel.body, new Map(), registersOf(kernel.body));
  return { ...kernel, body };
}
