/** @file Reads the text form of kernel expressions. */
import { dot8, dot16 } from "./build.ts";
import {
  type BinaryOp,
  type Buffer,
  type CastOp,
  COMPARISONS,
  type Expr,
  elemOf,
  type KType,
  scalarTypeOf,
  type UnaryOp,
} from "./ir.ts";
import type { Lexer } from "./lexer.ts";
import { maskOf } from "./verify-expr.ts";

/** Names known so far. Names are unique in a kernel, so one table serves all scopes. */
export interface Names {
  readonly buffers: ReadonlyMap<string, Buffer>;
  readonly types: Map<string, KType>;
}

const words = <T extends string>(text: string): ReadonlySet<T> => new Set(text.split(" ") as T[]);
const UNARY = words<UnaryOp>("neg abs sqrt floor ceil trunc nearest not clz popcnt");
const BINARY = words<BinaryOp>(
  "add sub mul div div_u rem rem_u min min_u max max_u and or xor shl shr shr_u copysign " +
    "eq ne lt lt_u le le_u gt gt_u ge ge_u",
);
const CASTS = words<CastOp>(
  "convert_s convert_u trunc_sat_s trunc_sat_u extend_s extend_u extend8_s extend16_s wrap " +
    "promote demote bits extend_low_s extend_high_s extend_low_u extend_high_u",
);
const INFIX: Readonly<Record<string, BinaryOp>> = { "+": "add", "-": "sub", "*": "mul" };

const has = <T extends string>(set: ReadonlySet<T>, name: string): name is T =>
  (set as ReadonlySet<string>).has(name);

const typeSuffix = (lex: Lexer): KType | null => (lex.take(":") ? (lex.name() as KType) : null);

function constantOf(type: KType, text: string): number | bigint {
  return elemOf(type) === "i64" ? BigInt(text) : Number(text);
}

const binaryOf = (op: BinaryOp, a: Expr, b: Expr): Expr => ({
  kind: "binary",
  type: COMPARISONS.has(op) ? maskOf(a.type) : a.type,
  op,
  a,
  b,
});

function lanes(lex: Lexer): Expr {
  const values: number[] = [];
  do values.push(lex.number());
  while (lex.take(","));
  lex.expect("]");
  return { kind: "lanes", type: typeSuffix(lex) ?? lex.fail(": and a type"), values };
}

function infix(lex: Lexer, names: Names): Expr {
  const a = parseExpr(lex, names);
  const symbol = Object.keys(INFIX).find((s) => lex.take(s)) ?? lex.fail("+, - or *");
  const b = parseExpr(lex, names);
  lex.expect(")");
  return binaryOf(INFIX[symbol]!, a, b);
}

function load(lex: Lexer, names: Names, buffer: Buffer): Expr {
  lex.expect("[");
  const index = parseExpr(lex, names);
  lex.expect("]");
  const type = typeSuffix(lex) ?? scalarTypeOf(buffer.dtype);
  const e = { kind: "load", type, buffer: buffer.name, index } as const;
  return lex.take("/") ? { ...e, group: lex.number() } : e;
}

/** Numbers after a slash: a lane, or the indices of a shuffle. */
function slashNumbers(lex: Lexer): number[] {
  const out: number[] = [];
  // "1.2.3" is one token of digits and points.
  if (lex.take("/")) out.push(...(lex.numberText() ?? lex.fail("a number")).split(".").map(Number));
  return out;
}

function typed(lex: Lexer, name: string, type: KType, args: readonly Expr[]): Expr {
  const [a, b] = args;
  if (a !== undefined && b === undefined) {
    if (name === "splat") return { kind: "splat", type, a };
    if (has(CASTS, name)) return { kind: "cast", type, op: name, a };
  }
  if (a !== undefined && b !== undefined) {
    if (name === "narrow_s" || name === "narrow_u") {
      return { kind: "narrow", type, signed: name === "narrow_s", a, b };
    }
    if (name === "extmul_low" || name === "extmul_high") {
      return { kind: "extmul", type, half: name === "extmul_low" ? "low" : "high", a, b };
    }
  }
  return lex.fail(`another operation than ${name}:${type}`);
}

function untyped(
  lex: Lexer,
  name: string,
  numbers: readonly number[],
  args: readonly Expr[],
): Expr {
  const [a, b, c] = args;
  if (a !== undefined && name.startsWith("@")) {
    return { kind: "call", type: a.type, fn: name.slice(1), args };
  }
  if (a !== undefined && b === undefined) {
    if (has(UNARY, name)) return { kind: "unary", type: a.type, op: name, a };
    if (name === "extract") {
      const e = elemOf(a.type);
      const type = e === "i8" || e === "i16" ? "i32" : e;
      return { kind: "extract", type, a, lane: numbers[0] ?? lex.fail("a lane") };
    }
  }
  if (a !== undefined && b !== undefined && c === undefined) {
    if (has(BINARY, name)) return binaryOf(name, a, b);
    if (name === "shuffle") return { kind: "shuffle", type: a.type, a, b, indices: numbers };
    if (name === "dot16") return dot16(a, b);
  }
  if (a !== undefined && b !== undefined && c !== undefined) {
    if (name === "fma") return { kind: "fma", type: c.type, a, b, c };
    if (name === "select") return { kind: "select", type: b.type, cond: a, a: b, b: c };
    if (name === "dot8") return dot8(a, b, c);
  }
  return lex.fail(`another operation than ${name} of ${args.length}`);
}

function operation(lex: Lexer, names: Names, name: string): Expr {
  const type = typeSuffix(lex);
  const numbers = slashNumbers(lex);
  lex.expect("(");
  const args: Expr[] = [];
  do args.push(parseExpr(lex, names));
  while (lex.take(","));
  lex.expect(")");
  return type === null ? untyped(lex, name, numbers, args) : typed(lex, name, type, args);
}

export function parseExpr(lex: Lexer, names: Names): Expr {
  const text = lex.numberText();
  if (text !== null) {
    const type = typeSuffix(lex) ?? "i32";
    return { kind: "const", type, value: constantOf(type, text) };
  }
  if (lex.take("(")) return infix(lex, names);
  if (lex.take("[")) return lanes(lex);
  const name = lex.name();
  const buffer = names.buffers.get(name);
  if (buffer !== undefined && lex.is("[")) return load(lex, names, buffer);
  if (lex.is("(") || lex.is(":") || lex.is("/")) return operation(lex, names, name);
  const type = names.types.get(name);
  return type === undefined
    ? lex.fail(`a defined name before this, not ${name},`)
    : { kind: "var", type, name };
}
