/** @file The functions that tersor's export writes: taken as operators, their bodies are not read. */
import { type ImportTable, malformed, type OpContext } from "../context.ts";
import { core } from "../core.ts";
import { ACDC_BIAS_FUNCTION, ACDC_FUNCTION, HASHED_FUNCTION, TERSOR_DOMAIN } from "../functions.ts";

// Kept, though all may be known: storage, not arithmetic.
const acdc = (count: number) => (c: OpContext) => {
  const ins = Array.from({ length: count }, (_, i) => c.in(i));
  return c.e.applyAll(core.acdc, ins, { form: "auto" }, false);
};

export const functionImports: ImportTable = {
  [`${TERSOR_DOMAIN}.${HASHED_FUNCTION}`]: (c) => {
    const shape = c.attrs.ints("shape");
    if (shape === undefined) throw malformed("hashed weights without a shape");
    const seed = c.attrs.int("seed", 0);
    return c.e.applyAll(core.hashed_weights, [c.in(0)], { shape, seed }, false);
  },
  [`${TERSOR_DOMAIN}.${ACDC_FUNCTION}`]: acdc(3),
  [`${TERSOR_DOMAIN}.${ACDC_BIAS_FUNCTION}`]: acdc(4),
};
