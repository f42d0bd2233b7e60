/**
 * @file Writes bench/shapes/<model>-<type>.txt: the layers of the benchmark's models for which there are primitives,
 * each once with its number of appearances. `node bench/write-shapes.ts [model...]`
 */
import { writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import type { Graph } from "../src/graph/graph.ts";
import { targetGraph } from "../src/pipeline.ts";
import { primitives } from "../src/primitives/index.ts";
import { layerGraph, layerLine } from "./layer-text.ts";
import { DTYPES, MODELS } from "./models/index.ts";

/** Lines with their counts, in order of appearance. Layers that cannot be written down so are left out. */
export function layersOf(graph: Graph): ReadonlyMap<string, number> {
  const lines = new Map<string, number>();
  for (const node of graph.nodes) {
    const { op, outs, ins } = node;
    const fixed = ins.length > 0 && ins.every((v) => graph.constants.has(v));
    if (fixed || outs.length !== 1 || !Object.hasOwn(primitives, op.name)) continue;
    const line = layerLine(graph, node);
    try {
      layerGraph(line);
    } catch {
      continue;
    }
    lines.set(line, (lines.get(line) ?? 0) + 1);
  }
  return lines;
}

async function main(names: readonly string[]): Promise<void> {
  for (const model of MODELS.filter(({ name }) => names.length === 0 || names.includes(name))) {
    for (const dtype of DTYPES) {
      const found = await model.load(dtype);
      if ("missing" in found) {
        console.log(`${model.name} ${dtype}: ${found.missing}`);
        continue;
      }
      const layers = [...layersOf(targetGraph(found.graph))];
      const path = fileURLToPath(new URL(`shapes/${model.name}-${dtype}.txt`, import.meta.url));
      writeFileSync(path, layers.map(([line, count]) => `${count}x ${line}\n`).join(""));
      console.log(`${model.name} ${dtype}: ${layers.length} distinct layers`);
    }
  }
}

if (import.meta.main) await main(process.argv.slice(2));
