/** @file The report page in headless Chromium: layout at several widths, contrast in both colour schemes, policy. */
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { delimiter, join } from "node:path";
import { test } from "node:test";
import { chromium, type Page } from "playwright-core";
import { renderReport } from "../../src/report/html.ts";
import { sampleReport } from "../support/optimize-report.ts";

const POLICY = "default-src 'none'; style-src 'unsafe-inline'";

/** Smallest ratio between text and background that WCAG 2 asks of normal text (level AA). */
const CONTRAST = 4.5;

const browserPath = (process.env["PATH"] ?? "")
  .split(delimiter)
  .map((folder) => join(folder, "chromium"))
  .find((path) => existsSync(path));

/** Texts that reach outside their chart. */
const OUTSIDE = `[...document.querySelectorAll("svg[role=img] text")].filter((text) => {
  const chart = text.ownerSVGElement.getBoundingClientRect();
  const box = text.getBoundingClientRect();
  return box.left < chart.left - 1 || box.right > chart.right + 1
    || box.top < chart.top - 1 || box.bottom > chart.bottom + 1;
}).map((text) => text.textContent)`;

/** Colours of all texts and of what is behind them, as [text, background, sample]. */
const COLOURS = `[...document.querySelectorAll("h1, p, th, td, dt, dd, li, .range, .no, svg text")].map((e) => {
  const style = getComputedStyle(e);
  let behind = e;
  while (behind && /, 0\\)$|transparent/.test(getComputedStyle(behind).backgroundColor)) {
    behind = behind.parentElement;
  }
  return [e instanceof SVGElement ? style.fill : style.color,
    getComputedStyle(behind ?? document.body).backgroundColor, e.textContent.slice(0, 30)];
})`;

function luminance(colour: string): number {
  const [r, g, b] = (colour.match(/[\d.]+/g) ?? []).map(Number).map((v) => {
    const s = v / 255;
    return s <= 0.04045 ? s / 12.92 : ((s + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * r! + 0.7152 * g! + 0.0722 * b!;
}

function contrast(a: string, b: string): number {
  const [x, y] = [luminance(a), luminance(b)];
  return (Math.max(x, y) + 0.05) / (Math.min(x, y) + 0.05);
}

async function checkLayout(page: Page): Promise<void> {
  const overflow = await page.evaluate("document.documentElement.scrollWidth - innerWidth");
  assert.equal(overflow, 0, "the page scrolls sideways");
  assert.deepEqual(await page.evaluate(OUTSIDE), []);
}

test("the report page in Chromium", async (t) => {
  if (browserPath === undefined) {
    t.diagnostic("skipped: no chromium on the search path");
    return;
  }
  const browser = await chromium.launch({
    executablePath: browserPath,
    args: ["--no-sandbox", "--disable-gpu"],
  });
  t.after(() => browser.close());
  const body = renderReport(sampleReport);
  for (const colorScheme of ["light", "dark"] as const) {
    for (const width of [360, 800, 1280]) {
      await t.test(`${colorScheme}, ${width} pixels wide`, async () => {
        const page = await browser.newPage({ colorScheme, viewport: { width, height: 900 } });
        const messages: string[] = [];
        page.on("console", (m) => messages.push(m.text()));
        await page.route("**/*", (route) =>
          route.fulfill({
            body,
            contentType: "text/html",
            headers: { "content-security-policy": POLICY },
          }),
        );
        await page.goto("http://report.example/");
        await checkLayout(page);
        for (const [text, behind, sample] of (await page.evaluate(COLOURS)) as string[][]) {
          const ratio = contrast(text!, behind!);
          assert.ok(ratio >= CONTRAST, `${text} on ${behind}: ${ratio.toFixed(2)} (${sample})`);
        }
        assert.deepEqual(messages, []);
        await page.close();
      });
    }
  }
});
