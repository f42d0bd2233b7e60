/**
 * @file Makes the demo's labelled images: lines of text, upright (class 0) or turned by 180 degrees (class 1),
 * in out/text-direction/{calibration,evaluation}/{0,1}/*.png. No line is in both parts.
 */
import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { makeRng } from "../../src/util/rng.ts";
import { drawLine, loadFonts } from "./draw.ts";
import { makeLines } from "./lines.ts";

const SEED = 1;
const PARTS = { calibration: 300, evaluation: 900 } as const;
const OUT = resolve(import.meta.dirname, "../../out/text-direction");

loadFonts();
const rng = makeRng(SEED);
const lines = makeLines(rng, PARTS.calibration + PARTS.evaluation);
for (const [part, count] of Object.entries(PARTS)) {
  rmSync(join(OUT, part), { recursive: true, force: true });
  for (const label of ["0", "1"]) mkdirSync(join(OUT, part, label), { recursive: true });
  for (let i = 0; i < count; i++) {
    const label = i % 2;
    const png = drawLine(rng, lines.pop()!, label === 1);
    writeFileSync(join(OUT, part, String(label), `${String(i).padStart(4, "0")}.png`), png);
  }
  console.log(`${part}: ${count} lines (seed ${SEED})`);
}
