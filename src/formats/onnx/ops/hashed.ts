/** @file The function that tersor's export writes for hashed weights: taken as the operator, its body is not read. */
import { type ImportTable, malformed } from "../context.ts";
import { core } from "../core.ts";
import { HASHED_FUNCTION, TERSOR_DOMAIN } from "../hashed.ts";

export const hashedImports: ImportTable = {
  [`${TERSOR_DOMAIN}.${HASHED_FUNCTION}`]: (c) => {
    const shape = c.attrs.ints("shape");
    if (shape === undefined) throw malformed("hashed weights without a shape");
    const seed = c.attrs.int("seed", 0);
    // Kept, though all of it is known: storage, not arithmetic.
    return c.e.applyAll(core.hashed_weights, [c.in(0)], { shape, seed }, false);
  },
};
