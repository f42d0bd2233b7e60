/** @file What is checked of pages: escaping, and tags that nest. */
import assert from "node:assert/strict";

/** Text that breaks out where it is not escaped. */
export const HOSTILE = `"><script>alert(1)</script>'&\u202egnp.\u0000`;

/** The report with every string replaced. */
export function withStrings<T>(value: T, text: string): T {
  if (typeof value === "string") return text as T;
  if (Array.isArray(value)) return value.map((v) => withStrings(v, text)) as T;
  if (typeof value !== "object" || value === null) return value;
  const entries = Object.entries(value).map(([k, v]) => [
    k,
    k === "metric" ? v : withStrings(v, text),
  ]);
  return Object.fromEntries(entries) as T;
}

/** Tags that were opened and not closed, void elements aside. */
export function unclosed(page: string): string[] {
  const open: string[] = [];
  const tags = page
    .replace(/<style>[\s\S]*?<\/style>/, "")
    .matchAll(/<(\/?)([a-z0-9]+)[^>]*?(\/?)>/g);
  for (const [, closing, name = "", self] of tags) {
    if (self === "/" || name === "meta") continue;
    if (closing === "") open.push(name);
    else assert.equal(open.pop(), name);
  }
  return open;
}
