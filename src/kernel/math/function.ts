/**
 * @file How a maths function is described: a lane-generic definition in kernel IR, instantiated per
 * register type. Interpreter and targets expand the same instances, so their results agree.
 */
import { InternalError } from "../../util/errors.ts";
import { constant, extract, lanes as laneConst, select, splat } from "../build.ts";
import { type Expr, elemOf, isVector, type KType, lanesOf, type Stmt } from "../ir.ts";

/** One function at one type: evaluate the `let`s of `body` in order, then `result`. */
export interface MathInstance {
  readonly fn: string;
  readonly type: KType;
  readonly params: readonly { readonly name: string; readonly type: KType }[];
  /** Only `let` statements. They and `result` may call other functions, never in a cycle. */
  readonly body: readonly Stmt[];
  readonly result: Expr;
}

/** What a definition builds with. */
export interface MathBuilder {
  /** The type of the parameters and the result. */
  readonly type: KType;
  let(hint: string, value: Expr): Expr;
  /** A constant of the function's type. */
  num(value: number): Expr;
}

export interface MathFn {
  /** Parameter names. */
  readonly params: readonly string[];
  /** The definition on f32, scalar or (unless `scalar`) any vector. */
  readonly f32: (m: MathBuilder, ...args: Expr[]) => Expr;
  /** The definition on scalar f64. */
  readonly f64: (m: MathBuilder, ...args: Expr[]) => Expr;
  /** True: f32 vectors run the scalar definition lane by lane. */
  readonly scalar?: boolean;
}

/** The result of `f` for each lane, put together. */
function laneWise(m: MathBuilder, args: readonly Expr[], f: (lane: Expr[]) => Expr): Expr {
  const count = lanesOf(m.type);
  const mask = `i${elemOf(m.type).slice(1)}x${count}` as KType;
  let out: Expr | null = null;
  for (let i = 0; i < count; i++) {
    const value = splat(m.type, f(args.map((a) => extract(a, i))));
    const here = laneConst(
      mask,
      Array.from({ length: count }, (_, j) => (i === j ? -1 : 0)),
    );
    out = m.let("lanes", out === null ? value : select(here, value, out));
  }
  return out!;
}

/** Builds the instance of `fn` at `type`: f32, f64 or a vector of them. */
export function instantiateFn(name: string, fn: MathFn, type: KType): MathInstance {
  const elem = elemOf(type);
  if (elem !== "f32" && elem !== "f64") {
    throw new InternalError(`maths function ${name} is not defined on ${type}`);
  }
  const body: Stmt[] = [];
  const m: MathBuilder = {
    type,
    let: (hint, value) => {
      if (value.kind === "const" || value.kind === "var") return value;
      const unique = `${hint}_${body.length}`;
      body.push({ kind: "let", name: unique, value });
      return { kind: "var", name: unique, type: value.type };
    },
    num: (value) => constant(type, value),
  };
  const params = fn.params.map((p) => ({ name: p, type }));
  const args = params.map((p): Expr => ({ kind: "var", name: p.name, type }));
  const lanewise = isVector(type) && (elem === "f64" || fn.scalar === true);
  const result = lanewise
    ? laneWise(m, args, (lane) => ({ kind: "call", type: elem, fn: name, args: lane }))
    : fn[elem](m, ...args);
  return { fn: name, type, params, body, result };
}
