/** @file Casts and operations that rearrange or widen lanes, as C text. */
import {
  type CastOp,
  type Elem,
  elemBytes,
  elemOf,
  type Half,
  isVector,
  type KType,
  lanesOf,
} from "../../kernel/ir.ts";
import { binaryText, bitsText, selectText } from "./arithmetic.ts";
import type { Helpers } from "./helpers.ts";
import {
  addDot16Intrinsic,
  dot8Intrinsic,
  dot16Intrinsic,
  extendIntrinsic,
  extmulIntrinsic,
  guarded,
  narrowIntrinsic,
} from "./intrinsics.ts";
import { cType, literal, maskType, unsignedType } from "./types.ts";

const bitsOf = (t: KType): number => 8 * elemBytes(elemOf(t));
const withLanes = (elem: Elem | string, n: number): KType => `${elem}x${n}` as KType;

/** The value of `x` (of type `from`) cast to `to`. */
export function castText(h: Helpers, op: CastOp, from: KType, to: KType, x: string): string {
  if (op === "bits") return bitsText(h, to, from, x);
  if (op.startsWith("extend_low") || op.startsWith("extend_high")) {
    return `${extendHalf(h, op.includes("low"), op.endsWith("_u"), from, to)}(${x})`;
  }
  if (op === "trunc_sat_s" || op === "trunc_sat_u") {
    return `${truncSat(h, op, from, to)}(${x})`;
  }
  if (isVector(to)) return `${vectorCast(h, op, from, to)}(${x})`;
  const c = cType(to);
  switch (op) {
    case "convert_u":
    case "extend_u":
      return `((${c})(${unsignedType(from)})${x})`;
    case "extend8_s":
      return `((${c})(int8_t)${x})`;
    case "extend16_s":
      return `((${c})(int16_t)${x})`;
    default:
      return `((${c})${x})`;
  }
}

function vectorCast(h: Helpers, op: CastOp, from: KType, to: KType): string {
  return h.define(`${op}_${to}_${from}`, to, [from], () => {
    if (op === "extend8_s" || op === "extend16_s") {
      const shift = Math.max(0, bitsOf(from) - (op === "extend8_s" ? 8 : 16));
      return `return (${to})((${unsignedType(from)})a << ${shift}) >> ${shift};`;
    }
    const source = op.endsWith("_u") ? `(${unsignedType(from)})a` : "a";
    return `return __builtin_convertvector(${source}, ${to});`;
  });
}

/** Half of the lanes at twice the width. */
function extendHalf(h: Helpers, low: boolean, unsigned: boolean, from: KType, to: KType): string {
  const part = withLanes(elemOf(from), lanesOf(to));
  const source = unsigned ? unsignedType(part) : part;
  const name = `extend_${low ? "low" : "high"}_${unsigned ? "u" : "s"}_${to}_${from}`;
  const bytes = elemBytes(elemOf(part)) * lanesOf(part);
  return h.define(name, to, [from], () => {
    const start = low ? "&a" : `(const char *)&a + ${bytes}`;
    const plain =
      `${source} part;\nmemcpy(&part, ${start}, ${bytes});\n` +
      `return __builtin_convertvector(part, ${to});`;
    return guarded(extendIntrinsic(h.cpu, from, to, low, !unsigned), plain);
  });
}

/** Toward zero, to the nearest end of the range, NaN to 0. */
function truncSat(h: Helpers, op: "trunc_sat_s" | "trunc_sat_u", from: KType, to: KType): string {
  const signed = op === "trunc_sat_s";
  const bits = bitsOf(to);
  const top = literal(elemOf(from), 2 ** (signed ? bits - 1 : bits));
  const bottom = signed ? literal(elemOf(from), -(2 ** (bits - 1))) : literal(elemOf(from), 0);
  const most = signed ? `INT${bits}_MAX` : "-1";
  const least = signed ? `INT${bits}_MIN` : "0";
  const name = `${op}_${to}_${from}`;
  if (!isVector(to)) {
    const inside = signed ? `(${cType(to)})a` : `(${cType(to)})(${unsignedType(to)})a`;
    return h.define(name, to, [from], () =>
      [
        `if (a >= ${top}) return ${most};`,
        `if (a < ${bottom}) return ${least};`,
        `return a == a ? ${inside} : 0;`,
      ].join("\n"),
    );
  }
  if (!signed || bitsOf(from) !== bits) {
    const scalar = truncSat(h, op, elemOf(from) as KType, elemOf(to) as KType);
    return h.laneWise(name, to, [from], (a) => `${scalar}(${a})`);
  }
  const m = maskType(from);
  return h.define(name, to, [from], () =>
    [
      `const ${m} above = (${m})(a >= ${top}), below = (${m})(a < ${bottom});`,
      `const ${m} inside = (${m})(a >= ${bottom}) & ~above;`,
      `const ${from} x = (${from})((${m})a & inside);`,
      `return __builtin_convertvector(x, ${to}) | (above & ${most}) | (below & ${least});`,
    ].join("\n"),
  );
}

/** A scalar repeated over all lanes. */
export function splatText(h: Helpers, type: KType, a: string): string {
  const elem = elemOf(type);
  const cast = elem === "i8" || elem === "i16" ? `(${cType(elem as KType)})` : "";
  const param: KType = cast === "" ? (elem as KType) : "i32";
  return `${h.laneWise(`splat_${type}`, type, [param], (x) => `${cast}${x}`)}(${a})`;
}

/** Lanes of a then b by constant indices. */
export function shuffleText(
  h: Helpers,
  type: KType,
  indices: readonly number[],
  a: string,
  b: string,
): string {
  const n = lanesOf(type);
  const name = `shuffle_${type}_${indices.join("_")}`;
  const lane = (i: number): string => (i < n ? `a[${i}]` : `b[${i - n}]`);
  return `${h.define(name, type, [type, type], () =>
    [
      "#if defined(__clang__)",
      `return __builtin_shufflevector(a, b, ${indices.join(", ")});`,
      "#elif defined(__GNUC__)",
      `return __builtin_shuffle(a, b, (${maskType(type)}){${indices.join(", ")}});`,
      "#else",
      `return (${type}){${indices.map(lane).join(", ")}};`,
      "#endif",
    ].join("\n"),
  )}(${a}, ${b})`;
}

/** Two vectors, saturated to half the width. */
export function narrowText(
  h: Helpers,
  from: KType,
  to: KType,
  signed: boolean,
  a: string,
  b: string,
): string {
  const bits = bitsOf(to);
  const lo = signed ? -(2 ** (bits - 1)) : 0;
  const hi = signed ? 2 ** (bits - 1) - 1 : 2 ** bits - 1;
  const half = withLanes(elemOf(to), lanesOf(from));
  const bytes = elemBytes(elemOf(to)) * lanesOf(from);
  const clamp = (x: string): string[] => [
    `${x} = ${selectText(h, from, `((${maskType(from)})(${x} < ${lo}))`, `((${from}){0} + ${lo})`, x)};`,
    `${x} = ${selectText(h, from, `((${maskType(from)})(${x} > ${hi}))`, `((${from}){0} + ${hi})`, x)};`,
  ];
  const name = `narrow_${signed ? "s" : "u"}_${to}_${from}`;
  const plain = (): string =>
    [
      ...clamp("a"),
      ...clamp("b"),
      `const ${half} low = __builtin_convertvector(a, ${half});`,
      `const ${half} high = __builtin_convertvector(b, ${half});`,
      `${to} r;`,
      `memcpy(&r, &low, ${bytes});`,
      `memcpy((char *)&r + ${bytes}, &high, ${bytes});`,
      "return r;",
    ].join("\n");
  const body = (): string => guarded(narrowIntrinsic(h.cpu, from, to, signed), plain());
  return `${h.define(name, to, [from, from], body)}(${a}, ${b})`;
}

/** Products of half of the lanes at twice the width. */
export function extmulText(
  h: Helpers,
  from: KType,
  to: KType,
  half: Half,
  a: string,
  b: string,
): string {
  const n = lanesOf(from);
  const whole = half === "low" || half === "high";
  // Even and odd lanes are brought together first; the indices of b do not matter.
  const order = Array.from({ length: n }, (_, i) => (2 * i + (half === "odd" ? 1 : 0)) % n);
  const gather = (x: string): string => (whole ? x : shuffleText(h, from, order, x, x));
  const plain = (): string => {
    const extend = extendHalf(h, half !== "high", false, from, to);
    return `return ${extend}(${gather("a")}) * ${extend}(${gather("b")});`;
  };
  const name = `extmul_${half}_${to}`;
  const body = (): string => guarded(extmulIntrinsic(h.cpu, from, to, half), plain());
  return `${h.define(name, to, [from, from], body)}(${a}, ${b})`;
}

/** Sums of two adjacent products; the operands have type `of`. */
export function dot16Text(h: Helpers, of: KType, a: string, b: string): string {
  const n = lanesOf(of) / 2;
  const to: KType = `i32x${n}`;
  const plain = [
    `const i32x${n} a_even = (i32x${n})((u32x${n})a << 16) >> 16, a_odd = (i32x${n})a >> 16;`,
    `const i32x${n} b_even = (i32x${n})((u32x${n})b << 16) >> 16, b_odd = (i32x${n})b >> 16;`,
    `return (i32x${n})((u32x${n})(a_even * b_even) + (u32x${n})(a_odd * b_odd));`,
  ].join("\n");
  const body = (): string => guarded(dot16Intrinsic(h.cpu, of), plain);
  return `${h.define(`dot16_${to}`, to, [of, of], body)}(${a}, ${b})`;
}

/** Sums of two adjacent products, added to c; the operands have type `of`. */
export function addDot16Text(h: Helpers, of: KType, c: string, a: string, b: string): string {
  const to: KType = `i32x${lanesOf(of) / 2}`;
  const plain = (): string =>
    `return ${binaryText(h, "add", to, "c", dot16Text(h, of, "a", "b"))};`;
  const body = (): string => guarded(addDot16Intrinsic(h.cpu, of), plain());
  return `${h.define(`add_dot16_${to}`, to, [of, of, to], body)}(${a}, ${b}, ${c})`;
}

/** Sums of four adjacent products, added to c; the operands have type `of`, signed without an instruction. */
export function dot8Text(h: Helpers, of: KType, a: string, b: string, c: string): string {
  const n = lanesOf(of) / 4;
  const to: KType = `i32x${n}`;
  const half: KType = `i16x${2 * n}`;
  const u = unsignedType(half);
  const plain = (): string =>
    [
      `const ${half} a_even = (${half})((${u})a << 8) >> 8, a_odd = (${half})a >> 8;`,
      `const ${half} b_even = (${half})((${u})b << 8) >> 8, b_odd = (${half})b >> 8;`,
      `const u32x${n} even = (u32x${n})${dot16Text(h, half, "a_even", "b_even")};`,
      `const u32x${n} odd = (u32x${n})${dot16Text(h, half, "a_odd", "b_odd")};`,
      `return (${to})(even + odd + (u32x${n})c);`,
    ].join("\n");
  const body = (): string => guarded(dot8Intrinsic(h.cpu, of), plain());
  return `${h.define(`dot8_${to}`, to, [of, of, to], body)}(${a}, ${b}, ${c})`;
}
