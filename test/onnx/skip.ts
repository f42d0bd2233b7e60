/** @file Node tests that are not expected to pass, in groups, each with its reason. */

export interface SkipGroup {
  readonly reason: string;
  /** Matches the whole name of a case without "test_". */
  readonly cases: RegExp;
  /** Absent: on every engine. */
  readonly engine?: "interpreter" | "wasm";
}

export const SKIP: readonly SkipGroup[] = [
  {
    reason: "element types below 8 bits and 8-bit floats are not tensors of tersor",
    cases:
      /^(cast|castlike|quantizelinear|dequantizelinear)_.*(FLOAT8|FLOAT4|INT4|INT2|e4m3fn|e5m2|e8m0|float4e2m1|int4|uint4|int2|uint2).*$/,
  },
];

/** The reason a case is skipped on an engine, or null. */
export function skipReason(name: string, engine: "interpreter" | "wasm"): string | null {
  const short = name.replace(/^test_/, "");
  const group = SKIP.find((g) => (g.engine ?? engine) === engine && g.cases.test(short));
  return group?.reason ?? null;
}
