/** @file Numbers and tables as people read them. Plain text, no colour. */

const PREFIXES = ["", "k", "M", "G", "T"] as const;

function scaled(x: number, digits: number): string {
  let value = Math.abs(x);
  let step = 0;
  while (value >= 999.5 && step < PREFIXES.length - 1) {
    value /= 1000;
    step++;
  }
  const text = step === 0 ? String(Math.round(value)) : value.toPrecision(digits);
  return `${x < 0 ? "-" : ""}${text} ${PREFIXES[step]}`;
}

/** "12.50 M" */
export const count = (x: number): string => scaled(x, 4).trimEnd();
/** "52.5 kB", decimal. */
export const bytes = (x: number): string => `${scaled(x, 3)}B`;
/** "0.147 ms", "8.4 µs" */
export const ms = (x: number): string => (x < 0.01 ? `${number(1000 * x)} µs` : `${number(x)} ms`);

/** Three significant digits, never in exponents for common sizes. */
export function number(x: number): string {
  if (!Number.isFinite(x)) return Number.isNaN(x) ? "nan" : x > 0 ? "inf" : "-inf";
  const a = Math.abs(x);
  if (a === 0) return "0";
  if (a >= 1e6 || a < 1e-4) return x.toExponential(2);
  return a >= 100 ? String(Math.round(x * 10) / 10) : String(Number(x.toPrecision(3)));
}

export const shape = (dtype: string, dims: readonly number[]): string => `${dtype}[${dims}]`;

/** "8 > 4"; one number where nothing changed. */
export const pair = (
  [before, after]: readonly [number, number],
  text: (n: number) => string,
): string => (before === after ? text(before) : `${text(before)} > ${text(after)}`);

/** "1 node", "2 nodes" */
export const plural = (n: number, one: string, many = `${one}s`): string =>
  `${n} ${n === 1 ? one : many}`;

/** The text cut to `width`, with an ellipsis in its middle. */
export function fit(text: string, width: number): string {
  if (text.length <= width) return text;
  if (width < 5) return text.slice(0, Math.max(width, 1));
  const head = Math.ceil((width - 1) / 2);
  return `${text.slice(0, head)}…${text.slice(text.length - (width - 1 - head))}`;
}

export interface TableOptions {
  /** Columns set flush right, by index. */
  readonly right?: readonly number[];
  readonly width: number;
  /** Column that is cut when a line is too long; default the first. */
  readonly flexible?: number;
  readonly indent?: number;
}

/** Rows as aligned columns, two blanks apart. */
export function table(rows: readonly (readonly string[])[], options: TableOptions): string {
  const { right = [], width, flexible = 0, indent = 2 } = options;
  const columns = Math.max(0, ...rows.map((r) => r.length));
  const sizes = Array.from({ length: columns }, (_, c) =>
    Math.max(...rows.map((r) => (r[c] ?? "").length)),
  );
  const total = sizes.reduce((a, b) => a + b, 0) + 2 * (columns - 1) + indent;
  if (total > width) sizes[flexible] = Math.max(8, sizes[flexible]! - (total - width));
  const line = (row: readonly string[]): string =>
    sizes
      .map((size, c) => {
        const text = c === flexible ? fit(row[c] ?? "", size) : (row[c] ?? "");
        return right.includes(c) ? text.padStart(size) : text.padEnd(size);
      })
      .join("  ")
      .trimEnd();
  return rows.map((r) => `${" ".repeat(indent)}${line(r)}\n`).join("");
}
