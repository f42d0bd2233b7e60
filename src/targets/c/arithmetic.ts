/** @file Unary and binary operators of the kernel IR as C text, with helpers where C's meaning differs. */
import {
  type BinaryOp,
  COMPARISONS,
  elemBytes,
  elemOf,
  isFloatElem,
  isVector,
  type KType,
  lanesOf,
  type UnaryOp,
} from "../../kernel/ir.ts";
import type { Helpers } from "./helpers.ts";
import { laneType } from "./helpers.ts";
import {
  clampIntrinsic,
  floatExtremeIntrinsic,
  floatUnaryIntrinsic,
  guarded,
  intExtremeIntrinsic,
} from "./intrinsics.ts";
import { cType, maskType, unsignedType } from "./types.ts";

const INFIX: Partial<Record<BinaryOp, string>> = {
  add: "+",
  sub: "-",
  mul: "*",
  div: "/",
  div_u: "/",
  rem: "%",
  rem_u: "%",
  and: "&",
  or: "|",
  xor: "^",
  eq: "==",
  ne: "!=",
  lt: "<",
  lt_u: "<",
  le: "<=",
  le_u: "<=",
  gt: ">",
  gt_u: ">",
  ge: ">=",
  ge_u: ">=",
};

const bitsOf = (t: KType): number => 8 * elemBytes(elemOf(t));

/** `a op b` on operands of `type`; both texts bind tighter than any infix operator. */
export function binaryText(
  h: Helpers,
  op: BinaryOp,
  type: KType,
  a: string,
  b: string,
  right: KType = type,
): string {
  const infix = INFIX[op];
  const float = isFloatElem(elemOf(type));
  const compare = COMPARISONS.has(op);
  const plain = compare && !op.endsWith("_u");
  if (infix !== undefined && (plain || op === "and" || op === "or" || op === "xor" || float)) {
    const text = `(${a} ${infix} ${b})`;
    return compare && isVector(type) ? `((${maskType(type)})${text})` : text;
  }
  const lanes = isVector(right) && (op === "shl" || op === "shr" || op === "shr_u");
  return `${lanes ? shift(h, op, type, right) : binaryHelper(h, op, type)}(${a}, ${b})`;
}

function binaryHelper(h: Helpers, op: BinaryOp, type: KType): string {
  const name = `${op}_${type}`;
  const result = COMPARISONS.has(op) ? (isVector(type) ? maskType(type) : "i32") : type;
  if (op === "shl" || op === "shr" || op === "shr_u") return shift(h, op, type);
  const float = isFloatElem(elemOf(type));
  if (op === "copysign") return copysign(h, type);
  if (float) return floatExtreme(h, op as "min" | "max", type);
  const kind = op.replace("_u", "");
  const lanes = kind === "div" || kind === "rem";
  if (lanes && isVector(type)) {
    const scalar = binaryHelper(h, op, laneType(type));
    return h.laneWise(name, type, [type, type], (a, b) => `${scalar}(${a}, ${b})`);
  }
  const plain = (): string => intBody(op, type, result);
  const extreme = isVector(type) && (kind === "min" || kind === "max");
  const intrinsic = extreme ? intExtremeIntrinsic(h.cpu, op, type) : null;
  return h.define(name, result, [type, type], () => guarded(intrinsic, plain()));
}

function intBody(op: BinaryOp, type: KType, result: KType): string {
  const u = unsignedType(type);
  const c = cType(result);
  const kind = op.replace("_u", "");
  const [a, b] = op.endsWith("_u") ? [`(${u})a`, `(${u})b`] : ["a", "b"];
  if (kind === "min" || kind === "max") {
    const test = `${a} ${kind === "min" ? "<" : ">"} ${b}`;
    if (!isVector(type)) return `return ${test} ? a : b;`;
    return `const ${cType(type)} m = (${cType(type)})(${test});\nreturn (a & m) | (b & ~m);`;
  }
  if (op === "div") return `return b == -1 ? (${c})(0 - (${u})a) : a / b;`;
  if (op === "rem") return "return b == -1 ? 0 : a % b;";
  return `return (${c})((${u})a ${INFIX[op]} (${u})b);`;
}

/** Shift counts are scalars, or a vector's lanes; counts beyond the width wrap. */
function shift(
  h: Helpers,
  op: "shl" | "shr" | "shr_u",
  type: KType,
  by: KType = type === "i64" ? "i64" : "i32",
): string {
  const u = unsignedType(type);
  const mask = bitsOf(type) - 1;
  if (isVector(by)) {
    const source = op === "shr" ? "a" : `(${u})a`;
    return h.define(`${op}_lanes_${type}`, type, [type, by], () => {
      const text = `${source} ${op === "shl" ? "<<" : ">>"} (${op === "shr" ? type : u})(b & ${mask})`;
      return `return (${type})(${text});`;
    });
  }
  return h.define(`${op}_${type}`, type, [type, by], () => {
    const elem = `${op === "shr" ? "" : "u"}int${bitsOf(type)}_t`;
    const bits = isVector(type) ? `(${elem})(b & ${mask})` : `(b & ${mask})`;
    if (op === "shr") return `return a >> ${bits};`;
    return `return (${cType(type)})((${u})a ${op === "shl" ? "<<" : ">>"} ${bits});`;
  });
}

/** The bits of a value as text, and back. */
export function bitsText(h: Helpers, to: KType, from: KType, x: string): string {
  if (to === from) return x;
  if (isVector(to)) return `((${to})${x})`;
  const name = h.define(
    `bits_${to}_${from}`,
    to,
    [from],
    () => `union {\n  ${cType(from)} from;\n  ${cType(to)} to;\n} u;\nu.from = a;\nreturn u.to;`,
  );
  return `${name}(${x})`;
}

const signBit = (type: KType): string => (bitsOf(type) === 64 ? "INT64_MIN" : "INT32_MIN");
const notSign = (type: KType): string => (bitsOf(type) === 64 ? "INT64_MAX" : "INT32_MAX");

function copysign(h: Helpers, type: KType): string {
  const m = maskType(type);
  return h.define(`copysign_${type}`, type, [type, type], () => {
    const [a, b] = [bitsText(h, m, type, "a"), bitsText(h, m, type, "b")];
    const bits = `((${a} & ${notSign(type)}) | (${b} & ${signBit(type)}))`;
    return `return ${bitsText(h, type, m, bits)};`;
  });
}

/** NaN if an operand is NaN; -0 is below 0. */
function floatExtreme(h: Helpers, op: "min" | "max", type: KType): string {
  const intrinsic = floatExtremeIntrinsic(h.cpu, op, type);
  return h.define(`${op}_${type}`, type, [type, type], () =>
    guarded(intrinsic, extremeBody(h, op, type)),
  );
}

/** The smaller or larger of a value and a constant, which is not NaN; both texts bind tightly. */
export function clampText(
  h: Helpers,
  op: "min" | "max",
  type: KType,
  a: string,
  constant: { readonly text: string; readonly value: number },
): string {
  const intrinsic = clampIntrinsic(h.cpu, op, type);
  const negative = Object.is(constant.value, -0);
  if (intrinsic === null || (op === "min" && negative)) {
    return `${floatExtreme(h, op, type)}(${a}, ${constant.text})`;
  }
  const zero = op === "max" && constant.value === 0 && !negative;
  const name = zero ? `relu_${type}` : `clamp_${op}_${type}`;
  const body = zero ? intrinsic.body.replace(/return (.*);/, "return $1 + b;") : intrinsic.body;
  const other = floatExtreme(h, op, type);
  h.define(name, type, [type, type], () =>
    guarded({ ...intrinsic, body }, `return ${other}(a, b);`),
  );
  return `${name}(${a}, ${constant.text})`;
}

function extremeBody(h: Helpers, op: "min" | "max", type: KType): string {
  const m = maskType(type);
  const bits = (x: string): string => bitsText(h, m, type, x);
  const [low, high] = op === "min" ? ["a", "b"] : ["b", "a"];
  if (!isVector(type)) {
    const equal = op === "min" ? "|" : "&";
    const both = bitsText(h, type, m, `(${bits("a")} ${equal} ${bits("b")})`);
    return (
      `if (a < b) return ${low};\nif (b < a) return ${high};\n` + `return a == b ? ${both} : a + b;`
    );
  }
  const below = `const ${m} below = (${m})(a < b), above = (${m})(b < a);`;
  if (op === "min") {
    return `${below}\nreturn (${type})((~above & (${m})a) | (~below & (${m})b));`;
  }
  const flipped = "(~below & (M)-a) | (~above & (M)-b)".replace(/M/g, m);
  return `${below}\nreturn -(${type})(${flipped});`;
}

/** An operator on one operand; the text binds tighter than any infix operator. */
export function unaryText(h: Helpers, op: UnaryOp, type: KType, a: string): string {
  const float = isFloatElem(elemOf(type));
  if (op === "not") return `(~${a})`;
  if (op === "neg" && float) return `(-${a.startsWith("-") ? `(${a})` : a})`;
  return `${float ? floatUnary(h, op, type) : intUnary(h, op, type)}(${a})`;
}

function intUnary(h: Helpers, op: UnaryOp, type: KType): string {
  const name = `${op}_${type}`;
  const u = unsignedType(type);
  if (op === "neg") {
    return h.define(name, type, [type], () => `return (${cType(type)})(0 - (${u})a);`);
  }
  if (op === "abs") {
    return h.define(name, type, [type], () => {
      const m = isVector(type) ? `(${type})(a < 0)` : "-(a < 0)";
      const c = cType(type);
      return `const ${c} m = ${m};\nreturn (${c})(((${u})a ^ (${u})m) - (${u})m);`;
    });
  }
  if (isVector(type)) {
    const bits = bitsOf(type);
    const scalar = intUnary(h, op, laneType(type));
    const extra = op === "clz" && bits < 32 ? ` - ${32 - bits}` : "";
    return h.laneWise(name, type, [type], (a) => `${scalar}((uint${bits}_t)${a})${extra}`);
  }
  const suffix = type === "i64" ? "ll" : "";
  const count = `__builtin_${op === "clz" ? "clz" : "popcount"}${suffix}((${u})a)`;
  const body = op === "clz" ? `a == 0 ? ${bitsOf(type)} : ${count}` : count;
  return h.define(name, type, [type], () => `return ${body};`);
}

function floatUnary(h: Helpers, op: UnaryOp, type: KType): string {
  const name = `${op}_${type}`;
  if (op === "abs") {
    const m = maskType(type);
    return h.define(name, type, [type], () => {
      const bits = `(${bitsText(h, m, type, "a")} & ${notSign(type)})`;
      return `return ${bitsText(h, type, m, bits)};`;
    });
  }
  const intrinsic = floatUnaryIntrinsic(h.cpu, op, type);
  const plain = op === "sqrt" ? sqrtBody(h, type) : roundBody(h, op, type);
  return h.define(name, type, [type], () => guarded(intrinsic, plain));
}

function sqrtBody(h: Helpers, type: KType): string {
  const double = elemOf(type) === "f64";
  if (!isVector(type)) return `return __builtin_sqrt${double ? "" : "f"}(a);`;
  const scalar = floatUnary(h, "sqrt", elemOf(type) as KType);
  const lanes = Array.from({ length: lanesOf(type) }, (_, i) => `${scalar}(a[${i}])`);
  return `return (${type}){${lanes.join(", ")}};`;
}

/** Adding and taking away 2^23 (2^52) rounds to nearest even; then one step, then the sign. */
function roundBody(h: Helpers, op: UnaryOp, type: KType): string {
  const double = elemOf(type) === "f64";
  const c = cType(type);
  const limit = double ? "4503599627370496.0" : "8388608.0f";
  const one = double ? "1.0" : "1.0f";
  const abs = floatUnary(h, "abs", type);
  const sign = copysign(h, type);
  const whole = isVector(type) ? `((${type}){0} + ${limit})` : limit;
  const lines = [`const ${c} x = ${abs}(a);`, `${c} r = (x + ${whole}) - ${whole};`];
  if (op === "floor" || op === "ceil") lines.push(`r = ${sign}(r, a);`);
  const step = { nearest: null, trunc: "r > x", floor: "r > a", ceil: "r < a" }[op as "floor"];
  if (step !== null) {
    const way = op === "ceil" ? "+" : "-";
    const m = maskType(type);
    const stepBy = `(${type})((${m})(${step}) & (${m})((${type}){0} + ${one}))`;
    lines.push(isVector(type) ? `r = r ${way} ${stepBy};` : `if (${step}) r = r ${way} ${one};`);
  }
  const done = isVector(type)
    ? `return ${selectText(h, type, `((${maskType(type)})(x < ${whole}))`, `${sign}(r, a)`, "a")};`
    : `return x < ${limit} ? ${sign}(r, a) : a;`;
  return [...lines, done].join("\n");
}

/** One or the other by a scalar condition or a mask. */
export function selectText(h: Helpers, type: KType, c: string, a: string, b: string): string {
  if (!isVector(type)) return `(${c} ? ${a} : ${b})`;
  const m = maskType(type);
  const name = `select_${type}`;
  h.once(name, () => {
    const body = `return (${type})((m & (${m})a) | (~m & (${m})b));`;
    return `static inline ${type} ${name}(${m} m, ${type} a, ${type} b) {\n  ${body}\n}\n`;
  });
  return `${name}(${c}, ${a}, ${b})`;
}
