/** @file Expressions of the kernel IR: code that leaves the value on the stack. */

import { constant } from "../../kernel/build.ts";
import {
  type ByKind,
  type Elem,
  type Expr,
  elemBytes,
  elemOf,
  isVector,
  type KType,
  lanesOf,
  visit,
} from "../../kernel/ir.ts";
import { invariant } from "../../util/errors.ts";
import { emitBinary, emitCast, emitUnary, extractLane, prefixOf } from "./arithmetic.ts";
import { emitLoad } from "./emit-memory.ts";
import { type Emitter, localOf } from "./emitter.ts";
import { floatBytes } from "./encoder.ts";
import { type Extreme, extremeOf } from "./extremes.ts";
import type { FunctionBuilder } from "./function-builder.ts";
import { callMath } from "./functions.ts";

type Of<K extends Expr["kind"]> = Extract<Expr, { readonly kind: K }>;

function pushScalar(f: FunctionBuilder, type: Elem, value: number | bigint): void {
  if (type === "f32") f.f32(Number(value));
  else if (type === "f64") f.f64(Number(value));
  else if (type === "i64") f.i64(BigInt(value));
  else f.i32(Number(BigInt.asIntN(32, BigInt(value))));
}

function laneBytes(type: Elem, value: number): number[] {
  const size = elemBytes(type);
  if (type === "f32" || type === "f64") return floatBytes(value, size as 4 | 8);
  const bits = BigInt(value);
  return Array.from({ length: size }, (_, i) => Number((bits >> BigInt(8 * i)) & 255n));
}

/** Identifies the value of a vector constant; null for anything else and for zero. */
export function vectorConstantKey(x: Expr): string | null {
  if (x.kind === "const") {
    const zero = Object.is(x.value, 0) || x.value === 0n;
    return isVector(x.type) && !zero ? `${prefixOf(x.type)}:${signedText(x.value)}` : null;
  }
  return x.kind === "lanes" ? `${prefixOf(x.type)}:${x.values.map(signedText).join()}` : null;
}

const signedText = (x: number | bigint): string => (Object.is(x, -0) ? "-0" : String(x));

/** Pushes a constant; vectors with equal lanes take the shorter splat. */
export function pushConstant(f: FunctionBuilder, x: Of<"const"> | Of<"lanes">): void {
  const elem = elemOf(x.type);
  if (x.kind === "const" && isVector(x.type) && (Object.is(x.value, 0) || x.value === 0n)) {
    f.zeroVector();
  } else if (x.kind === "const") {
    pushScalar(f, elem, x.value);
    if (isVector(x.type)) f.op(`${prefixOf(x.type)}.splat`);
  } else {
    const bytes = x.values.flatMap((v) => laneBytes(elem, v));
    while (bytes.length < 16) bytes.push(0);
    f.op("v128.const", ...bytes);
  }
}

function emitConstant(e: Emitter, x: Of<"const"> | Of<"lanes">): void {
  const key = vectorConstantKey(x);
  const local = key === null ? undefined : e.constants.get(key);
  if (local !== undefined) e.f.get(local);
  else pushConstant(e.f, x);
}

function emitExtreme(e: Emitter, x: Expr, { op, a, b, addZero }: Extreme): void {
  const prefix = prefixOf(x.type);
  push(e, a, b);
  e.f.op(`${prefix}.${op}`);
  if (!addZero) return;
  push(e, constant(x.type, 0));
  e.f.op(`${prefix}.add`);
}

function emitBinaryExpr(e: Emitter, x: Of<"binary">): void {
  const extreme = extremeOf(x);
  if (extreme !== null) {
    emitExtreme(e, x, extreme);
    return;
  }
  emitExpr(e, x.a);
  emitExpr(e, x.b);
  if (x.a.type === "i64" && x.b.type === "i32") e.f.op("i64.extend_i32_u");
  emitBinary(e.f, x.op, x.a.type, x.b.kind === "const" ? x.b.value : null);
}

function emitFma(e: Emitter, x: Of<"fma">): void {
  const prefix = prefixOf(x.type);
  if (e.features.fma && isVector(x.type)) {
    push(e, x.a, x.b, x.c);
    e.f.op(`${prefix}.relaxed_madd`);
  } else {
    push(e, x.a, x.b);
    e.f.op(`${prefix}.mul`);
    emitExpr(e, x.c);
    e.f.op(`${prefix}.add`);
  }
}

/** Without the relaxed instruction: exact products of both halves, summed in pairs, then in fours. */
function emitDot8(e: Emitter, x: Of<"dot8">): void {
  const { f } = e;
  push(e, x.a, x.b);
  if (e.features.dot8) {
    emitExpr(e, x.acc);
    f.op("i32x4.relaxed_dot_i8x16_i7x16_add_s");
    return;
  }
  f.withLocal("v128", (a) =>
    f.withLocal("v128", (b) => {
      f.set(b).set(a);
      for (const half of ["low", "high"]) {
        f.get(a).get(b).op(`i16x8.extmul_${half}_i8x16_s`);
        f.op("i32x4.extadd_pairwise_i16x8_s");
      }
      f.set(b)
        .tee(a)
        .get(b)
        .op("i8x16.shuffle", ...pairLanes(0));
      f.get(a)
        .get(b)
        .op("i8x16.shuffle", ...pairLanes(1))
        .op("i32x4.add");
    }),
  );
  emitExpr(e, x.acc);
  f.op("i32x4.add");
}

/** Byte indices of the even (0) or odd (1) 32-bit lanes of two vectors. */
const pairLanes = (odd: 0 | 1): number[] =>
  [0, 2, 4, 6].flatMap((lane) => [0, 1, 2, 3].map((byte) => (lane + odd) * 4 + byte));

/** Byte indices of a lane shuffle. */
function shuffleBytes(type: KType, indices: readonly number[]): number[] {
  const size = elemBytes(elemOf(type));
  const n = lanesOf(type);
  const bytes = indices.flatMap((i) => {
    const start = i < n ? i * size : 16 + (i - n) * size;
    return Array.from({ length: size }, (_, k) => start + k);
  });
  while (bytes.length < 16) bytes.push(0);
  return bytes;
}

function emitNarrow(e: Emitter, x: Of<"narrow">): void {
  invariant(prefixOf(x.a.type) === x.a.type, () => `WebAssembly: narrow of ${x.a.type}`);
  push(e, x.a, x.b);
  e.f.op(`${x.type}.narrow_${x.a.type}_${x.signed ? "s" : "u"}`);
}

function emitExtmul(e: Emitter, x: Of<"extmul">): void {
  invariant(prefixOf(x.a.type) === x.a.type, () => `WebAssembly: extmul of ${x.a.type}`);
  push(e, x.a, x.b);
  e.f.op(`${x.type}.extmul_${x.half}_${x.a.type}_s`);
}

function push(e: Emitter, ...xs: readonly Expr[]): void {
  for (const x of xs) emitExpr(e, x);
}

const HANDLERS = new WeakMap<Emitter, ByKind<Expr, void>>();

function handlers(e: Emitter): ByKind<Expr, void> {
  const { f } = e;
  return {
    const: (x) => emitConstant(e, x),
    lanes: (x) => emitConstant(e, x),
    var: (x) => void f.get(localOf(e, x.name)),
    load: (x) => emitLoad(e, x),
    unary: (x) => {
      emitExpr(e, x.a);
      emitUnary(f, x.op, x.type);
    },
    binary: (x) => emitBinaryExpr(e, x),
    fma: (x) => emitFma(e, x),
    select: (x) => {
      const extreme = extremeOf(x);
      if (extreme !== null) {
        emitExtreme(e, x, extreme);
        return;
      }
      push(e, x.a, x.b, x.cond);
      f.op(isVector(x.type) ? "v128.bitselect" : "select");
    },
    cast: (x) => {
      emitExpr(e, x.a);
      emitCast(f, x.op, x.a.type, x.type);
    },
    splat: (x) => {
      emitExpr(e, x.a);
      f.op(`${prefixOf(x.type)}.splat`);
    },
    extract: (x) => {
      emitExpr(e, x.a);
      extractLane(f, elemOf(x.a.type), x.lane);
    },
    shuffle: (x) => {
      push(e, x.a, x.b);
      f.op("i8x16.shuffle", ...shuffleBytes(x.type, x.indices));
    },
    narrow: (x) => emitNarrow(e, x),
    extmul: (x) => emitExtmul(e, x),
    dot16: (x) => {
      push(e, x.a, x.b);
      f.op("i32x4.dot_i16x8_s");
    },
    dot8: (x) => emitDot8(e, x),
    call: (x) => {
      push(e, ...x.args);
      callMath(e, x.fn, x.type);
    },
  };
}

/** Pushes the value of an expression. */
export function emitExpr(e: Emitter, x: Expr): void {
  let table = HANDLERS.get(e);
  if (table === undefined) {
    table = handlers(e);
    HANDLERS.set(e, table);
  }
  visit(table, x);
}
