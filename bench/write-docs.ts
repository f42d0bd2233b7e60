/** @file Puts the tables and the plot of a benchmark run (out/bench/bench.json, or the path given) into docs/. */
import { readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { plotOf } from "./plot.ts";
import type { BenchReport } from "./results.ts";
import { markdownOf } from "./tables.ts";

const ROOT = resolve(import.meta.dirname, "..");
const [BEGIN, END] = ["<!-- bench -->", "<!-- /bench -->"];

const from = process.argv[2] ?? join(ROOT, "out/bench/bench.json");
const report = JSON.parse(readFileSync(from, "utf8")) as BenchReport;
const path = join(ROOT, "docs/benchmarks.md");
const text = readFileSync(path, "utf8");
const [begin, end] = [text.indexOf(BEGIN), text.indexOf(END)];
if (begin < 0 || end < begin) throw new Error(`docs/benchmarks.md has no ${BEGIN} and ${END}`);
const head = text.slice(0, begin + BEGIN.length);
writeFileSync(path, `${head}\n\n${markdownOf(report)}${text.slice(end)}`);
writeFileSync(join(ROOT, "docs/benchmarks.svg"), plotOf(report));
