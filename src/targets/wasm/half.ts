/** @file Conversions between f32 and the bits of f16 and bf16 as kernel IR, for scalars and vectors. */
import {
  add,
  and,
  binary,
  cast,
  constant,
  f32,
  i32,
  mul,
  select,
  splat,
  sub,
} from "../../kernel/build.ts";
import { type Expr, isVector, type KType, lanesOf, type Stmt } from "../../kernel/ir.ts";
import type { PureFunction } from "./emitter.ts";

export type HalfKind = "f16" | "bf16";

/** Integer and float constants and types of the same lane count as `like`. */
function typed(like: KType): { int: (x: number) => Expr; intType: KType; floatType: KType } {
  const n = lanesOf(like);
  const suffix = isVector(like) ? (`x${n}` as const) : "";
  const intType = `i32${suffix}` as KType;
  return { intType, floatType: `f32${suffix}` as KType, int: (x) => constant(intType, x | 0) };
}

const shift = (op: "shl" | "shr_u", a: Expr, count: number): Expr => binary(op, a, i32(count));

function builder(): { lets: Stmt[]; name: (hint: string, value: Expr) => Expr } {
  const lets: Stmt[] = [];
  return {
    lets,
    name: (hint, value) => {
      lets.push({ kind: "let", name: hint, value });
      return { kind: "var", name: hint, type: value.type };
    },
  };
}

/** Bits (zero-extended to i32 lanes) -> f32. `type`: "f32" or a vector of it. */
export function fromHalf(kind: HalfKind, type: KType): PureFunction {
  const { int, intType } = typed(type);
  const h: Expr = { kind: "var", name: "h", type: intType };
  const params = [{ name: "h", type: intType }];
  if (kind === "bf16") return { params, body: [], result: cast(type, "bits", shift("shl", h, 16)) };
  const { lets, name } = builder();
  const magnitude = name("m", shift("shl", and(h, int(0x7fff)), 13));
  const scale = isVector(type) ? splat(type, f32(2 ** 112)) : f32(2 ** 112);
  const finite = cast(intType, "bits", mul(cast(type, "bits", magnitude), scale));
  const special = binary("or", magnitude, int(0x7f800000));
  const bits = select(binary("ge", magnitude, int(0x0f800000)), special, finite);
  const sign = shift("shl", and(h, int(0x8000)), 16);
  return { params, body: lets, result: cast(type, "bits", binary("or", bits, sign)) };
}

/** f32 -> bits in the low half of an i32, rounded to nearest even. */
export function toHalf(kind: HalfKind): PureFunction {
  const { int } = typed("f32");
  const { lets, name } = builder();
  const params = [{ name: "x", type: "f32" as KType }];
  const bits = name("b", cast("i32", "bits", { kind: "var", name: "x", type: "f32" }));
  const abs = name("a", and(bits, int(0x7fffffff)));
  const isNan = binary("gt", abs, int(0x7f800000));
  if (kind === "bf16") {
    const odd = and(shift("shr_u", bits, 16), int(1));
    const rounded = shift("shr_u", add(add(bits, int(0x7fff)), odd), 16);
    const quiet = binary("or", shift("shr_u", bits, 16), int(0x40));
    return { params, body: lets, result: select(isNan, quiet, rounded) };
  }
  const shifted = cast("i32", "bits", add(cast("f32", "bits", abs), f32(0.5)));
  const small = sub(shifted, int(0x3f000000));
  const odd = and(shift("shr_u", abs, 13), int(1));
  const normal = shift("shr_u", add(add(abs, int(0x0fff - 0x38000000)), odd), 13);
  const finite = select(binary("lt", abs, int(0x38800000)), small, normal);
  const big = select(binary("ge", abs, int(0x477ff000)), int(0x7c00), finite);
  const sign = and(shift("shr_u", bits, 16), int(0x8000));
  return { params, body: lets, result: binary("or", sign, select(isNan, int(0x7e00), big)) };
}
