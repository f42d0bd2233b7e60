/** @file The frame of a report: one HTML file, no network, no script, fit for a strict content security policy. */
import { type Html, html } from "./markup.ts";
import { STYLE } from "./style.ts";

const POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'";

/** A complete document. */
export function page(title: string, body: Html): string {
  const head = html`<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="${POLICY}"><meta name="color-scheme" content="light dark">
<title>${title}</title>`;
  return `${head.markup}\n<style>${STYLE}</style></head>\n<body>\n${body.markup}\n</body></html>\n`;
}
