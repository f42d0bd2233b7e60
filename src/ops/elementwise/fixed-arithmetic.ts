/**
 * @file TensorFlow Lite's 8-bit add, sub and mul, bit for bit. Sums are formed at 2^20 times a
 * common scale, products are rescaled once. Clamping to the byte range is the caller's.
 */
import {
  binary,
  constant,
  i32,
  type KernelBuilder,
  mul as product,
  sub,
  add as sum,
} from "../../kernel/build.ts";
import type { Expr } from "../../kernel/ir.ts";
import {
  type FixedPoint,
  multiplyByQuantizedMultiplier,
  quantizeMultiplier,
} from "../../tensor/fixed-point.ts";
import { mulByFixedPoint } from "../quant/fixed-point-expr.ts";
import type { FixedRuleOf } from "./arithmetic-op.ts";

const LEFT_SHIFT = 20;

const centred = (q: Expr, zero: number): Expr => sub(q, constant(q.type, zero));

/**
 * multiplyByQuantizedMultiplier(v * 2^20, m) for |v| <= 255 in 32 bits: the high multiply is
 * floor((v * multiplier + 2^10) / 2^11), and splitting the multiplier at 2^11 keeps the parts
 * small.
 */
function shiftedTerm(v: Expr, m: FixedPoint, builder: KernelBuilder): Expr {
  const at = (value: number): Expr => constant(v.type, value);
  const high = Math.floor(m.multiplier / 2048);
  const low = m.multiplier - high * 2048;
  const carry = binary("shr", sum(product(v, at(low)), at(1024)), i32(11));
  const scaled = builder.let("scaled", sum(product(v, at(high)), carry));
  if (m.shift === 0) return scaled;
  const half = sum(scaled, at(2 ** (-m.shift - 1)));
  const nudged = sum(half, binary("shr", scaled, i32(31)));
  return builder.let("term", binary("shr", nudged, i32(-m.shift)));
}

/** add, or sub with the second multiplier negated. */
export const fixedSum =
  (sign: 1 | -1): FixedRuleOf =>
  (a, b, out) => {
    const [sa, sb, so] = [a.scale[0]!, b.scale[0]!, out.scale[0]!];
    const [za, zb, zo] = [a.zeroPoint[0]!, b.zeroPoint[0]!, out.zeroPoint[0]!];
    const twice = 2 * Math.max(sa, sb);
    const ma = quantizeMultiplier(sa / twice);
    const positive = quantizeMultiplier(sb / twice);
    const mb: FixedPoint = { ...positive, multiplier: sign * positive.multiplier };
    const mo = quantizeMultiplier(twice / (2 ** LEFT_SHIFT * so));
    const scaled = (q: number, zero: number, m: FixedPoint): number =>
      multiplyByQuantizedMultiplier((q - zero) * 2 ** LEFT_SHIFT, m);
    return {
      js: (p, q) => multiplyByQuantizedMultiplier(scaled(p, za, ma) + scaled(q, zb, mb), mo) + zo,
      expr: (p, q, builder) => {
        const term = (x: Expr, zero: number, m: FixedPoint): Expr =>
          shiftedTerm(builder.let("centred", centred(x, zero)), m, builder);
        const total = builder.let("total", sum(term(p, za, ma), term(q, zb, mb)));
        return finish(total, mo, zo);
      },
    };
  };

const finish = (x: Expr, m: FixedPoint, zero: number): Expr =>
  sum(mulByFixedPoint(x, m), constant(x.type, zero));

export const fixedProduct: FixedRuleOf = (a, b, out) => {
  const [za, zb, zo] = [a.zeroPoint[0]!, b.zeroPoint[0]!, out.zeroPoint[0]!];
  const scale = Math.fround(Math.fround(a.scale[0]! * b.scale[0]!) / out.scale[0]!);
  const m = quantizeMultiplier(scale);
  return {
    js: (p, q) => multiplyByQuantizedMultiplier((p - za) * (q - zb), m) + zo,
    expr: (p, q, builder) => {
      const x = builder.let("product", product(centred(p, za), centred(q, zb)));
      return finish(x, m, zo);
    },
  };
};
