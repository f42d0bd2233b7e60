/** @file HTML that is safe by construction: every value put into a template is escaped unless it is Html. */

/** Finished markup. Made by `html` only. */
export interface Html {
  readonly markup: string;
}

export type Part = string | number | Html | readonly Html[];

const ENTITIES: Readonly<Record<string, string>> = {
  "&": "&amp;",
  "<": "&lt;",
  ">": "&gt;",
  '"': "&quot;",
  "'": "&#39;",
};

/** Text for element content and quoted attributes; control, direction and lone surrogate marks are shown as U+FFFD. */
export const escapeText = (text: string): string =>
  text.replace(/[\p{Cc}\p{Cf}\p{Cs}]/gu, "\ufffd").replace(/[&<>"']/g, (c) => ENTITIES[c]!);

function markupOf(part: Part): string {
  if (typeof part === "string") return escapeText(part);
  if (typeof part === "number") return String(Math.round(part * 100) / 100);
  return "markup" in part ? part.markup : part.map((p) => p.markup).join("");
}

/** Markup from a template. Numbers are coordinates: written with at most two decimals. */
export function html(strings: TemplateStringsArray, ...parts: readonly Part[]): Html {
  return { markup: strings.reduce((all, s, i) => all + markupOf(parts[i - 1]!) + s) };
}

export const NOTHING: Html = html``;

const LONGEST_NAME = 80;

/** A name from a model, cut in the middle when it is very long. */
export const cutName = (name: string): string =>
  name.length <= LONGEST_NAME ? name : `${name.slice(0, 50)}…${name.slice(-28)}`;
