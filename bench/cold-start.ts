/**
 * @file In a fresh process: the time from an artefact's bytes in memory to its first result, and the memory that
 * took. `node bench/cold-start.ts <folder>` with model.js, model.wasm and inputs.bin; prints JSON.
 */
import { readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { deserialize } from "node:v8";

interface Artefact {
  load(bytes: Uint8Array): Promise<{
    readonly memory: WebAssembly.Memory;
    run(inputs: unknown): unknown;
  }>;
}

export interface ColdStart {
  readonly milliseconds: number;
  readonly linearBytes: number;
  readonly residentBytes: number;
}

const folder = resolve(process.argv[2]!);
const { load } = (await import(pathToFileURL(join(folder, "model.js")).href)) as Artefact;
const inputs = deserialize(readFileSync(join(folder, "inputs.bin"))) as unknown;
const bytes = new Uint8Array(readFileSync(join(folder, "model.wasm")));
const before = process.memoryUsage.rss();
const start = performance.now();
const model = await load(bytes);
model.run(inputs);
const milliseconds = performance.now() - start;
const residentBytes = process.memoryUsage.rss() - before;
const found: ColdStart = {
  milliseconds,
  linearBytes: model.memory.buffer.byteLength,
  residentBytes,
};
console.log(JSON.stringify(found));
