/** @file For tests: compiles programs as C with the machine's compiler and runs them. */
import { execFileSync, spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Program } from "../../src/kernel/program.ts";
import { type COptions, emitC } from "../../src/targets/c/emit.ts";
import { identifier, Names } from "../../src/targets/c/names.ts";
import { DTYPES } from "../../src/tensor/dtype.ts";
import { bytesOf, elementCount, type Tensor } from "../../src/tensor/tensor.ts";

/** A C compiler on this machine, or null. */
export const CC: string | null =
  ["cc", "gcc"].find((name) => spawnSync(name, ["--version"]).status === 0) ?? null;

export interface CJob {
  readonly program: Program;
  readonly feeds: readonly Tensor[];
}

export const STRICT = ["-std=gnu99", "-O2", "-Wall", "-Wextra", "-Werror"];

/** Accessors of a program's ports in order, as the emitter names them. */
function accessors(program: Program, prefix: string): { ins: string[]; outs: string[] } {
  const names = new Names();
  const make = (kind: string, name: string): string =>
    names.make(`${prefix}_${kind}_${identifier(name)}`, false);
  const ins = program.inputs.map((p) => make("input", p.name));
  return { ins, outs: program.outputs.map((p) => make("output", p.name)) };
}

/** Reads inputs from the standard input, runs the model, writes outputs to the standard output. */
function mainText(jobs: readonly CJob[], beside: boolean): string {
  const includes = jobs.map((_, i) => `#include "m${i}.h"\n`).join("");
  const runs = jobs.map(({ program }, i) => {
    const P = `M${i}`;
    const { ins, outs } = accessors(program, `m${i}`);
    const weights = beside ? ", weights" : "";
    const load = beside
      ? `    static unsigned char weights[${P}_WEIGHTS_BYTES + 16] __attribute__((aligned(16)));\n` +
        `    FILE *f = fopen("m${i}_weights.bin", "rb");\n` +
        `    if (f == NULL || fread(weights, 1, ${P}_WEIGHTS_BYTES, f) != ${P}_WEIGHTS_BYTES) return 4;\n` +
        "    fclose(f);\n"
      : "";
    const reads = ins.map((a) => {
      const size = `${a.toUpperCase()}_BYTES`;
      return `    if (fread(${a}(arena), 1, ${size}, stdin) != ${size}) return 3;\n`;
    });
    const writes = outs.map(
      (a) => `    fwrite(${a}(arena${weights}), 1, ${a.toUpperCase()}_BYTES, stdout);\n`,
    );
    return (
      `  {\n    static unsigned char arena[${P}_ARENA_BYTES] __attribute__((aligned(16)));\n` +
      `    memset(arena, 0xa5, sizeof arena);\n${load}` +
      `    if (m${i}_init(arena${weights}) != 0) return 2;\n` +
      `${reads.join("")}    if (m${i}_run(arena${weights}) != 0) return 2;\n${writes.join("")}  }\n`
    );
  });
  return `#include <stdio.h>\n#include <string.h>\n${includes}\nint main(void) {\n${runs.join("")}  return 0;\n}\n`;
}

/** Outputs of each job. All programs become one executable. */
export function runC(
  jobs: readonly CJob[],
  flags: readonly string[],
  options: COptions = {},
): Tensor[][] {
  const folder = mkdtempSync(join(tmpdir(), "tersor-c-"));
  try {
    const sources = ["main.c"];
    jobs.forEach(({ program }, i) => {
      for (const [name, content] of emitC(program, { ...options, name: `m${i}` }).files) {
        writeFileSync(join(folder, name), content);
        if (name.endsWith(".c")) sources.push(name);
      }
    });
    writeFileSync(join(folder, "main.c"), mainText(jobs, options.weights === "file"));
    execFileSync(CC!, [...flags, "-o", "run", ...sources], { cwd: folder, stdio: "pipe" });
    const input = Buffer.concat(jobs.flatMap((j) => j.feeds.map((t) => bytesOf(t))));
    writeFileSync(join(folder, "in"), input);
    const run = spawnSync("./run", {
      cwd: folder,
      input: readFileSync(join(folder, "in")),
      maxBuffer: 1 << 28,
    });
    if (run.status !== 0) throw new Error(`status ${run.status ?? run.signal}: ${run.stderr}`);
    if (run.stderr.length > 0) throw new Error(String(run.stderr));
    return split(jobs, run.stdout);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

function split(jobs: readonly CJob[], bytes: Buffer): Tensor[][] {
  const whole = new Uint8Array(bytes);
  let at = 0;
  return jobs.map(({ program }) =>
    program.outputs.map(({ type }) => {
      const n = elementCount(type.shape);
      const size = n * DTYPES[type.dtype].sizeBytes;
      const part = whole.slice(at, at + size);
      at += size;
      return { type, data: DTYPES[type.dtype].view(part.buffer, 0, n) };
    }),
  );
}
