/**
 * @file Writes docs/operators.md from the importers' tables and the operator records. With --check: exit code 1
 * when the file is not what would be written.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { onnxOperators } from "../src/formats/onnx/import.ts";
import { tfliteOperators } from "../src/formats/tflite/import.ts";
import type { Op } from "../src/graph/op.ts";
import { ops } from "../src/ops/index.ts";
import { primitives } from "../src/primitives/index.ts";

const FILE = join(resolve(import.meta.dirname, ".."), "docs/operators.md");

const code = (names: readonly string[]): string => names.map((n) => `\`${n}\``).join(" ");

/** Alphabetical whatever the locale. */
const sorted = (names: Iterable<string>): string[] => [...names].sort((a, b) => (a < b ? -1 : 1));

const kind = (op: Op): string =>
  op.eval === undefined ? "composite" : op.cost === undefined ? "core" : "core, counts MACs";

const row = (op: Op): string => {
  const fast = (primitives[op.name] ?? []).map((p) => p.name);
  return `| \`${op.name}\` | ${kind(op)} | ${op.quant} | ${code(fast)} |`;
};

function page(): string {
  const onnx = sorted(onnxOperators());
  const own = onnx.filter((n) => !n.includes("."));
  const other = onnx.filter((n) => n.includes("."));
  const tflite = sorted(tfliteOperators());
  const records = sorted(Object.keys(ops)).map((name) => ops[name]!);
  return `# Operators

Written by \`npm run operators\` from the importers' tables and the operator records; do not edit.

## ONNX: ${own.length} operators, ${other.length} of other domains

One importer per operator; where opset versions differ in meaning it follows the version that the model
states. What tersor lacks is refused by name, all of it at once. \`If\` takes one branch or selects; \`Loop\`
and \`Scan\` (since opset 9) are unrolled. Functions stored in a model are expanded. The ONNX project's node
tests are run by \`npm run conformance\`; test/onnx/skip.ts lists those out of scope, with reasons.

${code(own)}

Other domains:

${code(other)}

Element types: f32, f64, f16, bf16, i8 to i64, u8 to u64, bool. Not taken: strings, complex numbers except
as pairs, sequences, optionals, 4-bit and 8-bit floats. Shapes must be known once inputs are bound.

## TensorFlow Lite: ${tflite.length} operators

In all versions of the file format 3, float and quantised where TensorFlow Lite has both.

${code(tflite)}

## tersor's own: ${records.length} operators

What models are made of after import. Composite operators are expanded into core ones. Quantised:
how an operator takes quantised inputs (docs/ir.md). Operators without a fast implementation run as
their default loop nest.

| operator | kind | quantised | fast implementations |
| --- | --- | --- | --- |
${records.map(row).join("\n")}
`;
}

const text = page();
if (!process.argv.includes("--check")) {
  writeFileSync(FILE, text);
  console.log(`wrote ${FILE}`);
} else if (readFileSync(FILE, "utf8") !== text) {
  console.error("docs/operators.md is out of date: npm run operators");
  process.exitCode = 1;
}
