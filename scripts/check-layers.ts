/**
 * @file Checks the import rules of docs/architecture.md over src/ and cli/: only downwards, no sibling
 * layers, no cycles, packages only where they belong, files within budget. Exit code 1 with every breach listed.
 */
import { readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";

const ROOT = resolve(import.meta.dirname, "..");

/** Level of each folder (or file); a file may import its own folder and any lower level. */
const LEVELS: Readonly<Record<string, number>> = {
  "src/util": 0,
  "src/tensor": 1,
  "src/kernel": 2,
  "src/graph": 2.5,
  "src/ops": 3,
  "src/formats": 4,
  "src/passes": 4,
  "src/autodiff": 4,
  "src/primitives": 4,
  "src/targets": 4,
  "src/data": 4,
  "src/select": 4.7,
  "src/compress": 5,
  "src/plan": 5,
  "src/runtime": 6,
  "src/pipeline.ts": 6.5,
  "src/profile": 6.7,
  "src/train": 6.7,
  "src/optimize": 6.8,
  "src/report": 6.9,
  "src/native": 6.95,
  src: 7,
  cli: 8,
};

/** Folders that may not reach this far up although they lie higher. */
const CEILING: Readonly<Record<string, number>> = { "src/targets": 2 };

/** npm packages and Node's modules, and the folders that may import them. */
const PACKAGES: Readonly<Record<string, readonly string[]>> = {
  "@bufbuild/protobuf": ["src/formats"],
  flatbuffers: ["src/formats"],
  hyparquet: ["src/data"],
  "jpeg-js": ["src/data"],
  "fast-png": ["src/data"],
  fflate: ["src/data"],
  "ml-matrix": ["src/compress/factorise"],
  commander: ["cli"],
  koffi: ["src/native"],
  "node:": [
    "cli",
    "src/native",
    "src/formats/onnx/external.ts",
    "src/data/node.ts",
    "src/train/node",
    "src/node.ts",
  ],
};

const MAX_LINES = 400;

function files(dir: string): string[] {
  return readdirSync(join(ROOT, dir), { withFileTypes: true }).flatMap((entry) => {
    const path = `${dir}/${entry.name}`;
    if (entry.isDirectory()) return files(path);
    return path.endsWith(".ts") ? [path] : [];
  });
}

/** The layer a file belongs to: the longest folder in LEVELS that holds it. */
const layerOf = (path: string): string =>
  Object.keys(LEVELS)
    .filter((layer) => path === layer || path.startsWith(`${layer}/`))
    .sort((a, b) => b.length - a.length)[0] ?? "";

const IMPORT =
  /^(?:import|export)\s[^;]*?from\s+"([^"]+)"|^import\s+"([^"]+)"|\bimport\("([^"]+)"\)/gm;

function importsOf(path: string): { readonly target: string; readonly typeOnly: boolean }[] {
  const text = readFileSync(join(ROOT, path), "utf8");
  return [...text.matchAll(IMPORT)].map((m) => ({
    target: (m[1] ?? m[2] ?? m[3])!,
    typeOnly: m[0].startsWith("import type") || m[0].startsWith("export type"),
  }));
}

const problems: string[] = [];
const edges = new Map<string, string[]>();
const isTest = (path: string): boolean => path.endsWith(".test.ts");

function checkPackage(path: string, target: string): void {
  const allowed = Object.entries(PACKAGES).find(
    ([name]) => target === name || target.startsWith(name.endsWith(":") ? name : `${name}/`),
  );
  if (allowed === undefined) problems.push(`${path}: unknown package '${target}'`);
  else if (!allowed[1].some((folder) => path.startsWith(folder))) {
    problems.push(`${path}: '${target}' may only be imported in ${allowed[1].join(", ")}`);
  }
}

function checkEdge(path: string, target: string): void {
  const from = layerOf(path);
  const to = layerOf(target);
  if (from === to || from === "" || to === "") return;
  const limit = CEILING[from] ?? Number.POSITIVE_INFINITY;
  if (LEVELS[to]! >= LEVELS[from]! || LEVELS[to]! > limit) {
    problems.push(`${path} (${from}) may not import ${target} (${to})`);
  }
}

const all = [...files("src"), ...files("cli")];
for (const path of all) {
  const lines = readFileSync(join(ROOT, path), "utf8").split("\n").length - 1;
  if (lines > MAX_LINES) problems.push(`${path}: ${lines} lines, at most ${MAX_LINES} are allowed`);
  const targets: string[] = [];
  for (const { target, typeOnly } of importsOf(path)) {
    if (!target.startsWith(".")) {
      if (!isTest(path)) checkPackage(path, target);
      continue;
    }
    const resolved = relative(ROOT, resolve(ROOT, dirname(path), target));
    if (!isTest(path)) checkEdge(path, resolved);
    if (!typeOnly) targets.push(resolved);
  }
  edges.set(path, targets);
}

/** Depth-first search for a cycle of value imports. */
function findCycles(): void {
  const state = new Map<string, "open" | "done">();
  const stack: string[] = [];
  const walk = (path: string): void => {
    if (state.get(path) === "done") return;
    if (state.get(path) === "open") {
      problems.push(`import cycle: ${[...stack.slice(stack.indexOf(path)), path].join(" -> ")}`);
      return;
    }
    state.set(path, "open");
    stack.push(path);
    for (const next of edges.get(path) ?? []) walk(next);
    stack.pop();
    state.set(path, "done");
  };
  for (const path of edges.keys()) walk(path);
}

findCycles();
if (problems.length > 0) {
  console.error(problems.join("\n"));
  console.error(`${problems.length} breaches of the layer rules (docs/architecture.md)`);
  process.exit(1);
}
console.log(`layers: ${all.length} files, no upward import, no cycle`);
