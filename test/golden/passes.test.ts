/**
 * @file Golden tests of passes. test/golden/passes/<pass>.txt holds cases separated by lines of `---`: a
 * comment, a graph, a line `==> <pass>`, the expected graph. UPDATE=1 rewrites the expectations.
 */
import assert from "node:assert/strict";
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { parseGraph } from "../../src/graph/parse.ts";
import { printGraph } from "../../src/graph/print.ts";
import { verifyGraph } from "../../src/graph/verify.ts";
import { ops } from "../../src/ops/index.ts";
import { allPasses } from "../../src/passes/index.ts";

const FOLDER = fileURLToPath(new URL("./passes/", import.meta.url));
const update = process.env["UPDATE"] === "1";
const PRINT = { inlineLimit: 64 };

function runCase(text: string): string {
  const [input, name] = text.split(/^==> (.*)$/m);
  assert.ok(input !== undefined && name !== undefined, "a case needs a line '==> pass'");
  const pass = allPasses.find((p) => p.name === name);
  assert.ok(pass, `no pass '${name}'`);
  const graph = parseGraph(input, { ops });
  const result = pass.run(graph);
  verifyGraph(result);
  const again = pass.run(result);
  assert.equal(printGraph(again, PRINT), printGraph(result, PRINT), "a second run changes nothing");
  const comment = /^(?:\/\/.*\n)*/.exec(input.trimStart())![0];
  const shown = result === graph ? "// unchanged\n" : printGraph(result, PRINT);
  return `${comment}${printGraph(graph, PRINT)}==> ${name}\n${shown}`;
}

for (const file of readdirSync(FOLDER).sort()) {
  test(`golden ${file}`, () => {
    const text = readFileSync(FOLDER + file, "utf8");
    const result = text
      .split(/^---\n/m)
      .map(runCase)
      .join("---\n");
    if (update) writeFileSync(FOLDER + file, result);
    else assert.equal(result, text);
  });
}
