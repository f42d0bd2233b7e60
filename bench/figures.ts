/** @file Figures of compiled models that are no latencies: code size, memory, cold start. */
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { serialize } from "node:v8";
import { gzipSync } from "node:zlib";
import type { Graph } from "../src/graph/graph.ts";
import { compile } from "../src/pipeline.ts";
import { writeArtefact } from "../src/targets/wasm/artefact.ts";
import { emitModule } from "../src/targets/wasm/module.ts";
import type { Tensor } from "../src/tensor/tensor.ts";
import { median } from "../src/util/math.ts";
import type { ColdStart } from "./cold-start.ts";
import type { CaseFacts, ModelFigures } from "./results.ts";

const CHILD = fileURLToPath(new URL("./cold-start.ts", import.meta.url));

/** `starts`: fresh processes to start. */
export function figuresOf(
  { model, dtype }: CaseFacts,
  graph: Graph,
  feeds: readonly Tensor[],
  starts: number,
): ModelFigures {
  const { program } = compile(graph);
  const { wasm } = emitModule(program, { weights: "file" });
  const folder = mkdtempSync(join(tmpdir(), "tersor-bench-"));
  try {
    for (const [name, content] of writeArtefact(program).files) {
      writeFileSync(join(folder, name), content);
    }
    const inputs = Object.fromEntries(program.inputs.map((p, i) => [p.name, feeds[i]!.data]));
    writeFileSync(join(folder, "inputs.bin"), serialize(inputs));
    writeFileSync(join(folder, "package.json"), '{"type":"module"}');
    const runs = Array.from({ length: starts }, () => {
      const out = execFileSync(process.execPath, [CHILD, folder], { encoding: "utf8" });
      return JSON.parse(out) as ColdStart;
    });
    return {
      model,
      dtype,
      codeGzipBytes: gzipSync(wasm, { level: 9 }).length,
      plannedBytes: program.memoryBytes,
      linearBytes: runs[0]!.linearBytes,
      residentBytes: median(runs.map((r) => r.residentBytes)),
      coldStartMs: median(runs.map((r) => r.milliseconds)),
    };
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}
