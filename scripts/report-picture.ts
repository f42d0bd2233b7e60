/**
 * @file Takes the README's picture, docs/report.png, of the demo's report: npm run demo, then this. Needs
 * chromium on the search path.
 */
import { existsSync } from "node:fs";
import { delimiter, join, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { chromium } from "playwright-core";

const ROOT = resolve(import.meta.dirname, "..");
const executablePath = (process.env["PATH"] ?? "")
  .split(delimiter)
  .map((folder) => join(folder, "chromium"))
  .find((path) => existsSync(path));
if (executablePath === undefined) throw new Error("no chromium on the search path");

const browser = await chromium.launch({ executablePath, args: ["--no-sandbox"] });
const page = await browser.newPage({ viewport: { width: 1200, height: 1420 } });
await page.goto(pathToFileURL(join(ROOT, "out/text-direction/result/report.html")).href);
await page.screenshot({ path: join(ROOT, "docs/report.png") });
await browser.close();
