/** @file For tests: compiles programs as C with the machine's compiler and runs them. */
import { execFile, spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
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

/** Two threads that run the steps of a model together. */
const TEAM = `
struct team {
  int (*step)(void *, int, int, int);
  void *arena;
  int steps;
  int failed;
  int arrived;
  int phase;
};

static void meet(struct team *t) {
  const int phase = __atomic_load_n(&t->phase, __ATOMIC_SEQ_CST);
  if (__atomic_add_fetch(&t->arrived, 1, __ATOMIC_SEQ_CST) == 2) {
    __atomic_store_n(&t->arrived, 0, __ATOMIC_SEQ_CST);
    __atomic_add_fetch(&t->phase, 1, __ATOMIC_SEQ_CST);
  } else {
    while (__atomic_load_n(&t->phase, __ATOMIC_SEQ_CST) == phase) sched_yield();
  }
}

static void work(struct team *t, int thread) {
  for (int i = 0; i < t->steps; i++) {
    if (t->step(t->arena, i, thread, 2) != 0) t->failed = 1;
    meet(t);
  }
}

static void *follow(void *t) {
  work(t, 1);
  return NULL;
}

static int run_two(int (*step)(void *, int, int, int), void *arena, int steps) {
  struct team t = {step, arena, steps, 0, 0, 0};
  pthread_t other;
  if (pthread_create(&other, NULL, follow, &t) != 0) return 1;
  work(&t, 0);
  pthread_join(other, NULL);
  return t.failed;
}
`;

/** The block of one job: reads its inputs, runs it, writes its outputs; then again with two threads. */
function jobText({ program }: CJob, i: number, beside: boolean, threads: boolean): string {
  const P = `M${i}`;
  const { ins, outs } = accessors(program, `m${i}`);
  const weights = beside ? `, weights${i}` : "";
  const size = (a: string): string => `${a.toUpperCase()}_BYTES`;
  const load =
    `    FILE *f = fopen("m${i}_weights.bin", "rb");\n` +
    `    if (f == NULL || fread(weights${i}, 1, ${P}_WEIGHTS_BYTES, f) != ${P}_WEIGHTS_BYTES) return 4;\n` +
    "    fclose(f);\n";
  const start = (poison: string): string =>
    `    memset(arena, ${poison}, sizeof arena);\n` +
    `    if (m${i}_init(arena${weights}) != ${P}_OK) return 2;\n`;
  const copies = [...ins, ...outs].map(
    (a, k) => `    static unsigned char port${k}[${size(a)} + 1];\n`,
  );
  const reads = ins.map(
    (a, k) =>
      `    if (fread(port${k}, 1, ${size(a)}, stdin) != ${size(a)}) return 3;\n` +
      `    memcpy(${a}(arena), port${k}, ${size(a)});\n`,
  );
  const writes = outs.map(
    (a, k) =>
      `    memcpy(port${ins.length + k}, ${a}(arena${weights}), ${size(a)});\n` +
      `    fwrite(port${ins.length + k}, 1, ${size(a)}, stdout);\n`,
  );
  const again = ins.map((a, k) => `    memcpy(${a}(arena), port${k}, ${size(a)});\n`);
  const same = outs.map(
    (a, k) =>
      `    if (memcmp(port${ins.length + k}, ${a}(arena${weights}), ${size(a)}) != 0) {\n` +
      `      fprintf(stderr, "job ${i}: two threads give other bits\\n");\n      return 5;\n    }\n`,
  );
  const two = `    if (run_two(step${i}, arena, ${P}_STEPS) != 0) return 2;\n`;
  const arena = `${P}_ARENA_BYTES${threads ? ` + ${P}_THREAD_BYTES` : ""}`;
  return [
    `  {\n    static unsigned char arena[${arena}] __attribute__((aligned(${P}_ALIGNMENT)));\n`,
    ...copies,
    beside ? load : "",
    start("0xa5"),
    ...reads,
    `    if (m${i}_run(arena${weights}) != ${P}_OK) return 2;\n`,
    ...writes,
    ...(threads ? [start("0x5a"), ...again, two, ...same] : []),
    "  }\n",
  ].join("");
}

/** What lies before `main` for a job: its weights, and its step without them. */
function jobGlobals(i: number, beside: boolean, threads: boolean): string {
  const P = `M${i}`;
  const memory =
    `static unsigned char weights${i}[${P}_WEIGHTS_BYTES + ${P}_ALIGNMENT] ` +
    `__attribute__((aligned(${P}_ALIGNMENT)));\n`;
  const step =
    `static int step${i}(void *arena, int index, int thread, int threads) {\n` +
    `  return m${i}_step(arena${beside ? `, weights${i}` : ""}, index, thread, threads);\n}\n`;
  return (beside ? memory : "") + (threads ? step : "");
}

/** Reads inputs from the standard input, runs the models, writes outputs to the standard output. */
function mainText(jobs: readonly CJob[], beside: boolean, threads: boolean): string {
  const headers = ["pthread", "sched", "stdio", "string"].map((name) => `#include <${name}.h>\n`);
  const includes = jobs.map((_, i) => `#include "m${i}.h"\n`).join("");
  const globals = jobs.map((_, i) => jobGlobals(i, beside, threads)).join("");
  const runs = jobs.map((job, i) => jobText(job, i, beside, threads)).join("");
  return `${headers.join("")}${includes}${threads ? TEAM : ""}${globals}\nint main(void) {\n${runs}  return 0;\n}\n`;
}

const execute = promisify(execFile);

/** Compiles the sources, as many at a time as there are cores, and links them. */
async function compileAll(
  folder: string,
  sources: readonly string[],
  flags: readonly string[],
): Promise<void> {
  const queue = [...sources];
  const worker = async (): Promise<void> => {
    for (let name = queue.pop(); name !== undefined; name = queue.pop()) {
      await execute(CC!, [...flags, "-c", name], { cwd: folder });
    }
  };
  await Promise.all(Array.from({ length: availableParallelism() }, worker));
  const objects = sources.map((name) => name.replace(/c$/, "o"));
  await execute(CC!, [...flags, "-o", "run", ...objects, "-lpthread"], { cwd: folder });
}

/**
 * Outputs of each job. All programs become one executable. With `threads` every job is run by one thread and by
 * two; it is an error when their results differ in a bit.
 */
export async function runC(
  jobs: readonly CJob[],
  flags: readonly string[],
  options: COptions = {},
): Promise<Tensor[][]> {
  const folder = mkdtempSync(join(tmpdir(), "tersor-c-"));
  try {
    const sources = ["main.c"];
    jobs.forEach(({ program }, i) => {
      for (const [name, content] of emitC(program, { ...options, name: `m${i}` }).files) {
        writeFileSync(join(folder, name), content);
        if (name.endsWith(".c")) sources.push(name);
      }
    });
    const threads = options.threads !== undefined && options.threads !== false;
    writeFileSync(join(folder, "main.c"), mainText(jobs, options.weights === "file", threads));
    await compileAll(folder, sources, flags);
    const input = Buffer.concat(jobs.flatMap((j) => j.feeds.map((t) => bytesOf(t))));
    const run = spawnSync("./run", { cwd: folder, input, maxBuffer: 1 << 28 });
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
