/**
 * @file The kernels of a model spread over several C files, so that compilers can work on them at the same time. Their
 * functions are then visible to each other, but not outside the shared library that the files become.
 */

/** Text that is not worth a file of its own. */
const LEAST = 50_000;
const HIDDEN = `__attribute__((visibility("hidden")))`;
const START = "static void ";

/** A unit's share of the functions, and all of them as prototypes. */
export interface Units {
  readonly bodies: readonly (readonly string[])[];
  readonly prototypes: readonly string[];
}

/** At most `count` groups of about equal length; null where one file is as good. */
export function spread(bodies: readonly string[], count: number): Units | null {
  const length = bodies.reduce((sum, text) => sum + text.length, 0);
  const groups = Math.min(count, Math.floor(length / LEAST));
  if (groups < 2) return null;
  const units = Array.from({ length: groups }, () => ({ length: 0, bodies: [] as string[] }));
  for (const text of [...bodies].sort((a, b) => b.length - a.length)) {
    const least = units.reduce((a, b) => (b.length < a.length ? b : a));
    least.length += text.length;
    least.bodies.push(`${HIDDEN} ${text.slice("static ".length)}`);
  }
  const prototypes = bodies.map((text) => {
    const signature = text.slice(START.length, text.indexOf(") {") + 1);
    return `${HIDDEN} void ${signature};\n`;
  });
  return { bodies: units.map((u) => u.bodies), prototypes };
}
