/** @file A complete HTML document: no script, nothing from elsewhere, fit for a strict content security policy. */
import { type Html, html, NOTHING } from "./markup.ts";
import { STYLE } from "./style.ts";

const POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'";

export interface PageOptions {
  /** Beside the common style sheet. */
  readonly style?: string;
  /** Seconds after which the page reloads itself; default never. */
  readonly reload?: number;
}

/** The document of a body. */
export function page(title: string, body: Html, { style = "", reload }: PageOptions = {}): string {
  const again =
    reload === undefined ? NOTHING : html`<meta http-equiv="refresh" content="${reload}">`;
  const head = html`<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="${POLICY}"><meta name="color-scheme" content="light dark">${again}
<title>${title}</title>`;
  return `${head.markup}\n<style>${STYLE}${style}</style></head>\n<body>\n${body.markup}\n</body></html>\n`;
}
